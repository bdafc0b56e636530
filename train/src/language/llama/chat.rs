//! The chat format of Llama 3's instruct models: header and end of a turn.
//!
//! Deviation: the chat template of Llama 3.1 and 3.2 begins with a system message that names the day; here is none, as in
//! that of Llama 3.

/// Before what a user says.
pub(crate) const USER: &str = "<|start_header_id|>user<|end_header_id|>\n\n";
/// Between what a user says and the answer.
pub(crate) const ASSISTANT: &str = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
/// Behind the answer.
pub(crate) const END: &str = "<|eot_id|>";
/// The special tokens in them.
pub(crate) const TOKENS: [&str; 3] = ["<|start_header_id|>", "<|end_header_id|>", END];
