//! Root mean square norm (Zhang and Sennrich 2019), `T5LayerNorm` and `LlamaRMSNorm` of transformers: no mean, no bias.

use signclip_common::weights::{Init, Part};
use tch::{Device, Kind, Tensor};

/// `y = x / sqrt(mean(x^2) + eps) * weight`, computed in float32 with a float32 weight whatever the type of `x`.
///
/// Deviation: for bfloat16 the reference rounds the normalised value before multiplying by a bfloat16 weight; here
/// the product is rounded once.
#[derive(Debug)]
pub struct RmsNorm {
    weight_d: Tensor,
    epsilon: f64,
}

impl RmsNorm {
    pub fn new(part: &Part, width: i64, epsilon: f64) -> Self {
        let weight_d = part.in_kind(Kind::Float).init("weight", &[width], Init::Constant(1.0));
        Self { weight_d, epsilon }
    }

    /// Normalise the last axis.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match x.device() {
            Device::Cpu => self.in_steps(x),
            _ => self.fused(x),
        }
    }

    /// One kernel, which wants the weight in the type of `x` and computes in float32.
    fn fused(&self, x: &Tensor) -> Tensor {
        let weight_d = self.weight_d.to_kind(x.kind());
        x.internal_fused_rms_norm(weight_d.size(), Some(&weight_d), self.epsilon).0
    }

    fn in_steps(&self, x: &Tensor) -> Tensor {
        let x_f32 = x.to_kind(Kind::Float);
        let variance = x_f32.square().mean_dim(-1, true, Kind::Float);
        (x_f32 * (variance + self.epsilon).rsqrt() * &self.weight_d).to_kind(x.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a GPU computes, on the CPU.
    #[test]
    fn the_fused_norm_is_the_one_in_steps() {
        let wave = |shape: [i64; 2], step: f64| {
            let x = Tensor::arange(shape[0] * shape[1], (Kind::Float, Device::Cpu));
            (x * step).sin().reshape(shape)
        };
        let norm = RmsNorm { weight_d: wave([1, 24], 0.7).view([-1]), epsilon: 1e-6 };
        for (kind, bound) in [(Kind::Float, 1e-6), (Kind::BFloat16, 2e-2)] {
            let x = (wave([5, 24], 1.3) * 3.0).to_kind(kind);
            let (fused, steps) = (norm.fused(&x), norm.in_steps(&x));
            assert_eq!(fused.kind(), kind);
            let gap = (fused - steps).to_kind(Kind::Float).abs().max().double_value(&[]);
            assert!(gap < bound, "{kind:?}: {gap}");
        }
    }
}
