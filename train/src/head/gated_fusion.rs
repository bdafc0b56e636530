//! Gated fusion of gesture and mouthing (paper, Multimodal Contrastive Fusion, Gated Fusion):
//!
//! ```text
//! g = σ(MLP([Z'_s ; Z_m])),   Z_fused = g ⊙ Z'_s + (1 − g) ⊙ Z_m
//! ```
//!
//! The paper leaves the MLP open. Here: Linear(2d → d), GELU (erf), Linear(d → d), one gate value per channel, since ⊙
//! needs d of them; the authors' published code has the first Linear alone. Two other ways to fuse are there to be compared
//! with it: a Linear of the concatenated streams, and their mean. SpaMo's way, one stream behind the other along time, is in
//! [`crate::head::along_time`].
//
// Shapes: B clips, T frames, D channels.

use crate::head::projector::Affine;
use serde::{Deserialize, Serialize};
use signclip_common::store::{MOUTHING, SPATIAL};
use signclip_common::weights::Part;
use tch::Tensor;

/// How two streams become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FusionKind {
    /// By the gate (paper).
    #[default]
    Gate,
    /// W [Z'_s ; Z_m] + b, without a gate.
    Concatenation,
    /// ½ Z'_s + ½ Z_m, without a gate and without weights.
    Addition,
    /// The rows of one stream behind those of the other, of two streams or more (SpaMo).
    AlongTime,
}

impl FusionKind {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Concatenation => "concatenation",
            Self::Addition => "addition",
            Self::AlongTime => "along_time",
        }
    }

    /// The streams that it fuses frame by frame, in the order of [`Fusion::forward`]; none where it takes any.
    pub fn streams(self) -> Option<[&'static str; 2]> {
        (self != Self::AlongTime).then_some([SPATIAL, MOUTHING])
    }
}

/// A fusion frame by frame.
pub enum Fusion {
    Gate(GatedFusion),
    Concatenation(Affine),
    Addition,
}

impl Fusion {
    /// Build in the part `gate` or `concatenation` of `part`; nothing for a fusion along time.
    pub fn new(part: &Part, d: i64, kind: FusionKind, gate_layers: usize) -> Option<Self> {
        match kind {
            FusionKind::Gate => Some(Self::Gate(GatedFusion::new(&part.sub("gate"), d, gate_layers))),
            FusionKind::Concatenation => {
                Some(Self::Concatenation(Affine::new(&part.sub("concatenation"), 2 * d, d)))
            }
            FusionKind::Addition => Some(Self::Addition),
            FusionKind::AlongTime => None,
        }
    }

    /// Gate, where there is one, and fused features; at padded positions too.
    pub fn forward(&self, spatial_btd: &Tensor, mouth_btd: &Tensor) -> (Option<Tensor>, Tensor) {
        match self {
            Self::Gate(gate) => {
                let (gate_btd, fused_btd) = gate.forward(spatial_btd, mouth_btd);
                (Some(gate_btd), fused_btd)
            }
            Self::Concatenation(proj) => (None, proj.forward(&Tensor::cat(&[spatial_btd, mouth_btd], -1))),
            Self::Addition => (None, (spatial_btd + mouth_btd) * 0.5),
        }
    }
}

pub struct GatedFusion {
    gate_0: Affine,
    gate_2: Option<Affine>,
}

impl GatedFusion {
    /// Of one layer or of two.
    pub fn new(part: &Part, d: i64, layers: usize) -> Self {
        Self {
            gate_0: Affine::new(&part.sub("0"), 2 * d, d),
            gate_2: (layers > 1).then(|| Affine::new(&part.sub("2"), d, d)),
        }
    }

    /// Gate and fused features; at padded positions too.
    pub fn forward(&self, spatial_btd: &Tensor, mouth_btd: &Tensor) -> (Tensor, Tensor) {
        let both_bt2d = Tensor::cat(&[spatial_btd, mouth_btd], -1);
        let first_btd = self.gate_0.forward(&both_bt2d);
        let gate_btd = match &self.gate_2 {
            Some(gate_2) => gate_2.forward(&first_btd.gelu("none")).sigmoid(),
            None => first_btd.sigmoid(),
        };
        let fused_btd = &gate_btd * spatial_btd + (1.0 - &gate_btd) * mouth_btd;
        (gate_btd, fused_btd)
    }
}
