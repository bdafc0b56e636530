//! How to search.

use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};

/// How to search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeamSearchConfig {
    /// Beams per clip; 1 is greedy search.
    pub num_beams: usize,
    /// Longest sequence, the start token included.
    pub max_length: usize,
    /// Exponent of the length in the score: above 0 favours long texts.
    pub length_penalty: f64,
    /// Stop a clip as soon as it has `num_beams` results.
    pub early_stopping: bool,
    /// Results per clip, at most `num_beams`.
    pub num_return_sequences: usize,
    /// Another end token than the model's.
    pub eos_token_id: Option<i64>,
    pub normalization: Normalization,
}

impl Default for BeamSearchConfig {
    /// The published code's beam of 5 and length of 64, without its sampling.
    fn default() -> Self {
        Self {
            num_beams: 5,
            max_length: 64,
            length_penalty: 1.0,
            early_stopping: false,
            num_return_sequences: 1,
            eos_token_id: None,
            normalization: Normalization::Generated,
        }
    }
}

/// Which length divides the score. The two differ for texts that reach `max_length` without an end token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// transformers 4.46 and later: the generated tokens, the end token included.
    Generated,
    /// transformers 4.32, which the published code pins: the tokens with the start token and without the end token.
    /// Its stopping rule also looks at continuations that have just ended.
    Hf432,
}

impl BeamSearchConfig {
    /// Refuse what cannot be searched.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String, remedy: &str| Err(Error::usage(what, remedy.to_owned()));
        if self.num_beams == 0 {
            return bad("num_beams is 0".to_owned(), "give 1 for greedy search, or more");
        }
        if self.max_length < 2 {
            let what = format!("max_length is {}", self.max_length);
            return bad(what, "give at least 2: the start token counts");
        }
        if !(1..=self.num_beams).contains(&self.num_return_sequences) {
            let what = format!("num_return_sequences is {}", self.num_return_sequences);
            return bad(what, "give a number from 1 to num_beams");
        }
        if !self.length_penalty.is_finite() {
            let what = format!("length_penalty is {}", self.length_penalty);
            return bad(what, "give a finite number; 1 is the mean log probability");
        }
        Ok(())
    }

    /// Score of a text with this sum of log probabilities.
    pub(super) fn score(&self, sum: f32, length: usize) -> f64 {
        f64::from(sum) / (length as f64).powf(self.length_penalty)
    }
}
