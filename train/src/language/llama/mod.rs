//! Llama 3, 3.1 and 3.2 (Grattafiori et al. 2024), decoder-only language models.
//!
//! The files and structs follow Hugging Face's `modeling_llama.py`, with its names and its order, and every weight is
//! addressed by its official key.
//!
//! | here | Hugging Face |
//! |---|---|
//! | [`RmsNorm`](crate::language::rms_norm::RmsNorm) | `LlamaRMSNorm` |
//! | [`Rotary`], [`inverse_frequencies`] | `LlamaRotaryEmbedding`, `_compute_llama3_parameters` |
//! | [`LlamaMLP`], [`LlamaAttention`], [`LlamaDecoderLayer`] | the same |
//! | [`Llama`] | `LlamaModel` and `LlamaForCausalLM` |
//!
//! Shape suffixes: `b` clips, `r` rows (clips times beams), `s` positions of the keys, `t` of the queries, `d` model
//! width, `h` heads, `g` heads of keys and values, `k` width of a head, `f` feed-forward width, `v` vocabulary.

mod attention;
pub(crate) mod chat;
mod config;
mod generate;
mod layer;
mod mlp;
mod model;
mod names;
mod rope;
mod translation;
mod words;

pub use attention::LlamaAttention;
pub use config::{Ends, LlamaConfig};
pub use layer::LlamaDecoderLayer;
pub use mlp::LlamaMLP;
pub use model::Llama;
pub use names::ADAPTER;
pub use rope::{RopeScaling, Rotary, inverse_frequencies};
pub use words::word_tokenizer;
