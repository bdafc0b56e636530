//! Linear layer without a bias, optionally with a low-rank update: the only kind of layer that T5 has.

use crate::lora::{Adapted, LoraPair};
use signclip_common::weights::Init;
use tch::{Tensor, no_grad};

/// `y = W x`, plus the update of an adapter. `W [out, in]` is frozen in the compute type, or a float32 leaf that is
/// cast to the type of the input.
#[derive(Debug)]
pub struct Linear {
    weight_oi: Tensor,
    lora: Option<LoraPair>,
}

impl Linear {
    /// The layer `name` at `at`; `std` is its initialisation when there is no file.
    pub fn new(at: &Adapted, name: &str, inputs: i64, outputs: i64, std: f64) -> Self {
        let weight_oi = at.base.sub(name).init("weight", &[outputs, inputs], Init::Normal(std));
        Self::with_weight(at, name, weight_oi)
    }

    /// The layer `name` on a weight that it shares with another part.
    pub fn with_weight(at: &Adapted, name: &str, weight_oi: Tensor) -> Self {
        let size = weight_oi.size();
        Self { lora: at.pair(name, size[1], size[0]), weight_oi }
    }

    /// `x [..., in]` to `[..., out]`, in the type of `x`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let y = x.linear::<&Tensor>(&self.weight_oi.to_kind(x.kind()), None);
        match &self.lora {
            Some(lora) => lora.add_to(y, x, train),
            None => y,
        }
    }

    /// [`Self::forward`] of a few vectors that stand in columns: `x [in, r]` to `[out, r]`, for decoding step by step.
    /// With few of them the time is that of reading the weight, which this order of the factors reads as it lies:
    /// a quarter to a third faster than the other (bfloat16, 20 columns).
    pub fn columns(&self, x_ir: &Tensor) -> Tensor {
        let y_or = self.weight_oi.to_kind(x_ir.kind()).matmul(x_ir);
        match &self.lora {
            Some(lora) => y_or + lora.columns(x_ir),
            None => y_or,
        }
    }

    /// Add the update to the weight and drop it, for generation with a finished adapter. A frozen weight in
    /// bfloat16 rounds the sum, so results differ slightly from the separate branch.
    pub fn merge(&mut self) {
        if let Some(lora) = self.lora.take() {
            let sum = no_grad(|| self.weight_oi.to_kind(tch::Kind::Float) + lora.delta());
            self.weight_oi = sum.to_kind(self.weight_oi.kind());
        }
    }
}
