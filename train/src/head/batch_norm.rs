//! Batch normalisation over the valid steps of padded clips.
//!
//! Reference: `torch.nn.BatchNorm1d` (eps 1e-5, momentum 0.1, unbiased running variance), as in SpaMo's
//! `spamo/tconv.py`.
//!
//! Deviations: in training the statistics are those of the valid steps alone (SpaMo counts padding, so that a clip's
//! normalisation depends on how long its neighbours are). `num_batches_tracked` is not kept: it has no influence at a
//! fixed momentum.
//
// Shapes: B clips, D channels, T steps.

use signclip_common::weights::{Init, Part};
use tch::Tensor;

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

pub struct BatchNorm {
    weight_d: Tensor,
    bias_d: Tensor,
    running_mean_d: Tensor,
    running_var_d: Tensor,
}

impl BatchNorm {
    pub fn new(part: &Part, d: i64) -> Self {
        part.skip("num_batches_tracked");
        Self {
            weight_d: part.init("weight", &[d], Init::Constant(1.0)),
            bias_d: part.init("bias", &[d], Init::Constant(0.0)),
            running_mean_d: part.buffer("running_mean", &[d], 0.0),
            running_var_d: part.buffer("running_var", &[d], 1.0),
        }
    }

    /// Normalises `x_bdt + offset_d`, where `mask_b1t` is 1 at valid steps and 0 elsewhere: in training by the
    /// statistics of the batch, towards which the running statistics move, otherwise by the running ones. In training
    /// the offset cancels out and gets no gradient: Adam would magnify its rounding errors to full steps.
    pub fn forward(&self, x_bdt: &Tensor, offset_d: &Tensor, mask_b1t: &Tensor, train: bool) -> Tensor {
        let (mean_d, var_d) = match train {
            true => self.batch_statistics(x_bdt, offset_d, mask_b1t),
            false => (&self.running_mean_d - offset_d, self.running_var_d.shallow_clone()),
        };
        let scale_d = &self.weight_d * (var_d + EPS).rsqrt();
        let shift_d = &self.bias_d - mean_d * &scale_d;
        x_bdt * scale_d.unsqueeze(-1) + shift_d.unsqueeze(-1)
    }

    /// Mean and biased variance over the valid steps.
    fn batch_statistics(&self, x_bdt: &Tensor, offset_d: &Tensor, mask_b1t: &Tensor) -> (Tensor, Tensor) {
        let over_steps = |x: &Tensor| x.sum_dim_intlist([0, 2].as_slice(), false, x.kind());
        let mask_b1t = mask_b1t.to_kind(x_bdt.kind());
        let count = mask_b1t.sum(mask_b1t.kind());
        let mean_d = over_steps(&(x_bdt * &mask_b1t)) / &count;
        // Around a constant: to first order, the variance does not change when its centre does.
        let centred_bdt = (x_bdt - mean_d.detach().unsqueeze(-1)) * &mask_b1t;
        let var_d = over_steps(&centred_bdt.square()) / &count;
        self.track(&(&mean_d + offset_d), &var_d, &count);
        (mean_d, var_d)
    }

    fn track(&self, mean_d: &Tensor, var_d: &Tensor, count: &Tensor) {
        let _guard = tch::no_grad_guard();
        // A single step has no unbiased variance; it counts as it is.
        let unbiased_d = var_d * (count / (count - 1.0).clamp_min(1.0));
        let _ = self.running_mean_d.shallow_clone().lerp_(mean_d, MOMENTUM);
        let _ = self.running_var_d.shallow_clone().lerp_(&unbiased_d, MOMENTUM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signclip_common::Result;
    use signclip_common::weights::Weights;
    use tch::{Device, Kind};

    /// Against libtorch's own, with the valid steps laid end to end.
    #[test]
    fn padding_does_not_count() -> Result<()> {
        let (d, lengths) = (6, [7, 3]);
        let weights = Weights::synthetic(5, Device::Cpu, Kind::Float);
        let norm = weights.build(&[], |part| BatchNorm::new(&part.sub("norm").trainable(), d))?;
        tch::manual_seed(1);
        let x_bdt = Tensor::randn([2, d, 7], (Kind::Float, Device::Cpu)) * 3.0 + 1.0;
        let steps = Tensor::arange(7, (Kind::Int64, Device::Cpu));
        let mask_b1t = steps.lt_tensor(&Tensor::from_slice(&lengths).unsqueeze(-1)).unsqueeze(1);

        let packed: Vec<Tensor> = (0..2).map(|b| x_bdt.get(b).narrow(1, 0, lengths[b as usize])).collect();
        let packed_1dn = Tensor::cat(&packed, 1).unsqueeze(0);
        let (mean, var) = (norm.running_mean_d.copy(), norm.running_var_d.copy());
        let offset_d = Tensor::randn([d], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        for train in [false, true] {
            let want = (&packed_1dn + offset_d.unsqueeze(-1)).batch_norm(
                Some(&norm.weight_d),
                Some(&norm.bias_d),
                Some(&mean),
                Some(&var),
                train,
                MOMENTUM,
                EPS,
                false,
            );
            let got_bdt = norm.forward(&x_bdt, &offset_d, &mask_b1t.to_kind(Kind::Float), train);
            let got: Vec<Tensor> = (0..2).map(|b| got_bdt.get(b).narrow(1, 0, lengths[b as usize])).collect();
            let got_1dn = Tensor::cat(&got, 1).unsqueeze(0);
            assert!(got_1dn.allclose(&want, 1e-5, 1e-5, false), "training: {train}");
        }
        assert!(norm.running_mean_d.allclose(&mean, 1e-6, 1e-6, false));
        assert!(norm.running_var_d.allclose(&var, 1e-5, 1e-6, false));
        Ok(())
    }
}
