//! Cross-entropy of the labels.
//!
//! Logits are by far the widest array of a step: 128,256 columns for Llama, 250,112 for mT5. They are made only for
//! labels that count, and in training for some of them at a time, whose gradients are computed before the next ones.

use crate::language::cut::{continue_backward, leaf};
use crate::language::inputs::IGNORE;
use tch::{Kind, Reduction, Tensor};

/// Logits that are in memory at once: 256 MiB in float32.
const MOST_LOGITS: i64 = 1 << 26;

/// Sum of the cross-entropy (float32) of `logits [..., v]` over the labels `[...]` that are not [`IGNORE`], and their
/// number, from which the mean over several batches or devices follows.
pub fn sum(logits: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
    let logits_nv = logits.to_kind(Kind::Float).flatten(0, -2);
    let labels_n = labels.flatten(0, -1);
    let sum = logits_nv.cross_entropy_loss::<Tensor>(&labels_n, None, Reduction::Sum, IGNORE, 0.0);
    (sum, labels_n.ne(IGNORE).sum(Kind::Float))
}

/// Their mean.
pub fn mean(logits: &Tensor, labels: &Tensor) -> Tensor {
    let (sum, count) = sum(logits, labels);
    sum / count
}

/// Backward pass of [`sum`] over `divisor` into everything that `hidden_nd`, which has one row for each of `labels_n`, and
/// `logits` depend on; gives the loss. All labels count. `vocabulary`: columns of the logits.
pub(crate) fn backward(
    hidden_nd: &Tensor,
    labels_n: &Tensor,
    vocabulary: i64,
    divisor: f64,
    logits: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    let rows = (MOST_LOGITS / vocabulary).max(1);
    backward_by(rows, hidden_nd, labels_n, divisor, logits)
}

fn backward_by(
    rows: i64,
    hidden_nd: &Tensor,
    labels_n: &Tensor,
    divisor: f64,
    logits: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    let leaf_nd = leaf(hidden_nd);
    let mut loss = Tensor::zeros([], (Kind::Float, hidden_nd.device()));
    for (hidden, labels) in leaf_nd.split(rows, 0).iter().zip(labels_n.split(rows, 0)) {
        let part = sum(&logits(hidden), &labels).0 / divisor;
        part.backward();
        loss += part.detach();
    }
    continue_backward([(hidden_nd, leaf_nd.grad())]);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// In parts of any size: the loss and all gradients of the whole.
    #[test]
    fn parts_are_the_whole() {
        let wave = |shape: &[i64], step: f64| {
            let x = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
            (x * step).sin().reshape(shape).set_requires_grad(true)
        };
        let labels_n = Tensor::from_slice(&[3_i64, 0, 4, 4, 1, 2, 3]);
        let run = |rows: Option<i64>| {
            let (x_nd, weight_vd) = (wave(&[7, 6], 0.7), wave(&[5, 6], 1.3));
            let hidden_nd = x_nd.tanh();
            let logits = |hidden: &Tensor| hidden.linear::<&Tensor>(&weight_vd, None);
            let loss = match rows {
                Some(rows) => backward_by(rows, &hidden_nd, &labels_n, 3.0, logits),
                None => {
                    let loss = sum(&logits(&hidden_nd), &labels_n).0 / 3.0;
                    loss.backward();
                    loss.detach()
                }
            };
            [loss, x_nd.grad(), weight_vd.grad()]
        };
        let whole = run(None);
        for rows in [1, 3, 7, 100] {
            for (whole, parts) in whole.iter().zip(run(Some(rows))) {
                let gap = (whole - parts).abs().max().double_value(&[]);
                assert!(gap < 1e-6, "{rows} rows: {gap}");
            }
        }
        assert_eq!(run(Some(7)), whole, "in one part to the bit");
    }
}
