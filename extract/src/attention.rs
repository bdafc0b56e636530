//! What the two frozen transformers share: CLIP's vision tower and AV-HuBERT.
//!
//! Shapes: n sequences, t tokens, d width, h heads, e size of a head.

use signclip_common::weights::Part;
use tch::{IndexOp, Kind, Tensor};

/// Multi-head self-attention in both directions, with the three input projections as one matrix product.
pub(crate) struct Attention {
    qkv: Linear,
    out_proj: Linear,
    heads: i64,
}

impl Attention {
    pub(crate) fn new(part: &Part, d: i64, heads: i64) -> Self {
        let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|name| Linear::new(&part.sub(name), d, d));
        let qkv = Linear {
            weight: Tensor::cat(&[q.weight, k.weight, v.weight], 0),
            bias: Tensor::cat(&[q.bias, k.bias, v.bias], 0),
        };
        Self { qkv, out_proj: Linear::new(&part.sub("out_proj"), d, d), heads }
    }

    /// `attended_n11t` is false at padding. The fused kernel keeps scores and softmax in float32, whatever the type of `x_ntd`.
    pub(crate) fn forward(&self, x_ntd: &Tensor, attended_n11t: Option<&Tensor>) -> Tensor {
        let (n, t, d) = x_ntd.size3().unwrap_or_default();
        let qkv =
            self.qkv.forward(x_ntd).view([n, t, 3, self.heads, d / self.heads]).permute([2, 0, 3, 1, 4]);
        let [q_nhte, k_nhte, v_nhte] = [0, 1, 2].map(|i| qkv.i(i));
        let mixed_nhte = Tensor::scaled_dot_product_attention(
            &q_nhte,
            &k_nhte,
            &v_nhte,
            attended_n11t,
            0.0,
            false,
            None,
            false,
        );
        self.out_proj.forward(&mixed_nhte.transpose(1, 2).reshape([n, t, d]))
    }
}

/// Affine map of the last dimension.
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(crate) fn new(part: &Part, inputs: i64, outputs: i64) -> Self {
        Self { weight: part.get("weight", &[outputs, inputs]), bias: part.get("bias", &[outputs]) }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// Layer norm of the last dimension.
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn new(part: &Part, d: i64, eps: f64) -> Self {
        let part = part.in_kind(Kind::Float);
        Self { weight: part.get("weight", &[d]), bias: part.get("bias", &[d]), eps }
    }

    /// Statistics and affine map in float32, whatever the type of `x`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.to_kind(Kind::Float)
            .layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, false)
            .to_kind(x.kind())
    }
}
