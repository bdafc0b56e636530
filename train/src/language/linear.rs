//! Linear layer without a bias, optionally with a low-rank update.

use crate::language::few_rows;
use crate::language::lora::{Adapted, LoraPair};
use signclip_common::onednn;
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
        Self { lora: at.pair(name, &weight_oi), weight_oi }
    }

    /// `x [..., in]` to `[..., out]`, in the type of `x`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let y = product(x, &self.weight_oi.to_kind(x.kind()));
        match &self.lora {
            Some(lora) => lora.add_to(y, x, train),
            None => y,
        }
    }

    /// Add the update to the weight and drop it, for generation with a finished adapter. A frozen weight in
    /// bfloat16 rounds the sum, so results differ slightly from the separate branch. Layers that were [joined](Joined)
    /// are to be joined again.
    pub fn merge(&mut self) {
        if let Some(lora) = self.lora.take() {
            let sum = no_grad(|| self.weight_oi.to_kind(tch::Kind::Float) + lora.delta());
            self.weight_oi = sum.to_kind(self.weight_oi.kind());
        }
    }
}

/// The weights of several [`Linear`] layers with the same input behind each other, where they are frozen, so that
/// decoding reads them in one product. The layers' own weights become views of it, one after the other: a model is
/// never in memory twice.
#[derive(Debug)]
pub struct Joined {
    outputs: i64,
    filled: i64,
    weight_oi: Option<Tensor>,
}

impl Joined {
    /// No layers yet; together they will have `outputs` rows.
    pub fn new(outputs: i64) -> Self {
        Self { outputs, filled: 0, weight_oi: None }
    }

    /// These layers.
    pub fn of<const N: usize>(layers: [&mut Linear; N]) -> Self {
        let mut joined = Self::new(layers.iter().map(|layer| layer.weight_oi.size()[0]).sum());
        layers.into_iter().for_each(|layer| joined.take(layer));
        joined
    }

    /// Take the weight of `layer` in, if it is frozen, and make it a view.
    pub fn take(&mut self, layer: &mut Linear) {
        if layer.weight_oi.requires_grad() {
            return;
        }
        let size = layer.weight_oi.size();
        let (outputs, of_layer) = (self.outputs, &layer.weight_oi);
        let weight_oi = self
            .weight_oi
            .get_or_insert_with(|| Tensor::empty([outputs, size[1]], (of_layer.kind(), of_layer.device())));
        let mut view_oi = weight_oi.narrow(0, self.filled, size[0]);
        view_oi.copy_(&layer.weight_oi);
        layer.weight_oi = view_oi;
        self.filled += size[0];
    }

    /// [`Linear::forward`] of every one of `layers`, those that were joined, without training.
    pub fn forward<const N: usize>(&self, layers: [&Linear; N], x: &Tensor) -> [Tensor; N] {
        let Some(weight_oi) = self.weight_oi.as_ref().filter(|_| self.filled == self.outputs) else {
            return layers.map(|layer| layer.forward(x, false));
        };
        let y = product(x, weight_oi);
        let mut begin = 0;
        layers.map(|layer| {
            let outputs = layer.weight_oi.size()[0];
            let own = y.narrow(-1, begin, outputs);
            begin += outputs;
            match &layer.lora {
                Some(lora) => lora.add_to(own.contiguous(), x, false),
                None => own,
            }
        })
    }
}

/// `x W^T`, by whatever is fastest.
fn product(x: &Tensor, weight_oi: &Tensor) -> Tensor {
    if let Some(y) = few_rows::product(x, weight_oi) {
        return y;
    }
    let rows = x.numel() as i64 / weight_oi.size()[1].max(1);
    let large = rows >= 64 && weight_oi.numel() >= 1 << 18;
    if large && onednn::is_faster(x) {
        return onednn::product(x, weight_oi);
    }
    x.linear::<&Tensor>(weight_oi, None)
}
