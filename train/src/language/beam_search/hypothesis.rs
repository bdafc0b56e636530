//! Texts that are found, and those that still grow.

use tch::Tensor;

/// One generated text.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Generated ids: without the start token, with the end token if it was reached.
    pub ids: Vec<i64>,
    /// Length-normalised log probability.
    pub score: f64,
}

/// Which rows of the last step the rows of the next one continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    /// Row `i` continues row `rows[i]` of the last step. The rows of a clip stay together, in the order of the clips.
    pub rows: Vec<i64>,
    /// Where clips are done and leave: the places of the others among the clips of the last step.
    pub clips: Option<Vec<i64>>,
}

/// A text that is still growing: its ids, and the sum of their log probabilities.
#[derive(Debug, Clone, Default)]
pub(super) struct Beam {
    pub(super) ids: Vec<i64>,
    pub(super) sum: f32,
}

impl Beam {
    pub(super) fn then(&self, id: i64, sum: f32) -> Self {
        Self { ids: self.ids.iter().copied().chain([id]).collect(), sum }
    }
}

pub(super) fn floats(x: &Tensor) -> Vec<f32> {
    Vec::try_from(x.flatten(0, -1)).expect("float32 tensor")
}

pub(super) fn integers(x: &Tensor) -> Vec<i64> {
    Vec::try_from(x.flatten(0, -1)).expect("int64 tensor")
}
