//! The contrastive losses L_vt and L_sm (paper, Multimodal Contrastive Fusion, Contrastive Supervision):
//!
//! ```text
//! L = −1/N Σ_i log( exp(sim(a_i, b_i)/τ) / Σ_j exp(sim(a_i, b_j)/τ) )
//! ```
//!
//! One direction as printed (a → b); the symmetric form of CLIP and SpaMo (mean of both directions) is an option.
//! 1/τ = exp(logit_scale) is learned from τ = 0.07 as in SpaMo, where the paper only says that τ is a hyperparameter.
//!
//! Deviations: 1/τ is at most 100, unless `loss.scale_bound` says otherwise; clips with identical target texts are not
//! negatives of each other, unless `loss.same_sentence_negatives` is set.
//
// Shapes: N pairs (of all devices), D channels.

use signclip_common::weights::{Init, Part};
use tch::{Kind, Reduction, Tensor};

/// ln(1/0.07) as CLIP and SpaMo write it.
const INITIAL_LOGIT_SCALE: f64 = 2.6592;

/// InfoNCE with a temperature.
pub struct InfoNce {
    logit_scale: Tensor,
    /// Largest 1/τ.
    bound: Option<f64>,
}

impl InfoNce {
    /// The temperature is the 0-D tensor `name`; 1/τ is at most `bound`.
    pub fn new(part: &Part, name: &str, bound: Option<f64>) -> Self {
        Self { logit_scale: part.init(name, &[], Init::Constant(INITIAL_LOGIT_SCALE)), bound }
    }

    /// Another loss with the same temperature.
    pub fn sharing(&self) -> Self {
        Self { logit_scale: self.logit_scale.shallow_clone(), bound: self.bound }
    }

    /// The loss of N pairs. Where `same_nn` (bool) is true away from the diagonal, the two pairs are not negatives of
    /// each other.
    pub fn loss(&self, a_nd: &Tensor, b_nd: &Tensor, same_nn: Option<&Tensor>, symmetric: bool) -> Tensor {
        let mut logits_nn = self.scale() * cosine(a_nd, b_nd);
        let n = logits_nn.size()[0];
        let options = (Kind::Int64, logits_nn.device());
        if let Some(same_nn) = same_nn {
            let off_diagonal_nn = Tensor::eye(n, options).logical_not();
            logits_nn = logits_nn.masked_fill(&same_nn.logical_and(&off_diagonal_nn), f64::NEG_INFINITY);
        }
        let target_n = Tensor::arange(n, options);
        let one_way = |logits: &Tensor| {
            logits.cross_entropy_loss::<Tensor>(&target_n, None, Reduction::Mean, -100, 0.0)
        };
        if symmetric { (one_way(&logits_nn) + one_way(&logits_nn.tr())) * 0.5 } else { one_way(&logits_nn) }
    }

    /// 1/τ.
    pub fn scale(&self) -> Tensor {
        let scale = self.logit_scale.exp();
        self.bound.map_or_else(|| scale.shallow_clone(), |bound| scale.clamp_max(bound))
    }

    /// Keep the parameter itself inside its range; to be called after each update. At the bound of [`Self::scale`]
    /// there is no gradient, so a parameter beyond it would never come back.
    pub fn clamp(&self) {
        let Some(bound) = self.bound else { return };
        let _guard = tch::no_grad_guard();
        // A little below the bound: exp rounds.
        let _ = self.logit_scale.shallow_clone().clamp_max_(bound.ln() - 1e-4);
    }
}

/// Cosine of every row of `a_nd` with every row of `b_md`; 0 where a row is zero.
pub fn cosine(a_nd: &Tensor, b_md: &Tensor) -> Tensor {
    unit(a_nd).matmul(&unit(b_md).tr())
}

/// x / max(‖x‖, 1e-8).
pub(super) fn unit(x_nd: &Tensor) -> Tensor {
    let norm_n1 = x_nd.norm_scalaropt_dim(2.0, [-1].as_slice(), true);
    x_nd / norm_n1.clamp_min(1e-8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use signclip_common::Result;
    use signclip_common::weights::Weights;
    use tch::Device;

    fn fresh() -> Result<InfoNce> {
        let weights = Weights::fresh(0, Device::Cpu, Kind::Float);
        weights.build(&[], |part| InfoNce::new(&part.trainable(), "logit_scale", Some(100.0)))
    }

    fn pairs() -> (Tensor, Tensor) {
        let v = Tensor::from_slice(&[1f32, 0., 0., 0., 1., 1., 1., 1., 0.]).reshape([3, 3]);
        let t = Tensor::from_slice(&[1f32, 0.2, 0., 0., 1., 0.5, 0.3, 1., 0.]).reshape([3, 3]);
        (v, t)
    }

    fn near(got: &Tensor, want: f64) {
        assert!((got.double_value(&[]) - want).abs() < 1e-6, "{} {want}", got.double_value(&[]));
    }

    /// Values printed by torch.
    #[test]
    fn both_directions() -> Result<()> {
        let (loss, (v, t)) = (fresh()?, pairs());
        assert!((loss.scale().double_value(&[]) - 14.2848558).abs() < 1e-5);
        near(&loss.loss(&v, &t, None, false), 0.148537114);
        near(&loss.loss(&t, &v, None, false), 0.059223115);
        near(&loss.loss(&v, &t, None, true), 0.103880115);
        near(&cosine(&v, &t).get(1).get(2), 0.677285);
        Ok(())
    }

    /// Two clips with one text: neither counts as the other's negative, and the diagonal of the mask says nothing.
    #[test]
    fn identical_texts_are_no_negatives() -> Result<()> {
        let (loss, (v, t)) = (fresh()?, pairs());
        let same =
            Tensor::from_slice(&[true, false, false, false, true, true, false, true, true]).reshape([3, 3]);
        let logits = cosine(&v, &t) * 14.2848558;
        let row = |i: i64, kept: &[i64]| {
            let kept = logits.get(i).index_select(0, &Tensor::from_slice(kept));
            kept.logsumexp([0].as_slice(), false) - logits.get(i).get(i)
        };
        let want = (row(0, &[0, 1, 2]) + row(1, &[0, 1]) + row(2, &[0, 2])) / 3.0;
        near(&loss.loss(&v, &t, Some(&same), false), want.double_value(&[]));
        // All texts equal: nothing to tell apart.
        near(&loss.loss(&v, &t, Some(&same.ones_like()), true), 0.0);
        Ok(())
    }

    #[test]
    fn the_scale_is_bounded_and_comes_back() -> Result<()> {
        let (loss, (v, t)) = (fresh()?, pairs());
        {
            let _guard = tch::no_grad_guard();
            let _ = loss.logit_scale.shallow_clone().fill_(9.0);
        }
        assert_eq!(loss.scale().double_value(&[]), 100.0);
        loss.clamp();
        assert!((loss.scale().double_value(&[]) - 100.0).abs() < 0.02);
        loss.loss(&v, &t.flip([0]), None, false).backward();
        assert!(loss.logit_scale.grad().double_value(&[]) > 0.0);
        Ok(())
    }

    /// A zero vector (a clip without a face) gives a finite loss and gradient.
    #[test]
    fn zero_vectors_are_harmless() -> Result<()> {
        let (v, t) = pairs();
        let v = (v * Tensor::from_slice(&[1f32, 0., 1.]).unsqueeze(-1)).set_requires_grad(true);
        let loss = fresh()?.loss(&v, &t, None, true);
        loss.backward();
        let finite = |x: &Tensor| x.isfinite().all().int64_value(&[]) == 1;
        assert!(finite(&loss) && finite(&v.grad()));
        Ok(())
    }
}
