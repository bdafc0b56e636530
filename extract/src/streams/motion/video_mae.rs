//! The encoder of VideoMAE, as `VideoMAEModel` of transformers computes it.
//!
//! Shapes: n windows, f frames, t tokens (time, row, column), d hidden size.

use crate::streams::layers::attention::{Attention, LayerNorm, Linear};
use crate::streams::layers::frozen::Frozen;
use crate::streams::layers::pre_norm::{self, Activation, PreNormLayer};
use serde::{Deserialize, Serialize};
use signclip_common::weights::Part;
use tch::{Device, Kind, Tensor};

/// Fields of Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoMaeConfig {
    pub hidden_size: i64,
    pub intermediate_size: i64,
    pub num_hidden_layers: i64,
    pub num_attention_heads: i64,
    pub image_size: i64,
    pub patch_size: i64,
    /// Frames of a window, and of a tubelet, which is what a token is made of.
    pub num_frames: i64,
    pub tubelet_size: i64,
    pub layer_norm_eps: f64,
}

impl VideoMaeConfig {
    /// `MCG-NJU/videomae-large`: 24 layers of width 1024 on 16 frames of 224×224.
    pub fn large() -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size: 224,
            patch_size: 16,
            num_frames: 16,
            tubelet_size: 2,
            layer_norm_eps: 1e-12,
        }
    }

    /// Two layers of width 256 on 16 frames of 64×64, in 2×2 patches: for trying the programs out, without trained weights.
    /// Few large patches, since the first token sees the others only through untrained attention, which averages them.
    pub fn tiny() -> Self {
        Self {
            hidden_size: 256,
            intermediate_size: 512,
            num_hidden_layers: 2,
            num_attention_heads: 16,
            image_size: 64,
            patch_size: 32,
            ..Self::large()
        }
    }

    /// Tokens of a window.
    pub fn tokens(&self) -> i64 {
        (self.num_frames / self.tubelet_size) * (self.image_size / self.patch_size).pow(2)
    }
}

/// Keys of the official file, a `VideoMAEForPreTraining`, that belong to its decoder; and the norm behind the encoder, which
/// the decoder sees and SpaMo's features do not.
pub const OTHER_KEYS: [&str; 4] = ["mask_token", "encoder_to_decoder.", "decoder.", "videomae.layernorm."];

/// The encoder, without the norm behind it.
pub struct VideoMae {
    /// From the values of a tubelet.
    projection: Linear,
    position_embeddings_td: Frozen,
    layers: Vec<PreNormLayer>,
    tubelet_size: i64,
    patch_size: i64,
}

impl VideoMae {
    /// Build from a checkpoint's root part; keys begin with `videomae.`.
    pub fn new(root: &Part, config: &VideoMaeConfig) -> Self {
        let part = root.sub("videomae");
        let (d, patch, frames) = (config.hidden_size, config.patch_size, config.tubelet_size);
        let projection = part.sub("embeddings.patch_embeddings.projection");
        let kernel = projection.get("weight", &[d, 3, frames, patch, patch]);
        let positions = sinusoids(config.tokens(), d).to_device(root.device()).to_kind(root.kind());
        let layer = |i| layer(&part.sub(&format!("encoder.layer.{i}")), config);
        Self {
            projection: Linear::of(kernel.flatten(1, -1), projection.get("bias", &[d])),
            position_embeddings_td: positions.into(),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            tubelet_size: frames,
            patch_size: patch,
        }
    }

    /// Token 0 of the last layer: windows `[n, f, 3, size, size]` (normalised) to `[n, d]`. There is no class token: it is the
    /// upper left patch of the first frames, which has attended to all others.
    pub fn first_token(&self, pixels_nf3hw: &Tensor) -> Tensor {
        pre_norm::first_token(&self.layers, self.embed(pixels_nf3hw))
    }

    /// Every hidden state: the embeddings, then the output of each layer; `[n, t, d]` each.
    pub fn hidden_states(&self, pixels_nf3hw: &Tensor) -> Vec<Tensor> {
        pre_norm::hidden_states(&self.layers, self.embed(pixels_nf3hw))
    }

    /// Tubelets do not overlap: their convolution is one matrix product.
    fn embed(&self, pixels_nf3hw: &Tensor) -> Tensor {
        let (n, p, f) = (pixels_nf3hw.size()[0], self.patch_size, self.tubelet_size);
        let pixels = pixels_nf3hw.to_kind(self.position_embeddings_td.kind());
        let apart = pixels.unflatten(4, [-1, p]).unflatten(3, [-1, p]).unflatten(1, [-1, f]);
        // [n, time, f, 3, row, p, column, p]
        let tubelets = apart.permute([0, 1, 4, 6, 3, 2, 5, 7]).reshape([n, -1, 3 * f * p * p]);
        self.projection.forward(&tubelets) + &*self.position_embeddings_td
    }
}

/// A layer. Queries and values have biases, keys have none.
fn layer(part: &Part, config: &VideoMaeConfig) -> PreNormLayer {
    let (d, wide, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let attention = part.sub("attention.attention");
    let weight = ["query", "key", "value"].map(|name| attention.sub(name).get("weight", &[d, d]));
    let [q_bias, v_bias] = ["q_bias", "v_bias"].map(|name| attention.get(name, &[d]));
    let bias = Tensor::cat(&[&q_bias, &q_bias.zeros_like(), &v_bias], 0);
    let qkv = Linear::of(Tensor::cat(&weight, 0), bias);
    let out = Linear::new(&part.sub("attention.output.dense"), d, d);
    PreNormLayer {
        before_attention: LayerNorm::new(&part.sub("layernorm_before"), d, eps),
        attention: Attention::of(qkv, out, config.num_attention_heads),
        before_mlp: LayerNorm::new(&part.sub("layernorm_after"), d, eps),
        mlp: [
            Linear::new(&part.sub("intermediate.dense"), d, wide),
            Linear::new(&part.sub("output.dense"), wide, d),
        ],
        activation: Activation::Gelu,
    }
}

/// Fixed position embeddings `[t, d]`, which no checkpoint has: angle i / 10000^(2⌊j/2⌋/d) at position i and channel j, its
/// sine at even channels and its cosine at odd ones. Computed in float64.
fn sinusoids(t: i64, d: i64) -> Tensor {
    let options = (Kind::Double, Device::Cpu);
    let pairs = (Tensor::arange(d, options) / 2.0).floor() * 2.0 / d as f64;
    let angles_td = Tensor::arange(t, options).unsqueeze(1) / (pairs * 10_000_f64.ln()).exp();
    let even = Tensor::arange(d, (Kind::Int64, Device::Cpu)).remainder(2).eq(0);
    angles_td.sin().where_self(&even, &angles_td.cos()).to_kind(Kind::Float)
}
