//! What PEFT calls things in a T5.

use crate::language::targets::AdapterNames;

/// Names of the linear layers of T5, and those that the paper adapts: "self-attention and feed-forward layers" (paper,
/// implementation details) read as query, value and the three matrices of the feed-forward part.
pub const ADAPTER: AdapterNames = AdapterNames {
    task_type: "SEQ_2_SEQ_LM",
    default_targets: &["q", "v", "wi_0", "wi_1", "wo"],
    linear: &["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
};
