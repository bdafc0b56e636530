//! What the frozen transformers share: CLIP's vision tower, VideoMAE and AV-HuBERT.
//!
//! Shapes: n sequences, t tokens, d width, h heads, e size of a head.

use crate::streams::layers::frozen::Frozen;
use crate::streams::layers::passes::{bias_quick_gelu, softmax};
use signclip_common::onednn;
use signclip_common::weights::Part;
use tch::{Device, Kind, Tensor};

/// Multi-head self-attention in both directions, with the three input projections as one matrix product.
pub(crate) struct Attention {
    qkv: Linear,
    out_proj: Linear,
    heads: i64,
}

impl Attention {
    pub(crate) fn new(part: &Part, d: i64, heads: i64) -> Self {
        let joined = |what: &str, shape: &[i64]| {
            Tensor::cat(&["q_proj", "k_proj", "v_proj"].map(|name| part.sub(name).get(what, shape)), 0)
        };
        let qkv = Linear::of(joined("weight", &[d, d]), joined("bias", &[d]));
        Self::of(qkv, Linear::new(&part.sub("out_proj"), d, d), heads)
    }

    /// `qkv` gives queries, keys and values side by side.
    pub(crate) fn of(qkv: Linear, out_proj: Linear, heads: i64) -> Self {
        Self { qkv, out_proj, heads }
    }

    /// `residual + attention(x)` for every token, added in place. `attended_n11t` is false at padding. The fused kernel
    /// keeps scores and softmax in float32, whatever the type of `x_ntd`.
    pub(crate) fn add_to(
        &self,
        residual_ntd: Tensor,
        x_ntd: &Tensor,
        attended_n11t: Option<&Tensor>,
    ) -> Tensor {
        let [q_nhte, k_nhte, v_nhte] = self.split(&self.qkv.forward(x_ntd));
        let mixed_nhte = attend(&q_nhte, &k_nhte, &v_nhte, attended_n11t);
        self.out_proj.add_to(residual_ntd, &mixed_nhte.transpose(1, 2).flatten(2, 3))
    }

    /// [`Self::add_to`] for the first token alone, which sees all the others: `residual [n, 1, d]`.
    pub(crate) fn add_first_to(&self, residual_n1d: Tensor, x_ntd: &Tensor) -> Tensor {
        let d = residual_n1d.size()[2];
        let [q_nh1e] = self.split(&self.qkv.columns(0, d).forward(&x_ntd.narrow(1, 0, 1)));
        let [k_nhte, v_nhte] = self.split(&self.qkv.columns(d, 2 * d).forward(x_ntd));
        let mixed_nh1e = attend(&q_nh1e, &k_nhte, &v_nhte, None);
        self.out_proj.add_to(residual_n1d, &mixed_nh1e.transpose(1, 2).flatten(2, 3))
    }

    /// What several projections gave, side by side, one by one and per head: `[n, t, N·d]` to N of `[n, h, t, e]`.
    fn split<const N: usize>(&self, projected: &Tensor) -> [Tensor; N] {
        let apart = projected.unflatten(2, [N as i64, self.heads, -1]).permute([2, 0, 3, 1, 4]);
        std::array::from_fn(|i| apart.select(0, i as i64))
    }
}

/// Tokens of a sequence up to which attention in bfloat16 on the CPU takes three passes: CLIP's images and most clips. There the
/// fused kernel spends more time outside of its products than inside. The scores of longer ones, as of VideoMAE's windows, do not
/// stay near the CPU.
const SHORT: i64 = 512;

/// `softmax(q k^T / sqrt(e)) v`.
fn attend(q_nhse: &Tensor, k_nhte: &Tensor, v_nhte: &Tensor, attended_n11t: Option<&Tensor>) -> Tensor {
    let passes =
        q_nhse.device() == Device::Cpu && q_nhse.kind() == Kind::BFloat16 && k_nhte.size()[2] <= SHORT;
    if passes && attended_n11t.is_none() {
        let scale = (q_nhse.size()[3] as f64).powf(-0.5);
        return softmax(q_nhse.matmul(&k_nhte.transpose(-1, -2)), scale).matmul(v_nhte);
    }
    Tensor::scaled_dot_product_attention(q_nhse, k_nhte, v_nhte, attended_n11t, 0.0, false, None, false)
}

/// Affine map of the last dimension. The weight is kept in memory as the product reads it.
pub(crate) struct Linear {
    weight_io: Frozen,
    bias: Frozen,
    /// Multiply by oneDNN.
    onednn: bool,
}

impl Linear {
    pub(crate) fn new(part: &Part, inputs: i64, outputs: i64) -> Self {
        Self::of(part.get("weight", &[outputs, inputs]), part.get("bias", &[outputs]))
    }

    pub(crate) fn of(weight_oi: Tensor, bias: Tensor) -> Self {
        let onednn = onednn::is_faster(&weight_oi);
        let weight_io = weight_oi.tr();
        // oneDNN reads a row for each output, MKL a column.
        let weight_io = if onednn { weight_io } else { weight_io.contiguous() };
        Self { weight_io: weight_io.into(), bias: bias.into(), onednn }
    }

    /// The map times a factor of its weight and one of its bias.
    pub(crate) fn scaled(&self, weight: f64, bias: f64) -> Self {
        let (weight_io, bias) = (&*self.weight_io * weight, &*self.bias * bias);
        Self { weight_io: weight_io.into(), bias: bias.into(), onednn: self.onednn }
    }

    /// The map to these outputs alone.
    fn columns(&self, first: i64, outputs: i64) -> Self {
        Self {
            weight_io: self.weight_io.narrow(1, first, outputs).into(),
            bias: self.bias.narrow(0, first, outputs).into(),
            onednn: self.onednn,
        }
    }

    /// `[..., in]` to `[..., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.product(x, Some(&self.bias))
    }

    /// CLIP's activation of the map's result.
    pub(crate) fn quick_gelu(&self, x: &Tensor) -> Tensor {
        bias_quick_gelu(self.product(x, None), &self.bias)
    }

    fn product(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let mut size = x.size();
        size.splice(size.len() - 1.., [self.bias.size()[0]]);
        let x_ni = x.flatten(0, -2);
        let y_no = if self.onednn {
            onednn::linear(&x_ni, &self.weight_io.tr(), bias)
        } else if let Some(bias) = bias {
            Tensor::addmm(bias, &x_ni, &self.weight_io)
        } else {
            x_ni.mm(&self.weight_io)
        };
        y_no.view(size.as_slice())
    }

    /// `residual + map(x)`, added in place; `residual` is contiguous. In float32 the product is finished first: kernels
    /// that add it panel by panel would round each panel to the digits of the residual, which is much larger.
    pub(crate) fn add_to(&self, mut residual: Tensor, x: &Tensor) -> Tensor {
        if residual.kind() == Kind::Float {
            residual += self.forward(x);
            return residual;
        }
        let _ = residual.view([-1, self.bias.size()[0]]).addmm_(&x.flatten(0, -2), &self.weight_io);
        residual += &*self.bias;
        residual
    }
}

/// Layer norm of the last dimension.
pub(crate) struct LayerNorm {
    weight: Frozen,
    bias: Frozen,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn new(part: &Part, d: i64, eps: f64) -> Self {
        // On a GPU the kernel wants them in the type of what it reads; it computes in float32 all the same.
        let part = part.in_kind(if part.device() == Device::Cpu { Kind::Float } else { part.kind() });
        Self { weight: part.get("weight", &[d]).into(), bias: part.get("bias", &[d]).into(), eps }
    }

    /// Statistics and affine map in float32, whatever the type of `x`, which is read and written as it is.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&*self.weight), Some(&*self.bias), self.eps, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::layers::tests::wave;

    /// Short and long sequences in bfloat16 are what the definition gives in float32, within its rounding.
    #[test]
    fn short_and_long_sequences_attend_alike() {
        for tokens in [SHORT, SHORT + 1, 3 * SHORT] {
            let values = |step: f64| wave(&[1, 2, tokens, 8], step).to_kind(Kind::BFloat16);
            let (q, k, v) = (values(0.37), values(0.11), values(0.23));
            let [wide_q, wide_k, wide_v] = [&q, &k, &v].map(|x| x.to_kind(Kind::Float));
            let scores = wide_q.matmul(&wide_k.transpose(-1, -2)) * 8_f64.powf(-0.5);
            let want = scores.softmax(-1, Kind::Float).matmul(&wide_v);
            let gap = (attend(&q, &k, &v, None) - want).abs().max().double_value(&[]);
            assert!(gap < 1e-2, "{tokens} tokens: {gap}");
        }
    }
}
