//! The floor of scores: what is reached without looking at the clips.

use super::Scores;
use super::sentence::Measure;
use serde::{Deserialize, Serialize};

/// Two ways not to look. Their scores are computed as those above them are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// What the language model says for every clip where it is given its prompt and no visual token.
    pub sentence: String,
    pub language_model_alone: Scores,
    /// Each clip with the features of another one. A clip is translated on its own, so that this is the other one's
    /// translation. Null for a split of one clip.
    pub other_features: Option<Scores>,
}

impl Floor {
    /// Of one score, in words.
    pub fn shown(&self, measure: Measure) -> String {
        let other = self.other_features.as_ref().map_or(String::new(), |scores| {
            format!(", with the features of other clips {:.2}", scores.get(measure))
        });
        format!("the language model alone {:.2}{other}", self.language_model_alone.get(measure))
    }
}
