//! The layer of a pre-norm transformer, which CLIP, VideoMAE and AV-HuBERT have under names of their own.
//!
//! Shapes: n sequences, t tokens, d width.

use crate::streams::layers::attention::{Attention, LayerNorm, Linear};
use tch::Tensor;

/// What stands between the two maps of the MLP.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Activation {
    /// CLIP's `x · σ(1.702 x)`.
    QuickGelu,
    /// GELU with the error function.
    Gelu,
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
pub(crate) struct PreNormLayer {
    pub(crate) before_attention: LayerNorm,
    pub(crate) attention: Attention,
    pub(crate) before_mlp: LayerNorm,
    /// The maps to the inner width and back.
    pub(crate) mlp: [Linear; 2],
    pub(crate) activation: Activation,
}

impl PreNormLayer {
    /// `[n, t, d]` to `[n, t, d]`, in the memory of `x_ntd`. `attended_n11t` is false at padding.
    pub(crate) fn forward(&self, x_ntd: Tensor, attended_n11t: Option<&Tensor>) -> Tensor {
        let normed_ntd = self.before_attention.forward(&x_ntd);
        self.add_mlp(self.attention.add_to(x_ntd, &normed_ntd, attended_n11t))
    }

    /// The first token of the output, `[n, d]`: of a last layer often all that anybody reads.
    pub(crate) fn first_token(&self, x_ntd: &Tensor) -> Tensor {
        let first_n1d = x_ntd.narrow(1, 0, 1).contiguous();
        let normed_ntd = self.before_attention.forward(x_ntd);
        self.add_mlp(self.attention.add_first_to(first_n1d, &normed_ntd)).squeeze_dim(1)
    }

    fn add_mlp(&self, x_ntd: Tensor) -> Tensor {
        let [wide, back] = &self.mlp;
        let normed_ntd = self.before_mlp.forward(&x_ntd);
        let inner = match self.activation {
            Activation::QuickGelu => wide.quick_gelu(&normed_ntd),
            Activation::Gelu => wide.forward(&normed_ntd).gelu_("none"),
        };
        back.add_to(x_ntd, &inner)
    }
}

/// The first token after all `layers`, `[n, d]`; of the last one nothing else is computed.
pub(crate) fn first_token(layers: &[PreNormLayer], mut x_ntd: Tensor) -> Tensor {
    let Some((last, layers)) = layers.split_last() else { return x_ntd.select(1, 0) };
    for layer in layers {
        x_ntd = layer.forward(x_ntd, None);
    }
    last.first_token(&x_ntd)
}

/// Every hidden state: `x_ntd`, then the output of each layer.
pub(crate) fn hidden_states(layers: &[PreNormLayer], x_ntd: Tensor) -> Vec<Tensor> {
    let mut states = vec![x_ntd];
    for layer in layers {
        states.push(layer.forward(states[states.len() - 1].copy(), None));
    }
    states
}
