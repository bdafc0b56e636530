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
        let y_or = self.weight_oi.to_kind(x_ir.kind()).mm(x_ir);
        match &self.lora {
            Some(lora) => y_or + lora.columns(x_ir),
            None => y_or,
        }
    }

    /// Put the frozen weights of layers with the same input behind each other, so that decoding reads them in one
    /// product (see [`Joined`]). Trainable weights stay where they are.
    pub fn join<const N: usize>(mut layers: [&mut Self; N]) -> Joined {
        if layers.iter().any(|layer| layer.weight_oi.requires_grad()) {
            return Joined { weight_oi: None };
        }
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight_oi).collect();
        let weight_oi = Tensor::cat(&weights, 0);
        let mut begin = 0;
        for layer in &mut layers {
            let outputs = layer.weight_oi.size()[0];
            layer.weight_oi = weight_oi.narrow(0, begin, outputs);
            begin += outputs;
        }
        Joined { weight_oi: Some(weight_oi) }
    }

    /// Add the update to the weight and drop it, for generation with a finished adapter. A frozen weight in
    /// bfloat16 rounds the sum, so results differ slightly from the separate branch. Layers that were joined are to
    /// be joined again.
    pub fn merge(&mut self) {
        if let Some(lora) = self.lora.take() {
            let sum = no_grad(|| self.weight_oi.to_kind(tch::Kind::Float) + lora.delta());
            self.weight_oi = sum.to_kind(self.weight_oi.kind());
        }
    }
}

/// The weights of several [`Linear`] layers as one, where they are frozen; the layers' own weights are views of it.
#[derive(Debug)]
pub struct Joined {
    weight_oi: Option<Tensor>,
}

impl Joined {
    /// [`Linear::columns`] of every one of `layers`, those that were joined.
    pub fn columns<const N: usize>(&self, layers: [&Linear; N], x_ir: &Tensor) -> [Tensor; N] {
        let Some(weight_oi) = &self.weight_oi else { return layers.map(|layer| layer.columns(x_ir)) };
        let y_or = weight_oi.mm(x_ir);
        let mut begin = 0;
        layers.map(|layer| {
            let outputs = layer.weight_oi.size()[0];
            let own_or = y_or.narrow(0, begin, outputs);
            begin += outputs;
            match &layer.lora {
                Some(lora) => own_or + lora.columns(x_ir),
                None => own_or,
            }
        })
    }
}
