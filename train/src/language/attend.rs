//! Attention of queries to keys and values, `softmax(q k^T + bias) v`, in the form that is fastest where it runs.

use crate::language::dropout::dropout;
use crate::language::past::KeyValue;
use tch::{Device, Kind, Tensor};

/// What is added to the score of a key that must not be seen. Far below any score and far from overflow in float32
/// and bfloat16; finite, so that a row without any visible key gives an average and not NaN. The reference adds the
/// lowest number of the type, with the same result.
const MASKED: f64 = -1e30;

/// What to add to the scores of keys: 0 where `mask_bs` is not 0, [`MASKED`] elsewhere; `[b, 1, 1, s]`.
pub(crate) fn key_mask(mask_bs: &Tensor, kind: Kind) -> Tensor {
    (mask_bs.eq(0).to_kind(kind) * MASKED).unsqueeze(1).unsqueeze(1)
}

/// What to add to the scores where each of `t` positions sees those up to itself, `[t, t]`.
pub(crate) fn causal_mask(t: i64, kind: Kind, device: Device) -> Tensor {
    Tensor::ones([t, t], (kind, device)).triu(1) * MASKED
}

/// Type in which decoding step by step attends. Float32 on the CPU, where libtorch's products of a query or a few with keys
/// in bfloat16 take two to six times as long, fused or not.
pub(crate) fn step_kind(x: &Tensor) -> Kind {
    match (x.device(), x.kind()) {
        (Device::Cpu, Kind::BFloat16) => Kind::Float,
        (_, kind) => kind,
    }
}

/// `dropout(softmax(q k^T + bias)) v`, with the softmax in float32; `p` is the rate of dropout in training.
///
/// Explicit with dropout, whose masks are ours on every device, and for training on the CPU, where the backward pass of
/// libtorch's fused form is three times as slow (bfloat16, 120 positions); fused otherwise.
pub(crate) fn attend(q_bhqk: &Tensor, past: &KeyValue, bias: &Tensor, p: Option<f64>) -> Tensor {
    let drops = p.is_some_and(|p| p > 0.0);
    if drops || (q_bhqk.device() == Device::Cpu && (p.is_some() || q_bhqk.requires_grad())) {
        return attend_explicitly(q_bhqk, past, bias, p);
    }
    Tensor::scaled_dot_product_attention(
        q_bhqk,
        &past.k_bhsk,
        &past.v_bhsk,
        Some(bias),
        0.0,
        false,
        1.0,
        false,
    )
}

/// [`attend`] by separate products.
pub(crate) fn attend_explicitly(q_bhqk: &Tensor, past: &KeyValue, bias: &Tensor, p: Option<f64>) -> Tensor {
    let scores_bhqs = q_bhqk.matmul(&past.k_bhsk.transpose(-1, -2)) + bias;
    // A softmax of bfloat16 is computed in float32 and rounded at the end.
    let weights_bhqs = scores_bhqs.softmax(-1, q_bhqk.kind());
    dropout(weights_bhqs, p.unwrap_or(0.0), p.is_some()).matmul(&past.v_bhsk)
}

#[cfg(test)]
mod tests {
    use super::MASKED;
    use tch::{Device, Kind, Tensor};

    /// Value, gradients of q, k, v and of a trainable bias: fused against explicit attention; some keys are masked,
    /// and one row sees no key at all.
    #[test]
    fn fused_attention_is_the_explicit_one() {
        let leaf = |shape: &[i64], seed: i64| {
            let x = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
            ((x * 12.9898 + seed).sin() * 1.5).reshape(shape).set_requires_grad(true)
        };
        let mask = Tensor::zeros([2, 1, 5, 7], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(3, 4, 3).narrow(0, 1, 1).fill_(MASKED);
        let _ = mask.narrow(2, 3, 1).narrow(0, 0, 1).fill_(MASKED);
        let run = |fused: bool| {
            let leaves = [
                leaf(&[2, 3, 5, 8], 1),
                leaf(&[2, 3, 7, 8], 2),
                leaf(&[2, 3, 7, 8], 3),
                leaf(&[1, 3, 5, 7], 4),
            ];
            let [q, k, v, bias] = &leaves;
            let bias = bias + &mask;
            let y = if fused {
                Tensor::scaled_dot_product_attention(q, k, v, Some(&bias), 0.0, false, 1.0, false)
            } else {
                (q.matmul(&k.transpose(-1, -2)) + bias).softmax(-1, Kind::Float).matmul(v)
            };
            (&y * y.detach().cos()).sum(Kind::Float).backward();
            let mut all = vec![y.detach()];
            all.extend(leaves.iter().map(Tensor::grad));
            all
        };
        for (i, (fused, explicit)) in run(true).iter().zip(run(false)).enumerate() {
            let gap = (fused - explicit).abs().max().double_value(&[]);
            assert!(gap < 1e-5, "array {i}: {gap}");
        }
    }
}
