//! Gated fusion of gesture and mouthing (paper, Multimodal Contrastive Fusion, Gated Fusion):
//!
//! ```text
//! g = σ(MLP([Z'_s ; Z_m])),   Z_fused = g ⊙ Z'_s + (1 − g) ⊙ Z_m
//! ```
//!
//! The paper leaves the MLP open. Here: Linear(2d → d), GELU (erf), Linear(d → d), one gate value per channel, since ⊙
//! needs d of them.
//
// Shapes: B clips, T frames, D channels.

use crate::projector::Affine;
use signclip_common::weights::Part;
use tch::Tensor;

pub struct GatedFusion {
    gate_0: Affine,
    gate_2: Affine,
}

impl GatedFusion {
    pub fn new(part: &Part, d: i64) -> Self {
        Self { gate_0: Affine::new(&part.sub("0"), 2 * d, d), gate_2: Affine::new(&part.sub("2"), d, d) }
    }

    /// Gate and fused features; at padded positions too.
    pub fn forward(&self, spatial_btd: &Tensor, mouth_btd: &Tensor) -> (Tensor, Tensor) {
        let both_bt2d = Tensor::cat(&[spatial_btd, mouth_btd], -1);
        let gate_btd = self.gate_2.forward(&self.gate_0.forward(&both_bt2d).gelu("none")).sigmoid();
        let fused_btd = &gate_btd * spatial_btd + (1.0 - &gate_btd) * mouth_btd;
        (gate_btd, fused_btd)
    }
}
