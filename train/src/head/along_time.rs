//! Sequences joined along time: for each clip the valid steps of one behind those of the other.
//!
//! Reference: SpaMo `spamo/t5_slt.py`, `prepare_visual_inputs` with `fusion_mode` `joint`. Deviation: the padding of a
//! sequence is left out in any case, also where the next one follows.
//
// Shapes: B clips, T steps, D channels.

use crate::head::temporal::valid;
use tch::Tensor;

/// Joins padded sequences `[B, T_i, D]` of so many valid steps `[B]` (on the CPU) each. Gives the joined sequence, zero beyond each
/// clip's end, and its valid steps.
pub fn join(parts: &[(&Tensor, &Tensor)]) -> (Tensor, Tensor) {
    let sequences: Vec<&Tensor> = parts.iter().map(|(x_btd, _)| *x_btd).collect();
    let masks: Vec<Tensor> =
        parts.iter().map(|(x_btd, lengths_b)| valid(lengths_b, x_btd.size()[1], x_btd.device())).collect();
    let lengths: Vec<&Tensor> = parts.iter().map(|(_, lengths_b)| *lengths_b).collect();
    let lengths_b = Tensor::stack(&lengths, 0).sum_dim_intlist(0, false, lengths[0].kind());
    let longest = lengths_b.max().int64_value(&[]);
    // Stable: valid steps come first, and stay in their order.
    let order_bt = Tensor::cat(&masks, 1).argsort_stable(true, 1, true).narrow(1, 0, longest);
    let all_btd = Tensor::cat(&sequences, 1);
    let index_btd = order_bt.unsqueeze(-1).expand([-1, -1, all_btd.size()[2]], false);
    let joined_btd = all_btd.gather(1, &index_btd, false);
    let mask_bt1 = valid(&lengths_b, longest, joined_btd.device()).unsqueeze(-1);
    (joined_btd * mask_bt1, lengths_b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_between_the_parts_is_left_out() {
        let a = Tensor::from_slice(&[1f32, 2., 3., 4., 9., 9.]).reshape([2, 3, 1]);
        let b = Tensor::from_slice(&[5f32, 8., 6., 7.]).reshape([2, 2, 1]);
        let lengths = [[3i64, 1], [1, 2]].map(|lengths| Tensor::from_slice(&lengths));
        let (joined, steps) = join(&[(&a, &lengths[0]), (&b, &lengths[1])]);
        assert_eq!(steps, Tensor::from_slice(&[4i64, 3]));
        let wanted = Tensor::from_slice(&[1f32, 2., 3., 5., 4., 6., 7., 0.]).reshape([2, 4, 1]);
        assert_eq!(joined, wanted);
    }
}
