//! The encoder and the decoder: blocks, the position bias that they share, and the final norm.

use super::attention::{T5LayerCrossAttention, T5LayerSelfAttention};
use super::config::T5Config;
use super::feed_forward::T5LayerFF;
use super::position_bias::RelativePositionBias;
use crate::language::attend::{causal_mask, key_mask, step_kind};
use crate::language::cache::{BlockCache, DecoderCache};
use crate::language::dropout::dropout;
use crate::language::lora::Adapted;
use crate::language::past::KeyValue;
use crate::language::rms_norm::RmsNorm;
use tch::{Kind, Tensor};

/// Self-attention, in the decoder cross-attention, feed-forward.
#[derive(Debug)]
pub struct T5Block {
    self_attention: T5LayerSelfAttention,
    cross_attention: Option<T5LayerCrossAttention>,
    feed_forward: T5LayerFF,
}

impl T5Block {
    pub fn new(at: &Adapted, config: &T5Config, is_decoder: bool) -> Self {
        Self {
            self_attention: T5LayerSelfAttention::new(&at.sub("layer.0"), config),
            cross_attention: is_decoder.then(|| T5LayerCrossAttention::new(&at.sub("layer.1"), config)),
            feed_forward: T5LayerFF::new(&at.sub(if is_decoder { "layer.2" } else { "layer.1" }), config),
        }
    }

    /// Keys and values of the encoder output for this block; `None` in an encoder.
    fn cross_key_value(&self, encoder_bsd: &Tensor, train: bool) -> Option<KeyValue> {
        self.cross_attention.as_ref().map(|layer| layer.key_value(encoder_bsd, train))
    }

    fn forward(
        &self,
        x_btd: &Tensor,
        bias: &Tensor,
        encoder: Option<(&KeyValue, &Tensor)>,
        train: bool,
    ) -> Tensor {
        let mut x_btd = self.self_attention.forward(x_btd, bias, train);
        if let (Some(layer), Some((key_value, mask_b11s))) = (&self.cross_attention, encoder) {
            x_btd = layer.forward(&x_btd, key_value, mask_b11s, train);
        }
        self.feed_forward.forward(&x_btd, train)
    }

    /// The next position of every row.
    fn step(&self, x_rd: &Tensor, bias: &Tensor, cache: &mut BlockCache, mask_b11s: &Tensor) -> Tensor {
        let mut x_rd = self.self_attention.step(x_rd, bias, &mut cache.past);
        if let Some(layer) = &self.cross_attention {
            x_rd = layer.step(&x_rd, &cache.given, mask_b11s);
        }
        self.feed_forward.step(&x_rd)
    }

    fn merge(&mut self) {
        self.self_attention.merge();
        self.cross_attention.iter_mut().for_each(T5LayerCrossAttention::merge);
        self.feed_forward.merge();
    }
}

/// The encoder, or the decoder.
#[derive(Debug)]
pub struct T5Stack {
    block: Vec<T5Block>,
    relative_attention_bias: RelativePositionBias,
    final_layer_norm: RmsNorm,
    dropout: f64,
}

/// A pass through the blocks of a stack: what they share.
pub(super) struct Pass<'a> {
    stack: &'a T5Stack,
    /// `[b or 1, h, t, s]`
    pub(super) bias: Tensor,
    /// In a decoder: the encoder output, and what to add to the scores of its positions.
    encoder: Option<(Tensor, Tensor)>,
    train: bool,
}

impl Pass<'_> {
    /// Block number `block`.
    pub(super) fn block(&self, block: usize, x: &Tensor) -> Tensor {
        let block = &self.stack.block[block];
        let Some((encoder_bsd, mask_b11s)) = &self.encoder else {
            return block.forward(x, &self.bias, None, self.train);
        };
        let key_value = block.cross_key_value(encoder_bsd, self.train);
        block.forward(x, &self.bias, key_value.as_ref().map(|kv| (kv, mask_b11s)), self.train)
    }
}

impl T5Stack {
    /// The encoder at `encoder`.
    pub fn encoder(at: &Adapted, config: &T5Config) -> Self {
        Self::new(at, config, config.num_layers, false)
    }

    /// The decoder at `decoder`.
    pub fn decoder(at: &Adapted, config: &T5Config) -> Self {
        Self::new(at, config, config.decoder_layers(), true)
    }

    fn new(at: &Adapted, config: &T5Config, layers: i64, is_decoder: bool) -> Self {
        let block = |i| T5Block::new(&at.sub(&format!("block.{i}")), config, is_decoder);
        let bias = at.base.sub("block.0.layer.0.SelfAttention.relative_attention_bias");
        Self {
            block: (0..layers).map(block).collect(),
            relative_attention_bias: RelativePositionBias::new(&bias, config, !is_decoder),
            final_layer_norm: RmsNorm::new(
                &at.base.sub("final_layer_norm"),
                config.d_model,
                config.layer_norm_epsilon,
            ),
            dropout: config.dropout_rate,
        }
    }

    /// The position bias `[1, h, t, s]` of this stack (see [`RelativePositionBias::forward`]).
    pub fn position_bias(&self, first: i64, queries: i64, keys: i64, kind: Kind) -> Tensor {
        self.relative_attention_bias.forward(first, queries, keys, kind)
    }

    /// Encode `x_bsd` where `mask_bs` is not 0. `seen` gets the input of every block.
    pub fn encode(
        &self,
        x_bsd: Tensor,
        mask_bs: &Tensor,
        train: bool,
        seen: &mut dyn FnMut(&Tensor),
    ) -> Tensor {
        self.through(&self.encoding(&x_bsd, mask_bs, train), x_bsd, seen)
    }

    /// Decode all positions of `x_btd` at once, each seeing those up to itself. `seen` as in [`Self::encode`].
    pub fn decode(
        &self,
        x_btd: Tensor,
        encoder_bsd: &Tensor,
        mask_bs: &Tensor,
        train: bool,
        seen: &mut dyn FnMut(&Tensor),
    ) -> Tensor {
        self.through(&self.decoding(&x_btd, encoder_bsd, mask_bs, train), x_btd, seen)
    }

    fn through(&self, pass: &Pass, x: Tensor, seen: &mut dyn FnMut(&Tensor)) -> Tensor {
        let mut x = self.begin(x, pass.train);
        for block in 0..self.block.len() {
            seen(&x);
            x = pass.block(block, &x);
        }
        self.finish(&x, pass.train)
    }

    /// What the blocks of an encoder need besides the input `x_bsd`.
    pub(super) fn encoding(&self, x_bsd: &Tensor, mask_bs: &Tensor, train: bool) -> Pass<'_> {
        let (kind, s) = (x_bsd.kind(), x_bsd.size()[1]);
        let bias = self.position_bias(0, s, s, kind) + key_mask(mask_bs, kind);
        Pass { stack: self, bias, encoder: None, train }
    }

    /// What the blocks of a decoder need besides the input `x_btd`.
    pub(super) fn decoding(
        &self,
        x_btd: &Tensor,
        encoder_bsd: &Tensor,
        mask_bs: &Tensor,
        train: bool,
    ) -> Pass<'_> {
        let (kind, t) = (x_btd.kind(), x_btd.size()[1]);
        let bias = self.position_bias(0, t, t, kind) + causal_mask(t, kind, x_btd.device());
        let encoder = Some((encoder_bsd.shallow_clone(), key_mask(mask_bs, kind)));
        Pass { stack: self, bias, encoder, train }
    }

    pub(super) fn blocks(&self) -> usize {
        self.block.len()
    }

    /// The cache before the first step, for the clips of `encoder_bsd`.
    pub fn start(&self, encoder_bsd: &Tensor, mask_bs: &Tensor) -> DecoderCache {
        let kind = step_kind(encoder_bsd);
        let blocks = self.block.iter().filter_map(|block| block.cross_key_value(encoder_bsd, false));
        DecoderCache::new(blocks.map(|encoder| encoder.to_kind(kind)), key_mask(mask_bs, kind))
    }

    /// Decode the next position of every row of `x_rd` after those in `cache`.
    pub fn step(&self, x_rd: Tensor, cache: &mut DecoderCache) -> Tensor {
        let bias_1h1t = self.position_bias(cache.length, 1, cache.length + 1, step_kind(&x_rd));
        cache.length += 1;
        let mut x_rd = x_rd;
        for (block, of_block) in self.block.iter().zip(&mut cache.blocks) {
            x_rd = block.step(&x_rd, &bias_1h1t, of_block, &cache.mask_b11s);
        }
        self.final_layer_norm.forward(&x_rd)
    }

    /// Add the adapter to the frozen weights (see [`crate::language::linear::Linear::merge`]).
    pub fn merge(&mut self) {
        self.block.iter_mut().for_each(T5Block::merge);
    }

    /// Before the first block.
    pub(super) fn begin(&self, x: Tensor, train: bool) -> Tensor {
        dropout(x, self.dropout, train)
    }

    /// After the last block.
    pub(super) fn finish(&self, x: &Tensor, train: bool) -> Tensor {
        dropout(self.final_layer_norm.forward(x), self.dropout, train)
    }
}
