//! The contrast of single frames that the authors' published code adds to L_sm (`use_frame`; the paper has none).
//!
//! With unit vectors of Z'_s and Z'_m: for each frame f of the gestures the positive is the mouthing of the same clip as f
//! attends to it, p_f = Σ_k softmax_k(⟨s_f, m_k⟩ / √d) m_k. Negatives are all mouthing frames of the batch but those of the
//! same clip within [`GAP`] frames of f. The loss is the cross entropy of ⟨s_f, p_f⟩ / τ among them, mean over f.
//
// Shapes: B clips, T frames, D channels.

use crate::head::contrastive::unit;
use crate::head::temporal::{Steps, valid};
use tch::{Kind, Tensor};

/// Neighbours of a frame that are no negatives of it, on each side.
const GAP: i64 = 5;

/// τ, a constant here.
const TEMPERATURE: f64 = 0.07;

/// The loss of `Z'_s` and `Z'_m` `[B, T, D]` with so many valid frames `[B]`; `over` says whether padded frames count as
/// frames.
pub fn frame_contrast(spatial_btd: &Tensor, mouth_btd: &Tensor, lengths_b: &Tensor, over: Steps) -> Tensor {
    let [b, t, d] = [0, 1, 2].map(|axis| spatial_btd.size()[axis]);
    let mask_bt = match over {
        Steps::Valid => valid(lengths_b, t, spatial_btd.device()).to_kind(Kind::Bool),
        Steps::All => Tensor::ones([b, t], (Kind::Bool, spatial_btd.device())),
    };
    let (anchor_btd, mouth_btd) = (unit(spatial_btd), unit(mouth_btd));

    let scores_btt = anchor_btd.matmul(&mouth_btd.transpose(1, 2)) / (d as f64).sqrt();
    let scores_btt = scores_btt.masked_fill(&mask_bt.logical_not().unsqueeze(1), f64::NEG_INFINITY);
    let positive_btd = scores_btt.softmax(-1, Kind::Float).matmul(&mouth_btd);
    let positive_n1 = (&anchor_btd * positive_btd).sum_dim_intlist(-1, false, Kind::Float).view([-1, 1]);

    let logits_nn = anchor_btd.view([-1, d]).matmul(&mouth_btd.reshape([-1, d]).tr());
    let place_n = Tensor::arange(b * t, (Kind::Int64, spatial_btd.device()));
    let (clip_n, frame_n) = (place_n.divide_scalar_mode(t, "floor"), place_n.remainder(t));
    let apart_nn = |x_n: &Tensor| x_n.unsqueeze(1) - x_n.unsqueeze(0);
    let near_nn = apart_nn(&clip_n).eq(0).logical_and(&apart_nn(&frame_n).abs().le(GAP));
    let mask_n = mask_bt.view([-1]);
    let excluded_nn = near_nn.logical_or(&mask_n.logical_not().unsqueeze(0));
    let negatives_nn = logits_nn.masked_fill(&excluded_nn, f64::NEG_INFINITY);

    let all_nn = Tensor::cat(&[&positive_n1, &negatives_nn], 1) / TEMPERATURE;
    let loss_n = all_nn.logsumexp([1].as_slice(), false) - all_nn.select(1, 0);
    (loss_n * mask_n.to_kind(Kind::Float)).sum(Kind::Float) / mask_n.sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// A single clip that is no longer than the gap has no negatives, and padding is not seen.
    #[test]
    fn near_frames_and_padding_are_no_negatives() {
        tch::manual_seed(7);
        let [spatial, mouth] = [0, 1].map(|_| Tensor::randn([2, 9, 4], (Kind::Float, Device::Cpu)));
        let lengths = Tensor::from_slice(&[9i64, 3]);
        let loss = |spatial: &Tensor, mouth: &Tensor, lengths: &Tensor, over| {
            frame_contrast(spatial, mouth, lengths, over).double_value(&[])
        };
        let second = |x: &Tensor| x.narrow(0, 1, 1).narrow(1, 0, 3);
        let alone = loss(&second(&spatial), &second(&mouth), &lengths.narrow(0, 1, 1), Steps::Valid);
        assert!(alone.abs() < 1e-6, "{alone}");
        let together = loss(&spatial, &mouth, &lengths, Steps::Valid);
        let wide = |x: &Tensor| x.constant_pad_nd([0, 0, 0, 4]) + 1.0;
        let (plain, padded) = ([&spatial, &mouth].map(|x| x + 1.0), [&spatial, &mouth].map(wide));
        let difference =
            |over| loss(&plain[0], &plain[1], &lengths, over) - loss(&padded[0], &padded[1], &lengths, over);
        assert!(together > 1.0 && difference(Steps::Valid).abs() < 1e-5);
        assert!(difference(Steps::All).abs() > 1e-2);
    }
}
