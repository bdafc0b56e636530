//! The transformer of AV-HuBERT: `TransformerEncoder` of `fairseq/models/wav2vec/wav2vec2.py` with `layer_norm_first`,
//! as both Base and Large have it.
//!
//! Shapes: n clips, t frames, d width.

use super::config::{EPS, LipConfig};
use crate::streams::layers::attention::{Attention, LayerNorm, Linear};
use crate::streams::layers::frozen::Frozen;
use crate::streams::layers::pre_norm::{Activation, PreNormLayer};
use signclip_common::weights::Part;
use tch::{Kind, Tensor};

/// Positional convolution, layers, final layer norm.
pub struct Transformer {
    pos_conv: PositionalConvolution,
    layers: Vec<PreNormLayer>,
    layer_norm: LayerNorm,
}

impl Transformer {
    /// Build from the part `encoder`.
    pub fn new(part: &Part, config: &LipConfig) -> Self {
        let layer = |i| layer(&part.sub(&format!("layers.{i}")), config);
        Self {
            pos_conv: PositionalConvolution::new(&part.sub("pos_conv.0"), config),
            layers: (0..config.encoder_layers).map(layer).collect(),
            layer_norm: LayerNorm::new(&part.sub("layer_norm"), config.encoder_embed_dim, EPS),
        }
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// `[n, t, d]` to `[n, t, d]`: after the final norm, or the output of `layer`, counted from 1, without that norm.
    /// Positions where `padded_nt` is true do not influence the others.
    pub fn forward(&self, x_ntd: &Tensor, padded_nt: Option<&Tensor>, layer: Option<usize>) -> Tensor {
        let zeroed = padded_nt.map(|padded_nt| x_ntd.masked_fill(&padded_nt.unsqueeze(-1), 0.0));
        let x_ntd = zeroed.as_ref().unwrap_or(x_ntd);
        let attended_n11t = padded_nt.map(|padded_nt| padded_nt.logical_not().unsqueeze(1).unsqueeze(1));
        let mut x_ntd = (x_ntd + self.pos_conv.forward(x_ntd)).contiguous();
        for layer in &self.layers[..layer.unwrap_or(self.layers.len())] {
            x_ntd = layer.forward(x_ntd, attended_n11t.as_ref());
        }
        if layer.is_some() { x_ntd } else { self.layer_norm.forward(&x_ntd) }
    }
}

/// Positions relative to each other, by a wide grouped convolution over time.
struct PositionalConvolution {
    weight: Frozen,
    bias: Frozen,
    groups: i64,
}

impl PositionalConvolution {
    /// The kernel comes with weight norm over dimension 2: `weight_v` scaled so that each tap, over all channels, has
    /// the length in `weight_g`. Computed in float64.
    fn new(part: &Part, config: &LipConfig) -> Self {
        let (d, taps, groups) = (config.encoder_embed_dim, config.conv_pos, config.conv_pos_groups);
        let exact = part.in_kind(Kind::Double);
        let direction = exact.get("weight_v", &[d, d / groups, taps]);
        let length = direction.square().sum_dim_intlist([0_i64, 1].as_slice(), true, Kind::Double).sqrt();
        let weight = direction * (exact.get("weight_g", &[1, 1, taps]) / length);
        Self { weight: weight.to_kind(part.kind()).into(), bias: part.get("bias", &[d]).into(), groups }
    }

    fn forward(&self, x_ntd: &Tensor) -> Tensor {
        let (t, taps) = (x_ntd.size()[1], self.weight.size()[2]);
        // An even kernel between equal margins gives one step too many: the reference drops the last.
        x_ntd
            .transpose(1, 2)
            .conv1d(&self.weight, Some(&*self.bias), [1], [taps / 2], [1], self.groups)
            .narrow(2, 0, t)
            .gelu("none")
            .transpose(1, 2)
    }
}

/// A layer. Its second norm has the name `final_layer_norm` in the reference.
fn layer(part: &Part, config: &LipConfig) -> PreNormLayer {
    let (d, wide) = (config.encoder_embed_dim, config.encoder_ffn_embed_dim);
    PreNormLayer {
        before_attention: LayerNorm::new(&part.sub("self_attn_layer_norm"), d, EPS),
        attention: Attention::new(&part.sub("self_attn"), d, config.encoder_attention_heads),
        before_mlp: LayerNorm::new(&part.sub("final_layer_norm"), d, EPS),
        mlp: [Linear::new(&part.sub("fc1"), d, wide), Linear::new(&part.sub("fc2"), wide, d)],
        activation: Activation::Gelu,
    }
}
