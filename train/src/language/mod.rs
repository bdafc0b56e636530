//! The language model: it gets each clip's visual tokens and a prompt, and writes the translation.
//!
//! [`LanguageModel`] is all that the rest of the program knows of it. A family is a folder here (`t5/`, `llama/`); what
//! families share (linear layers, adapters, dropout, the search) lies beside it.
//!
//! Shapes: b clips, l target tokens, d width of the language model.

pub mod adapter;
pub(crate) mod attend;
pub mod beam_search;
pub mod cache;
mod config_fields;
pub mod cut;
pub mod dropout;
pub mod family;
mod few_rows;
pub mod folder;
pub mod identity;
pub mod inputs;
pub mod label_loss;
pub mod linear;
pub mod llama;
pub mod lora;
pub mod past;
pub mod prompt;
mod recompute;
pub mod rms_norm;
mod sentencepiece;
pub mod settings;
pub mod t5;
pub mod targets;
pub mod text;
pub mod tied_head;
mod tokenizer;
pub mod tuning;
mod vocabulary;
mod words;

use beam_search::{BeamSearchConfig, Hypothesis};
use family::LanguageConfig;
use inputs::{IGNORE, Prefix};
use llama::Llama;
use settings::VtTarget;
use signclip_common::Result;
use signclip_common::weights::Weights;
use t5::T5;
use tch::{Kind, Tensor, no_grad};
use tuning::Tuning;

/// A language model of one of the families.
#[derive(Debug)]
pub enum LanguageModel {
    T5(T5),
    Llama(Llama),
}

impl LanguageModel {
    /// Builds the model from `base`. Errors: what is wrong with configuration, weights or adapter, in one line.
    pub fn load(base: &Weights, config: &LanguageConfig, tuning: Tuning) -> Result<Self> {
        match config {
            LanguageConfig::T5(config) => T5::load(base, config, tuning).map(Self::T5),
            LanguageConfig::Llama(config) => Llama::load(base, config, tuning).map(Self::Llama),
        }
    }

    /// Width of its embeddings.
    pub fn width(&self) -> i64 {
        match self {
            Self::T5(t5) => t5.config.d_model,
            Self::Llama(llama) => llama.config.hidden_size,
        }
    }

    /// Rows of the embedding table, `[...]` to `[..., d]`.
    fn embed(&self, ids: &Tensor) -> Tensor {
        match self {
            Self::T5(t5) => t5.embed(ids),
            Self::Llama(llama) => llama.embed(ids),
        }
    }

    /// What the model makes of whole sentences, a vector a token `[b, l, d]`; those where `mask_bl` is 0 are
    /// meaningless.
    fn understand(&self, ids_bl: &Tensor, mask_bl: &Tensor) -> Tensor {
        match self {
            Self::T5(t5) => t5.encode(&t5.embed(ids_bl), mask_bl, false),
            Self::Llama(llama) => llama.understand(ids_bl, mask_bl),
        }
    }

    /// z_t: a mean over the target tokens, the end token included, `[b, d]` float32; with `padding` over all
    /// positions.
    pub fn sentence_embedding(&self, labels_bl: &Tensor, target: VtTarget, padding: bool) -> Tensor {
        let mask_bl = labels_bl.ne(IGNORE);
        let ids_bl = labels_bl.clamp_min(0);
        let embedded_bld = match target {
            VtTarget::Embeddings => self.embed(&ids_bl),
            VtTarget::Encoder => no_grad(|| self.understand(&ids_bl, &mask_bl.to_kind(Kind::Int64))),
        };
        let embedded_bld = embedded_bld.to_kind(Kind::Float);
        if padding {
            return embedded_bld.mean_dim([1].as_slice(), false, Kind::Float);
        }
        let counts_bl1 = mask_bl.to_kind(Kind::Float).unsqueeze(-1);
        // Meaningless vectors may be anything, so they are replaced and not multiplied away.
        let kept_bld = embedded_bld.masked_fill(&mask_bl.logical_not().unsqueeze(-1), 0.0);
        let sum_bd = kept_bld.sum_dim_intlist(1, false, Kind::Float);
        sum_bd / counts_bl1.sum_dim_intlist(1, false, Kind::Float)
    }

    /// Forward and backward pass in training: adds the gradients of the summed cross-entropy of the labels over
    /// `divisor` to those of parameters and visual tokens, and gives the loss. `recompute` trades time for memory.
    pub fn backward(&self, prefix: &Prefix, labels_bl: &Tensor, divisor: f64, recompute: bool) -> Tensor {
        match self {
            Self::T5(t5) => t5.backward(prefix, labels_bl, divisor, recompute),
            Self::Llama(llama) => llama.backward(prefix, labels_bl, divisor, recompute),
        }
    }

    /// Log probability of every label, `[b, l]` float32; meaningless where the label does not count.
    pub fn log_probabilities(&self, prefix: &Prefix, labels_bl: &Tensor) -> Tensor {
        match self {
            Self::T5(t5) => t5.log_probabilities(prefix, labels_bl),
            Self::Llama(llama) => llama.log_probabilities(prefix, labels_bl),
        }
    }

    /// The best translations of each clip, best first.
    pub fn translate(&self, prefix: &Prefix, search: &BeamSearchConfig) -> Result<Vec<Vec<Hypothesis>>> {
        match self {
            Self::T5(t5) => t5.translate(prefix, search),
            Self::Llama(llama) => llama.translate(prefix, search),
        }
    }
}
