//! `T5ForConditionalGeneration`: from embedded frames and prompt to logits of the translation.

use super::config::T5Config;
use super::names::ADAPTER;
use super::stack::T5Stack;
use crate::language::inputs::IGNORE;
use crate::language::label_loss;
use crate::language::linear::Linear;
use crate::language::lora::{Adapted, Lora};
use crate::language::tied_head::TiedHead;
use crate::language::tuning::Tuning;
use serde_json::json;
use signclip_common::Result;
use signclip_common::weights::{Init, Part, Weights};
use std::path::Path;
use tch::{Kind, Tensor};

/// Names of the one embedding table. A file may hold any of them; the first found is used.
const EMBEDDINGS: [&str; 3] = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

/// The language model. Activations have the compute type of the base weights; norms, softmax, logits and loss are
/// float32.
#[derive(Debug)]
pub struct T5 {
    pub config: T5Config,
    pub(super) shared_vd: Tensor,
    pub(super) encoder: T5Stack,
    pub(super) decoder: T5Stack,
    lm_head: Linear,
    kind: Kind,
}

impl T5 {
    /// Build from `base`, and report in one line what is wrong with the configuration, the weights or the adapter.
    pub fn load(base: &Weights, config: &T5Config, tuning: Tuning) -> Result<Self> {
        config.check(Path::new("config.json"))?;
        tuning.build(base, &ADAPTER, |part, lora| Self::new(part, config, lora))
    }

    /// The model below `part`; the caller has checked `config`.
    pub fn new(part: &Part, config: &T5Config, lora: Option<&Lora>) -> Self {
        let at = Adapted::root(part, lora);
        let d_model = config.d_model;
        let shape = [config.vocab_size, d_model];
        let name = Self::embeddings(|name| part.has(name)).unwrap_or(EMBEDDINGS[0]);
        let shared_vd = part.init(name, &shape, Init::Normal(1.0));
        for copy in EMBEDDINGS.into_iter().filter(|&n| n != name && part.has(n)) {
            part.skip(copy);
        }
        let lm_head = if config.ties_head(part.has("lm_head.weight")) {
            if part.has("lm_head.weight") {
                part.skip("lm_head.weight");
            }
            Linear::with_weight(&at, "lm_head", shared_vd.shallow_clone())
        } else {
            Linear::new(&at, "lm_head", d_model, config.vocab_size, (d_model as f64).powf(-0.5))
        };
        Self {
            config: config.clone(),
            shared_vd,
            encoder: T5Stack::encoder(&at.sub("encoder"), config),
            decoder: T5Stack::decoder(&at.sub("decoder"), config),
            lm_head,
            kind: part.kind(),
        }
    }

    /// Under which name the files that have tensors as `has` says hold the embedding table.
    fn embeddings(has: impl Fn(&str) -> bool) -> Option<&'static str> {
        EMBEDDINGS.into_iter().find(|name| has(name))
    }

    /// The output layer, if it shares its weight with the embeddings in files that have tensors as `has` says.
    pub fn tied_head(config: &T5Config, has: impl Fn(&str) -> bool) -> Option<TiedHead> {
        if !config.ties_head(has("lm_head.weight")) {
            return None;
        }
        Some(TiedHead {
            embeddings: Self::embeddings(has)?,
            scale: if config.scales_outputs() { (config.d_model as f64).powf(-0.5) } else { 1.0 },
            untied: json!({ "tie_word_embeddings": false, "scale_decoder_outputs": false }),
        })
    }

    /// Compute type of the activations.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Embeddings of token ids: `[...]` to `[..., d]`, in the compute type.
    pub fn embed(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.shared_vd, ids, -1, false, false).to_kind(self.kind)
    }

    /// Encoder output `[b, s, d]` for embedded inputs; `mask_bs` is 0 at padding. Padded rows are meaningless.
    pub fn encode(&self, inputs_embeds_bsd: &Tensor, mask_bs: &Tensor, train: bool) -> Tensor {
        self.encode_seeing(inputs_embeds_bsd, mask_bs, train, &mut |_| {})
    }

    /// [`Self::encode`], showing the input of every block to `seen`.
    pub fn encode_seeing(
        &self,
        inputs_embeds_bsd: &Tensor,
        mask_bs: &Tensor,
        train: bool,
        seen: &mut dyn FnMut(&Tensor),
    ) -> Tensor {
        self.encoder.encode(inputs_embeds_bsd.to_kind(self.kind), mask_bs, train, seen)
    }

    /// Logits `[b, t, v]` (float32) of every next token, given the tokens up to each position.
    ///
    /// Deviation: there is no mask of the targets. Padding follows them, so no position that counts can see it; the
    /// logits at padding differ from a reference that masks it, and count for nothing.
    pub fn decode(&self, ids_bt: &Tensor, encoder_bsd: &Tensor, mask_bs: &Tensor, train: bool) -> Tensor {
        self.logits(&self.decode_seeing(ids_bt, encoder_bsd, mask_bs, train, &mut |_| {}), train)
    }

    /// Decoder output `[b, t, d]` after the final norm, the input of [`Self::logits`], showing the input of every
    /// block to `seen`.
    pub fn decode_seeing(
        &self,
        ids_bt: &Tensor,
        encoder_bsd: &Tensor,
        mask_bs: &Tensor,
        train: bool,
        seen: &mut dyn FnMut(&Tensor),
    ) -> Tensor {
        self.decoder.decode(self.embed(ids_bt), encoder_bsd, mask_bs, train, seen)
    }

    /// `lm_head`, float32.
    pub fn logits(&self, decoder_btd: &Tensor, train: bool) -> Tensor {
        self.lm_head.forward(&self.scaled(decoder_btd), train).to_kind(Kind::Float)
    }

    /// The input of `lm_head`.
    fn scaled(&self, decoder: &Tensor) -> Tensor {
        match self.config.scales_outputs() {
            true => decoder * (self.config.d_model as f64).powf(-0.5),
            false => decoder.shallow_clone(),
        }
    }

    /// Decoder inputs for `labels_bt`: shifted right behind the start token, ignored positions as padding.
    pub fn shift_right(&self, labels_bt: &Tensor) -> Tensor {
        let size = labels_bt.size();
        let start_b1 = labels_bt.new_full(
            [size[0], 1],
            self.config.decoder_start_token_id,
            (Kind::Int64, labels_bt.device()),
        );
        let shifted_bt = Tensor::cat(&[start_b1, labels_bt.narrow(1, 0, size[1] - 1)], 1);
        shifted_bt.masked_fill(&shifted_bt.eq(IGNORE), self.config.pad_token_id)
    }

    /// Backward pass of the labels' summed cross-entropy over `divisor` from the decoder's output; gives the loss.
    pub(super) fn label_backward(
        &self,
        decoder_btd: &Tensor,
        labels_bt: &Tensor,
        divisor: f64,
        train: bool,
    ) -> Tensor {
        let labels_n = labels_bt.flatten(0, -1);
        let counts_n = labels_n.ne(IGNORE).nonzero().squeeze_dim(-1);
        let decoder_nd = decoder_btd.flatten(0, 1).index_select(0, &counts_n);
        let labels_n = labels_n.index_select(0, &counts_n);
        let logits = |decoder_nd: &Tensor| self.logits(decoder_nd, train);
        label_loss::backward(&decoder_nd, &labels_n, self.config.vocab_size, divisor, logits)
    }

    /// Position bias of the encoder or the decoder, `[1, h, t, s]` (see [`super::RelativePositionBias::forward`]).
    pub fn position_bias(&self, decoder: bool, first: i64, queries: i64, keys: i64) -> Tensor {
        let stack = if decoder { &self.decoder } else { &self.encoder };
        stack.position_bias(first, queries, keys, self.kind)
    }

    /// Add the adapter to the frozen weights, which makes generation as fast as without one. The adapter's own
    /// tensors no longer matter afterwards.
    pub fn merge(&mut self) {
        self.encoder.merge();
        self.decoder.merge();
        self.lm_head.merge();
    }
}
