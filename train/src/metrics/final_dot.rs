//! The full stop at the end of a sentence, over which published scores differ.
//!
//! PHOENIX14T's annotations have none. SpaMo and SignClip add one to every reference, and a model learns to write it:
//! one more word of each sentence that is right. Others score the annotations as they are. The two cannot be compared.

use serde::{Deserialize, Serialize};

/// What was done to the end of hypotheses and references before they were scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinalDot {
    /// Nothing.
    AsGiven,
    /// References got one where they had none.
    Added,
    /// Hypotheses and references lost theirs.
    Removed,
}

impl FinalDot {
    /// The end of every signature: version and convention.
    pub(super) fn signature(self) -> String {
        let dot = match self {
            Self::AsGiven => "as-given",
            Self::Added => "added",
            Self::Removed => "removed",
        };
        format!("version:signclip-{}|dot:{dot}", env!("CARGO_PKG_VERSION"))
    }
}

/// A sentence without its final full stop and the space around it; of several full stops one goes.
pub fn without_final_dot(sentence: &str) -> &str {
    let sentence = sentence.trim_end();
    sentence.strip_suffix('.').unwrap_or(sentence).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_full_stop_goes() {
        for (with, without) in [
            ("regen .", "regen"),
            ("regen. ", "regen"),
            ("regen", "regen"),
            ("...", ".."),
            (".", ""),
            ("", ""),
        ] {
            assert_eq!(without_final_dot(with), without);
        }
    }
}
