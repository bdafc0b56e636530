//! A clip of the split with its translation.

use crate::metrics::sentence::{EachScore, SentenceCounts};

/// One clip with its translation.
pub(super) struct Clip {
    pub(super) id: String,
    pub(super) reference: String,
    pub(super) hypothesis: String,
    pub(super) counts: SentenceCounts,
    pub(super) scores: EachScore,
    /// What the store knows of it; absent without features.
    pub(super) facts: Option<Facts>,
}

pub(super) struct Facts {
    pub(super) frames: usize,
    pub(super) signer: Option<String>,
    /// 0 to 1.
    pub(super) face_coverage: Option<f64>,
}
