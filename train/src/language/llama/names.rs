//! What PEFT calls things in a Llama.

use crate::language::targets::AdapterNames;

/// Names of the linear layers of Llama. Adapted by default are the counterparts of those that are in [T5](crate::language::t5):
/// query, value and the three matrices of the feed-forward part. The paper does not say; the authors' code has query and
/// value.
pub const ADAPTER: AdapterNames = AdapterNames {
    task_type: "CAUSAL_LM",
    default_targets: &["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"],
    linear: &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
};
