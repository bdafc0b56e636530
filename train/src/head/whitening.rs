//! Streams with mean 0 and variance 1 in every direction over the data set, instead of clip by clip: what the frames of a clip
//! share stays.
//!
//! Column by column is not enough: where two signers look different, that difference is most of the variance of nearly
//! every column, and what the hands do is left small. So the columns are standardised, and then decorrelated:
//!
//! ```text
//! x ← (x − mean) / deviation · U (Λ + ε)^(−1/2) Uᵀ        U Λ Uᵀ: the correlations
//! ```
//!
//! (ZCA of the correlations: Kessy, Lewin and Strimmer, 2018, "Optimal whitening and decorrelation".) ε keeps directions that
//! hardly vary from becoming loud.
//
// Shapes: B clips, T frames, S width of the stream.

use crate::head::temporal::valid;
use signclip_common::weights::Part;
use tch::{Kind, Tensor};

const EPSILON: f64 = 1e-3;

/// What a stream is multiplied by after its mean is taken away, of all rows of the training.
#[derive(Debug)]
pub struct Statistics {
    /// `[S]` float64.
    pub mean_s: Tensor,
    /// `[S, S]` float64.
    pub whitening_ss: Tensor,
}

impl Statistics {
    /// Of the sums of so many rows (`[S]`) and of their outer products (`[S, S]`), float64.
    pub fn of(sums_s: &Tensor, products_ss: &Tensor, rows: usize) -> Self {
        let n = rows.max(1) as f64;
        let mean_s = sums_s / n;
        let covariance_ss = products_ss / n - mean_s.outer(&mean_s);
        let scale_s = (covariance_ss.diagonal(0, 0, 1).clamp_min(0.0).sqrt() + 1e-5).reciprocal();
        let correlations_ss = covariance_ss * scale_s.outer(&scale_s);
        let (values_s, vectors_ss) = correlations_ss.linalg_eigh("L");
        let turned_ss = &vectors_ss * (values_s.clamp_min(0.0) + EPSILON).rsqrt();
        let whitening_ss = scale_s.unsqueeze(-1) * turned_ss.matmul(&vectors_ss.tr());
        Self { mean_s, whitening_ss }
    }
}

/// A stream's statistics in the head, saved with its weights.
pub(super) struct Whitening {
    mean_s: Tensor,
    whitening_ss: Tensor,
}

impl Whitening {
    pub(super) fn new(part: &Part, width: i64) -> Self {
        Self {
            mean_s: part.buffer("mean", &[width], 0.0),
            whitening_ss: part.buffer("whitening", &[width, width], 0.0),
        }
    }

    pub(super) fn set(&self, statistics: &Statistics) {
        self.mean_s.shallow_clone().copy_(&statistics.mean_s);
        self.whitening_ss.shallow_clone().copy_(&statistics.whitening_ss);
    }

    /// `[B, T, S]`, zero at padding as before.
    pub(super) fn forward(&self, rows_bts: &Tensor, lengths_b: &Tensor) -> Tensor {
        let mask_bt1 =
            valid(lengths_b, rows_bts.size()[1], rows_bts.device()).unsqueeze(-1).to_kind(Kind::Float);
        (rows_bts - &self.mean_s).matmul(&self.whitening_ss) * mask_bt1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signclip_common::weights::Weights;
    use tch::Device;

    /// Columns that are nearly the same become independent ones of variance 1, but for ε; nothing is in the padding.
    #[test]
    fn rows_are_whitened() {
        let n = 4000;
        let noise = |step: f64| {
            let x = Tensor::arange(n, (Kind::Double, Device::Cpu));
            (x * step).sin()
        };
        let (a, b) = (noise(1.0), noise(2.7));
        let rows_ns = Tensor::stack(&[&a * 100.0 + 7.0, (&a + &b * 0.3) * 0.01], 1);
        let products_ss = rows_ns.tr().matmul(&rows_ns);
        let statistics = Statistics::of(
            &rows_ns.sum_dim_intlist([0].as_slice(), false, Kind::Double),
            &products_ss,
            n as usize,
        );
        let weights = Weights::fresh(0, Device::Cpu, Kind::Float);
        let whitening = weights.build(&[], |part| Whitening::new(&part.trainable(), 2)).expect("buffers");
        whitening.set(&statistics);
        assert_eq!(weights.buffers().len(), 2, "saved with the weights");
        let padded = Tensor::cat(&[&rows_ns, &rows_ns.narrow(0, 0, 5)], 0).unsqueeze(0).to_kind(Kind::Float);
        let out = whitening.forward(&padded, &Tensor::from_slice(&[n]));
        assert_eq!(out.get(0).narrow(0, n, 5).abs().max().double_value(&[]), 0.0);
        let out = out.get(0).narrow(0, 0, n).to_kind(Kind::Double);
        let covariance = out.tr().matmul(&out) / n as f64;
        let wanted = Tensor::eye(2, (Kind::Double, Device::Cpu));
        assert!(covariance.allclose(&wanted, 0.0, 0.05, false), "{covariance}");
        assert!(out.mean_dim([0].as_slice(), false, Kind::Double).abs().max().double_value(&[]) < 1e-3);
    }
}
