//! Streams with mean 0 and deviation 1 over the data set, instead of clip by clip: what the frames of a clip share stays.

use crate::head::temporal::valid;
use signclip_common::weights::Part;
use tch::{Kind, Tensor};

/// Mean and deviation of each column of a stream, over all rows of the training.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub mean: Vec<f32>,
    pub deviation: Vec<f32>,
}

/// A stream's statistics in the head, saved with its weights.
pub(super) struct Standard {
    mean_s: Tensor,
    deviation_s: Tensor,
}

impl Standard {
    pub(super) fn new(part: &Part, width: i64) -> Self {
        Self {
            mean_s: part.buffer("mean", &[width], 0.0),
            deviation_s: part.buffer("deviation", &[width], 1.0),
        }
    }

    pub(super) fn set(&self, statistics: &Statistics) {
        for (buffer, values) in [(&self.mean_s, &statistics.mean), (&self.deviation_s, &statistics.deviation)]
        {
            buffer.shallow_clone().copy_(&Tensor::from_slice(values));
        }
    }

    /// `[B, T, S]`, zero at padding as before.
    pub(super) fn forward(&self, rows_bts: &Tensor, lengths_b: &Tensor) -> Tensor {
        let mask_bt1 =
            valid(lengths_b, rows_bts.size()[1], rows_bts.device()).unsqueeze(-1).to_kind(Kind::Float);
        (rows_bts - &self.mean_s) / (&self.deviation_s + 1e-5) * mask_bt1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signclip_common::weights::Weights;
    use tch::Device;

    /// By hand: (5 - 2) / 3 and (4 - 8) / 2 in the valid row, nothing in the padding.
    #[test]
    fn columns_by_hand() {
        let weights = Weights::fresh(0, Device::Cpu, Kind::Float);
        let standard = weights.build(&[], |part| Standard::new(&part.trainable(), 2)).expect("buffers");
        standard.set(&Statistics { mean: vec![2.0, 8.0], deviation: vec![3.0, 2.0] });
        let rows = Tensor::from_slice(&[5.0_f32, 4.0, 0.0, 0.0]).view([1, 2, 2]);
        let out = standard.forward(&rows, &Tensor::from_slice(&[1_i64]));
        let wanted = Tensor::from_slice(&[1.0_f32, -2.0, 0.0, 0.0]).view([1, 2, 2]);
        assert!(out.allclose(&wanted, 1e-4, 1e-4, false), "{out}");
        assert_eq!(weights.buffers().len(), 2, "saved with the weights");
    }
}
