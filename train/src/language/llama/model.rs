//! `LlamaForCausalLM`: from embedded visual tokens, prompt and earlier words to logits of the next word.

use super::attention::visible;
use super::config::LlamaConfig;
use super::layer::{LlamaDecoderLayer, Pass};
use super::names::ADAPTER;
use super::rope::Rotary;
use crate::language::linear::Linear;
use crate::language::lora::{Adapted, Lora, same_weight};
use crate::language::rms_norm::RmsNorm;
use crate::language::tied_head::TiedHead;
use crate::language::tuning::Tuning;
use serde_json::json;
use signclip_common::weights::{Init, Part, Weights};
use signclip_common::{Error, Result};
use std::path::Path;
use tch::{Kind, Tensor};

/// Names of the embedding table and of the output layer's weight.
const EMBEDDINGS: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// The language model. Activations have the compute type of the base weights; norms, softmax, rotary positions, logits
/// and loss are float32.
#[derive(Debug)]
pub struct Llama {
    pub config: LlamaConfig,
    embed_tokens_vd: Tensor,
    pub(super) layers: Vec<LlamaDecoderLayer>,
    pub(super) norm: RmsNorm,
    lm_head: Linear,
    inverse_frequencies: Vec<f64>,
    kind: Kind,
}

impl Llama {
    /// Build from `base`, and report in one line what is wrong with the configuration, the weights or the adapter.
    pub fn load(base: &Weights, config: &LlamaConfig, tuning: Tuning) -> Result<Self> {
        config.check(Path::new("config.json"))?;
        tuning.build(base, &ADAPTER, |part, lora| {
            let (model, contradiction) = Self::new(part, config, lora);
            contradiction.map_or(Ok(model), |(what, remedy)| {
                let file = base.origin().join("config.json");
                Err(Error::input(file, "tie_word_embeddings", what, remedy))
            })
        })?
    }

    /// The model below `part`, and how the file contradicts `config`, with a remedy, if it does; the caller has checked
    /// `config`.
    fn new(
        part: &Part,
        config: &LlamaConfig,
        lora: Option<&Lora>,
    ) -> (Self, Option<(&'static str, &'static str)>) {
        let at = Adapted::root(part, lora);
        let (d, shape) = (config.hidden_size, [config.vocab_size, config.hidden_size]);
        let std = (d as f64).powf(-0.5);
        let embed_tokens_vd = part.init(EMBEDDINGS, &shape, Init::Normal(std));
        let ties = config.tie_word_embeddings;
        let contradiction = if ties && part.is_stored(HEAD) {
            let what = "true, and the file has another lm_head.weight than embeddings";
            let same = same_weight(&part.frozen().get(HEAD, &shape), &embed_tokens_vd);
            (!same).then_some((what, "set it to false, if the output layer is the file's own"))
        } else if !ties && !part.has(HEAD) {
            let what = "false or missing, and the file has no lm_head.weight";
            Some((
                what,
                "set it to true, if the embeddings are the output layer, or download the folder again",
            ))
        } else {
            None
        };
        let lm_head = match ties || contradiction.is_some() {
            true => Linear::with_weight(&at, "lm_head", embed_tokens_vd.shallow_clone()),
            false => Linear::new(&at, "lm_head", d, config.vocab_size, std),
        };
        let layer = |i| LlamaDecoderLayer::new(&at.sub(&format!("model.layers.{i}")), config);
        let model = Self {
            config: config.clone(),
            embed_tokens_vd,
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            norm: RmsNorm::new(&part.sub("model.norm"), d, config.rms_norm_eps),
            lm_head,
            inverse_frequencies: config.inverse_frequencies(),
            kind: part.kind(),
        };
        (model, contradiction)
    }

    /// The output layer, if it shares its weight with the embeddings.
    pub fn tied_head(config: &LlamaConfig) -> Option<TiedHead> {
        config.tie_word_embeddings.then(|| TiedHead {
            embeddings: EMBEDDINGS,
            scale: 1.0,
            untied: json!({ "tie_word_embeddings": false }),
        })
    }

    /// Compute type of the activations.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Embeddings of token ids: `[...]` to `[..., d]`, in the compute type.
    pub fn embed(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.embed_tokens_vd, ids, -1, false, false).to_kind(self.kind)
    }

    /// What the layers need for inputs where `mask_bt` is 0 at padding, on whichever side. Positions are counted from the
    /// first input that is not padding.
    pub(super) fn pass(&self, mask_bt: &Tensor, train: bool) -> Pass {
        let positions_bt = (mask_bt.cumsum(1, Kind::Int64) - 1).clamp_min(0);
        Pass { rotary: self.rotary(&positions_bt), mask: visible(mask_bt, self.kind), train }
    }

    /// For positions `[b, t]`.
    pub(super) fn rotary(&self, positions_bt: &Tensor) -> Rotary {
        Rotary::new(positions_bt, &self.inverse_frequencies)
    }

    /// Last hidden states `[b, t, d]` after the final norm, the input of [`Self::logits`], for embedded inputs;
    /// meaningless at padding.
    pub fn forward(&self, inputs_embeds_btd: &Tensor, mask_bt: &Tensor, train: bool) -> Tensor {
        self.forward_seeing(inputs_embeds_btd, mask_bt, train, &mut |_| {})
    }

    /// [`Self::forward`], showing the input of every layer to `seen`.
    pub fn forward_seeing(
        &self,
        inputs_embeds_btd: &Tensor,
        mask_bt: &Tensor,
        train: bool,
        seen: &mut dyn FnMut(&Tensor),
    ) -> Tensor {
        let pass = self.pass(mask_bt, train);
        let mut x_btd = inputs_embeds_btd.to_kind(self.kind);
        for layer in &self.layers {
            seen(&x_btd);
            x_btd = layer.forward(&x_btd, &pass).0;
        }
        self.norm.forward(&x_btd)
    }

    /// `lm_head`, float32.
    pub fn logits(&self, hidden: &Tensor, train: bool) -> Tensor {
        self.lm_head.forward(hidden, train).to_kind(Kind::Float)
    }

    /// Add the adapter to the frozen weights, which makes generation as fast as without one. The adapter's own
    /// tensors no longer matter afterwards.
    pub fn merge(&mut self) {
        self.layers.iter_mut().for_each(LlamaDecoderLayer::merge);
        self.lm_head.merge();
    }
}
