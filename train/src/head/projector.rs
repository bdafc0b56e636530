//! The projector into the language model: visual tokens = W₂ GELU(W₁ Z_conv) (paper, Figure 2, Projector).
//!
//! Reference: SpaMo `spamo/mm_projector.py`, `mlp2x_gelu` (there `fusion_proj`). No deviations.
//
// Shapes: B clips, T' steps, D channels, L width of the language model.

use signclip_common::weights::{Init, Part};
use tch::{Kind, Tensor};

/// y = W x + b, trainable in float32, initialised as `torch.nn.Linear`. The product is computed in the compute type of
/// its part; input and output are float32.
pub struct Affine {
    weight: Tensor,
    bias: Tensor,
    kind: Kind,
}

impl Affine {
    pub fn new(part: &Part, d_in: i64, d_out: i64) -> Self {
        let init = Init::Uniform(1.0 / (d_in as f64).sqrt());
        Self {
            weight: part.init("weight", &[d_out, d_in], init),
            bias: part.init("bias", &[d_out], init),
            kind: part.kind(),
        }
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (self.weight.to_kind(self.kind), self.bias.to_kind(self.kind));
        x.to_kind(self.kind).linear(&weight, Some(&bias)).to_kind(x.kind())
    }
}

pub struct Projector {
    proj_0: Affine,
    proj_2: Affine,
}

impl Projector {
    pub fn new(part: &Part, d: i64, d_llm: i64) -> Self {
        Self {
            proj_0: Affine::new(&part.sub("0"), d, d_llm),
            proj_2: Affine::new(&part.sub("2"), d_llm, d_llm),
        }
    }

    pub fn forward(&self, z_btd: &Tensor) -> Tensor {
        self.proj_2.forward(&self.proj_0.forward(z_btd).gelu("none"))
    }
}
