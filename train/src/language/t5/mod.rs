//! T5 1.1 and Flan-T5 (Raffel et al. 2020; Chung et al. 2022), the language model that writes the translation.
//!
//! The files and structs follow Hugging Face's `modeling_t5.py`, with its names and its order, and every weight is
//! addressed by its official key.
//!
//! | here | Hugging Face |
//! |---|---|
//! | [`RmsNorm`](crate::language::rms_norm::RmsNorm) | `T5LayerNorm` |
//! | [`T5DenseGatedActDense`], [`T5LayerFF`] | the same |
//! | [`RelativePositionBias`] | `T5Attention.compute_bias`, held once per stack |
//! | [`T5Attention`], [`T5LayerSelfAttention`], [`T5LayerCrossAttention`] | the same |
//! | [`T5Block`], [`T5Stack`] | the same |
//! | [`T5`] | `T5ForConditionalGeneration` |
//!
//! Shape suffixes: `b` clips, `r` rows (clips times beams), `s` encoder positions, `t` decoder or query positions,
//! `d` model width, `h` heads, `k` width of a head, `f` feed-forward width, `v` vocabulary.

mod attention;
mod config;
mod feed_forward;
mod generate;
mod model;
mod names;
mod position_bias;
mod recompute;
mod stack;
mod translation;
mod words;

pub use attention::{T5Attention, T5LayerCrossAttention, T5LayerSelfAttention};
pub use config::T5Config;
pub use feed_forward::{T5DenseGatedActDense, T5LayerFF};
pub use model::T5;
pub use names::ADAPTER;
pub use position_bias::RelativePositionBias;
pub use stack::{T5Block, T5Stack};
pub use words::word_tokenizer;
