//! The layer of a pre-norm transformer, which CLIP, VideoMAE and AV-HuBERT have under names of their own.
//!
//! Shapes: n sequences, t tokens, d width.

use crate::streams::layers::attention::{Attention, LayerNorm, Linear};
use crate::streams::layers::passes::QUICK_GELU;
use tch::{Device, Tensor};

/// What stands between the two maps of the MLP.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Activation {
    /// CLIP's `x · σ(1.702 x)`.
    QuickGelu,
    /// GELU with the error function.
    Gelu,
    /// `x · σ(x)`, which is CLIP's between maps that have its factor in their weights.
    Silu,
}

/// An MLP with CLIP's activation. A GPU reads and writes what is between its maps nine times for it, and three times where the
/// factor is in their weights: q(x) = silu(1.702 x) / 1.702.
pub(crate) fn quick_gelu_mlp([wide, back]: [Linear; 2], device: Device) -> ([Linear; 2], Activation) {
    match device {
        Device::Cpu => ([wide, back], Activation::QuickGelu),
        _ => ([wide.scaled(QUICK_GELU, QUICK_GELU), back.scaled(1.0 / QUICK_GELU, 1.0)], Activation::Silu),
    }
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
            Activation::Silu => wide.forward(&normed_ntd).silu_(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::layers::tests::wave;

    /// What a GPU computes, on the CPU.
    #[test]
    fn the_factor_of_the_activation_may_be_in_the_weights() {
        let maps = || {
            let [wide, back] = [wave(&[24, 8], 0.37), wave(&[8, 24], 0.11)];
            let bias = |n: i64| wave(&[1, n], 0.7).view([n]);
            [Linear::of(wide, bias(24)), Linear::of(back, bias(8))]
        };
        let x = wave(&[5, 8], 1.3) * 3.0;
        let ([wide, back], _) = quick_gelu_mlp(maps(), Device::Cpu);
        let want = back.forward(&wide.quick_gelu(&x));
        let ([wide, back], activation) = quick_gelu_mlp(maps(), Device::Cuda(0));
        assert!(matches!(activation, Activation::Silu));
        let gap = (back.forward(&wide.forward(&x).silu_()) - want).abs().max().double_value(&[]);
        assert!(gap < 1e-5, "{gap}");
    }
}
