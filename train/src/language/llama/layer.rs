//! A decoder layer, and what all layers of a pass share.

use super::attention::LlamaAttention;
use super::config::LlamaConfig;
use super::mlp::LlamaMLP;
use super::rope::Rotary;
use crate::language::cache::BlockCache;
use crate::language::lora::Adapted;
use crate::language::past::KeyValue;
use crate::language::rms_norm::RmsNorm;
use tch::Tensor;

/// What the layers of a pass need besides their input.
pub(super) struct Pass {
    pub(super) rotary: Rotary,
    /// `[b, 1, t, s]`, or `[b, 1, 1, s]` where one position is decoded.
    pub(super) mask: Tensor,
    pub(super) train: bool,
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Debug)]
pub struct LlamaDecoderLayer {
    self_attn: LlamaAttention,
    mlp: LlamaMLP,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}

impl LlamaDecoderLayer {
    pub fn new(at: &Adapted, config: &LlamaConfig) -> Self {
        let norm = |name: &str| RmsNorm::new(&at.base.sub(name), config.hidden_size, config.rms_norm_eps);
        Self {
            self_attn: LlamaAttention::new(&at.sub("self_attn"), config),
            mlp: LlamaMLP::new(&at.sub("mlp"), config),
            input_layernorm: norm("input_layernorm"),
            post_attention_layernorm: norm("post_attention_layernorm"),
        }
    }

    /// The output for `x_btd`, and its keys and values.
    pub(super) fn forward(&self, x_btd: &Tensor, pass: &Pass) -> (Tensor, KeyValue) {
        let Pass { rotary, mask, train } = pass;
        let norm_btd = self.input_layernorm.forward(x_btd);
        let own = self.self_attn.key_value(&norm_btd, rotary, *train);
        let x_btd = x_btd + self.self_attn.forward(&norm_btd, rotary, &own, mask, *train);
        let y_btd = self.mlp.forward(&self.post_attention_layernorm.forward(&x_btd), *train);
        (x_btd + y_btd, own)
    }

    /// The next position of every row.
    pub(super) fn step(&self, x_rd: &Tensor, pass: &Pass, cache: &mut BlockCache) -> Tensor {
        let norm_rd = self.input_layernorm.forward(x_rd);
        let x_rd = x_rd + self.self_attn.step(&norm_rd, &pass.rotary, cache, &pass.mask);
        let y_rd = self.mlp.step(&self.post_attention_layernorm.forward(&x_rd));
        x_rd + y_rd
    }

    /// Add the adapter to the frozen weights (see [`crate::language::linear::Linear::merge`]).
    pub(super) fn merge(&mut self) {
        self.self_attn.merge();
        self.mlp.merge();
    }
}
