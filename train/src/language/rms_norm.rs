//! Root mean square norm (Zhang and Sennrich 2019), `T5LayerNorm` and `LlamaRMSNorm` of transformers: no mean, no bias.

use signclip_common::weights::{Init, Part};
use tch::{Kind, Tensor};

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
        let x_f32 = x.to_kind(Kind::Float);
        let variance = x_f32.square().mean_dim(-1, true, Kind::Float);
        (x_f32 * (variance + self.epsilon).rsqrt() * &self.weight_d).to_kind(x.kind())
    }
}
