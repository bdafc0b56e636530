//! Temporal modelling: Z_conv = Conv1D(Z_fused^T) (paper, Multimodal Contrastive Fusion, Temporal Modeling).
//!
//! Reference: SpaMo `spamo/tconv.py`, `TemporalConv` with `conv_type` 2 (keys `temporal_conv.{0,1,4,5}`).
//!
//! Deviations: clips shorter than 16 frames are filled up with zeros to 16 (SpaMo fails there), batch statistics leave
//! padding out (see [`crate::head::batch_norm`]), and steps beyond a clip's end are zero. A bias before a batch norm has the
//! gradient 0 in training: here it gets none, so it stays as it was, where the rounding errors of a computed gradient
//! would become steps of full size under Adam.
//
// Shapes: B clips, T frames, T' steps after the convolution, D channels.

use crate::head::batch_norm::BatchNorm;
use serde::{Deserialize, Serialize};
use signclip_common::devices;
use signclip_common::weights::{Init, Part};
use tch::{Device, Kind, Tensor};

/// Frames that give one step.
pub const MIN_FRAMES: i64 = 16;

const KERNEL: i64 = 5;

/// Which convolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvKind {
    /// Twice Conv1d (kernel 5), batch norm, ReLU, max pooling by 2: T' = (T − 12) / 4. "Following SpaMo".
    #[default]
    Spamo,
    /// One Conv1d (kernel 5, zero padding 2): T' = T, as the shapes of the paper's equation have it.
    Same,
}

/// Which steps of padded clips count in a mean or in batch statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Steps {
    /// Those of the clips.
    #[default]
    Valid,
    /// The padding too, as in SpaMo's code: what a clip gives depends on how long its neighbours are.
    All,
}

/// Trainable in float32, computed in the compute type of its part; input and output are float32.
struct Conv {
    weight_ddk: Tensor,
    bias_d: Tensor,
    kind: Kind,
}

impl Conv {
    fn new(part: &Part, d: i64) -> Self {
        let init = Init::Uniform(1.0 / ((d * KERNEL) as f64).sqrt());
        Self {
            weight_ddk: part.init("weight", &[d, d, KERNEL], init),
            bias_d: part.init("bias", &[d], init),
            kind: part.kind(),
        }
    }

    fn forward(&self, x_bdt: &Tensor, padding: i64) -> Tensor {
        let (weight_ddk, bias_d) = (self.weight_ddk.to_kind(self.kind), self.bias_d.to_kind(self.kind));
        x_bdt.to_kind(self.kind).conv1d(&weight_ddk, Some(&bias_d), 1, padding, 1, 1).to_kind(x_bdt.kind())
    }

    /// Without the bias, which the norm that follows takes as its offset.
    fn forward_unbiased(&self, x_bdt: &Tensor) -> Tensor {
        let weight_ddk = self.weight_ddk.to_kind(self.kind);
        x_bdt.to_kind(self.kind).conv1d::<&Tensor>(&weight_ddk, None, 1, 0, 1, 1).to_kind(x_bdt.kind())
    }
}

/// The convolution under its names in a state dict.
pub struct TemporalConv {
    /// `0` and `4` of `spamo`, `0` of `same`.
    convs: Vec<Conv>,
    /// `1` and `5` of `spamo`.
    norms: Vec<BatchNorm>,
    norm_over: Steps,
}

impl TemporalConv {
    /// `norm_over`: the steps that batch statistics are of.
    pub fn new(part: &Part, d: i64, kind: ConvKind, norm_over: Steps) -> Self {
        let conv = |name: &str| Conv::new(&part.sub(name), d);
        let norm = |name: &str| BatchNorm::new(&part.sub(name), d);
        match kind {
            ConvKind::Same => Self { convs: vec![conv("0")], norms: Vec::new(), norm_over },
            ConvKind::Spamo => {
                let (conv0, norm0) = (conv("0"), norm("1"));
                let (conv1, norm1) = (conv("4"), norm("5"));
                Self { convs: vec![conv0, conv1], norms: vec![norm0, norm1], norm_over }
            }
        }
    }

    /// `x_btd` is zero beyond `lengths_b`. Gives the steps, zero beyond each clip's end, and how many each clip has.
    pub fn forward(&self, x_btd: &Tensor, lengths_b: &Tensor, train: bool) -> (Tensor, Tensor) {
        let (steps_btd, lengths_b, _) = self.forward_padded(x_btd, lengths_b, train);
        (steps_btd, lengths_b)
    }

    /// [`Self::forward`], and the steps once more with what the convolution makes of the padding beyond each clip's end.
    pub fn forward_padded(
        &self,
        x_btd: &Tensor,
        lengths_b: &Tensor,
        train: bool,
    ) -> (Tensor, Tensor, Tensor) {
        let mut x_bdt = x_btd.transpose(1, 2);
        if self.norms.is_empty() {
            let x_btd = self.convs[0].forward(&x_bdt, KERNEL / 2).transpose(1, 2);
            let mask_bt = valid(lengths_b, x_btd.size()[1], x_btd.device());
            return (&x_btd * mask_bt.unsqueeze(-1), lengths_b.shallow_clone(), x_btd);
        }
        let missing = MIN_FRAMES - x_bdt.size()[2];
        if missing > 0 {
            x_bdt = x_bdt.constant_pad_nd([0, missing]);
        }
        let mut lengths_b = lengths_b.clamp_min(MIN_FRAMES);
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x_bdt = conv.forward_unbiased(&x_bdt);
            lengths_b -= KERNEL - 1;
            let mask_b1t = match self.norm_over {
                Steps::Valid => valid(&lengths_b, x_bdt.size()[2], x_bdt.device()).unsqueeze(1),
                Steps::All => x_bdt.narrow(1, 0, 1).ones_like(),
            };
            // A pooled step counts as valid only where both of its steps are.
            x_bdt = norm.forward(&x_bdt, &conv.bias_d, &mask_b1t, train);
            x_bdt = x_bdt.relu().max_pool1d([2], [2], [0], [1], false);
            lengths_b = lengths_b.divide_scalar_mode(2, "floor");
        }
        let mask_b1t = valid(&lengths_b, x_bdt.size()[2], x_bdt.device()).unsqueeze(1);
        ((&x_bdt * mask_b1t).transpose(1, 2), lengths_b, x_bdt.transpose(1, 2))
    }
}

/// 1 (float32) at steps before each length, 0 from there on: `[B, T]` on `device`. Lengths are on the CPU, so that nobody has to
/// fetch them from a GPU, which would stop it.
pub fn valid(lengths_b: &Tensor, t: i64, device: Device) -> Tensor {
    let steps_t = Tensor::arange(t, (Kind::Int64, Device::Cpu));
    devices::upload(&steps_t.lt_tensor(&lengths_b.unsqueeze(-1)).to_kind(Kind::Float), device)
}

/// Maximum over valid steps: `[B, T, D]` to `[B, D]`.
pub fn masked_max(x_btd: &Tensor, lengths_b: &Tensor) -> Tensor {
    let padding_bt1 = valid(lengths_b, x_btd.size()[1], x_btd.device()).unsqueeze(-1).eq(0.0);
    x_btd.masked_fill(&padding_bt1, f64::NEG_INFINITY).amax([1].as_slice(), false)
}

/// Mean over valid steps: `[B, T, D]` to `[B, D]`.
pub fn masked_mean(x_btd: &Tensor, lengths_b: &Tensor) -> Tensor {
    let mask_bt1 = valid(lengths_b, x_btd.size()[1], x_btd.device()).unsqueeze(-1);
    let sum_bd = (x_btd * mask_bt1).sum_dim_intlist([1].as_slice(), false, x_btd.kind());
    sum_bd / devices::upload(&lengths_b.clamp_min(1).unsqueeze(-1), x_btd.device())
}

/// Number of steps that a clip of `frames` frames has after the convolution.
pub fn out_length(kind: ConvKind, frames: i64) -> i64 {
    match kind {
        ConvKind::Same => frames,
        ConvKind::Spamo => (frames.max(MIN_FRAMES) - 12) / 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signclip_common::Result;
    use signclip_common::weights::Weights;

    fn make(kind: ConvKind, d: i64) -> Result<TemporalConv> {
        let weights = Weights::synthetic(3, Device::Cpu, Kind::Float);
        weights.build(&[], |part| TemporalConv::new(&part.sub("temporal").trainable(), d, kind, Steps::Valid))
    }

    /// Lengths that SpaMo's network gave when it was run.
    #[test]
    fn out_lengths_are_those_of_spamo() -> Result<()> {
        let conv = make(ConvKind::Spamo, 2)?;
        for (frames, steps) in
            [(1, 1), (15, 1), (16, 1), (20, 2), (100, 22), (116, 26), (242, 57), (475, 115)]
        {
            assert_eq!(out_length(ConvKind::Spamo, frames), steps);
            let x_btd = Tensor::zeros([1, frames, 2], (Kind::Float, Device::Cpu));
            let (y_btd, lengths_b) = conv.forward(&x_btd, &Tensor::from_slice(&[frames]), false);
            assert_eq!((y_btd.size()[1], lengths_b.int64_value(&[0])), (steps, steps), "{frames} frames");
        }
        Ok(())
    }

    /// A clip in a padded batch gives what it gives alone, whatever else the batch holds.
    #[test]
    fn padding_changes_nothing() -> Result<()> {
        let (d, lengths) = (6, [61, 16, 9, 38, 17]);
        tch::manual_seed(7);
        for kind in [ConvKind::Spamo, ConvKind::Same] {
            let conv = make(kind, d)?;
            let lengths_b = Tensor::from_slice(&lengths);
            let x_btd = Tensor::randn([5, 61, d], (Kind::Float, Device::Cpu));
            let x_btd = x_btd * valid(&lengths_b, 61, Device::Cpu).unsqueeze(-1);
            let (y_btd, steps_b) = conv.forward(&x_btd, &lengths_b, false);
            for (b, &length) in lengths.iter().enumerate() {
                let x_1td = x_btd.get(b as i64).narrow(0, 0, length).unsqueeze(0);
                let (alone_1td, _) = conv.forward(&x_1td, &Tensor::from_slice(&[length]), false);
                let steps = steps_b.int64_value(&[b as i64]);
                assert_eq!(steps, out_length(kind, length));
                let in_batch_td = y_btd.get(b as i64);
                let difference = in_batch_td.narrow(0, 0, steps) - alone_1td.get(0);
                assert!(difference.abs().max().double_value(&[]) < 1e-5, "{kind:?}, {length} frames");
                let beyond = in_batch_td.narrow(0, steps, in_batch_td.size()[0] - steps);
                assert_eq!(beyond.count_nonzero(None).int64_value(&[]), 0);
            }
        }
        Ok(())
    }

    /// In training, batch statistics see no padding: more of it changes neither outputs nor running statistics.
    #[test]
    fn training_does_not_see_padding() -> Result<()> {
        let (d, lengths_b) = (4, Tensor::from_slice(&[40i64, 23, 5]));
        tch::manual_seed(9);
        let x_btd = Tensor::randn([3, 40, d], (Kind::Float, Device::Cpu))
            * valid(&lengths_b, 40, Device::Cpu).unsqueeze(-1);
        let wide_btd = x_btd.constant_pad_nd([0, 0, 0, 25]);
        let (y_btd, steps_b) = make(ConvKind::Spamo, d)?.forward(&x_btd, &lengths_b, true);
        let (wide_y_btd, wide_steps_b) = make(ConvKind::Spamo, d)?.forward(&wide_btd, &lengths_b, true);
        assert_eq!(steps_b, wide_steps_b);
        let difference = wide_y_btd.narrow(1, 0, y_btd.size()[1]) - y_btd;
        assert!(difference.abs().max().double_value(&[]) < 1e-5);
        Ok(())
    }
}
