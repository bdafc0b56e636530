//! Grouped-query attention: several heads of the queries share one head of the keys and values.

use super::config::LlamaConfig;
use super::rope::Rotary;
use crate::language::attend::{attend, causal_mask, key_mask, step_kind};
use crate::language::cache::BlockCache;
use crate::language::linear::{Joined, Linear};
use crate::language::lora::Adapted;
use crate::language::past::{KeyValue, Past};
use tch::{Kind, Tensor};

/// `o(softmax(q k^T / sqrt(width of a head) + mask) v)` with rotary positions in q and k.
///
/// The heads that share keys are taken as further queries of one head, so that nothing is repeated.
#[derive(Debug)]
pub struct LlamaAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    /// q, k and v, which have one input.
    qkv: Joined,
    /// Heads of keys and values.
    groups: i64,
    head_dim: i64,
    dropout: f64,
}

impl LlamaAttention {
    pub fn new(at: &Adapted, config: &LlamaConfig) -> Self {
        // A buffer that files of earlier versions have, and that follows from the configuration.
        if at.base.has("rotary_emb.inv_freq") {
            at.base.skip("rotary_emb.inv_freq");
        }
        let (d, head_dim) = (config.hidden_size, config.head_dim());
        let [of_q, of_kv] =
            [config.num_attention_heads, config.key_value_heads()].map(|heads| heads * head_dim);
        let std = |n: i64| (n as f64).powf(-0.5);
        let mut qkv = Joined::new(of_q + 2 * of_kv);
        let mut projection = |name: &str, outputs: i64| {
            let mut layer = Linear::new(at, name, d, outputs, std(d));
            qkv.take(&mut layer);
            layer
        };
        Self {
            q_proj: projection("q_proj", of_q),
            k_proj: projection("k_proj", of_kv),
            v_proj: projection("v_proj", of_kv),
            o_proj: Linear::new(at, "o_proj", of_q, d, std(of_q)),
            qkv,
            groups: config.key_value_heads(),
            head_dim,
            dropout: config.attention_dropout,
        }
    }

    /// Keys and values of `x_btd`.
    pub fn key_value(&self, x_btd: &Tensor, rotary: &Rotary, train: bool) -> KeyValue {
        let split = |x: Tensor| self.heads(x).transpose(1, 2);
        let k_bgtk = rotary.turn(&split(self.k_proj.forward(x_btd, train)));
        KeyValue { k_bhsk: k_bgtk, v_bhsk: split(self.v_proj.forward(x_btd, train)) }
    }

    /// Attend from `x_btd` to `past`. `mask` is added to the scores and broadcasts to `[b, 1, t, s]`.
    pub fn forward(
        &self,
        x_btd: &Tensor,
        rotary: &Rotary,
        past: &KeyValue,
        mask: &Tensor,
        train: bool,
    ) -> Tensor {
        let size = x_btd.size();
        let q_bhtk = rotary.turn(&self.heads(self.q_proj.forward(x_btd, train)).transpose(1, 2));
        let q_bgtk = self.scaled(q_bhtk).reshape([size[0], self.groups, -1, self.head_dim]);
        let mask = mask.repeat([1, 1, q_bgtk.size()[2] / size[1], 1]);
        let out_bgtk = attend(&q_bgtk, past, &mask, train.then_some(self.dropout));
        let out_bhtk = out_bgtk.reshape([size[0], -1, size[1], self.head_dim]);
        self.o_proj.forward(&out_bhtk.transpose(1, 2).flatten(-2, -1), train)
    }

    /// The next position of every row of `x_rd`, after the clip's prefix and the positions in `cache`, where its keys and
    /// values are appended. A clip's prefix is there once for all its rows.
    pub(super) fn step(
        &self,
        x_rd: &Tensor,
        rotary: &Rotary,
        cache: &mut BlockCache,
        mask_b11s: &Tensor,
    ) -> Tensor {
        let kind = step_kind(x_rd);
        let layers = [&self.q_proj, &self.k_proj, &self.v_proj];
        let [q_rhk, k_rgk, v_rgk] = self.qkv.forward(layers, x_rd).map(|x| self.heads(x.to_kind(kind)));
        let turn = |x_rhk: &Tensor| rotary.turn(&x_rhk.unsqueeze(2)).squeeze_dim(2);
        let k_rgk = turn(&k_rgk);
        match &mut cache.past {
            Some(past) => past.append(&k_rgk, &v_rgk),
            None => cache.past = Some(Past::new(&k_rgk, &v_rgk)),
        }
        let own = cache.past.as_ref().map(Past::key_value).expect("there is one position");

        let (rows, clips) = (x_rd.size()[0], mask_b11s.size()[0]);
        // Rows of a clip, heads of a group: both are queries to the same keys.
        let (w, g, k) = (rows / clips, self.groups, self.head_dim);
        let q_rgnk = self.scaled(turn(&q_rhk)).reshape([rows, g, -1, k]);
        let n = q_rgnk.size()[2];
        let by_clip = |x_rgn: &Tensor| {
            x_rgn.reshape([clips, w, g, n, -1]).transpose(1, 2).reshape([clips, g, w * n, -1])
        };
        let by_row =
            |x_bgm: &Tensor| x_bgm.reshape([clips, g, w, n, -1]).transpose(1, 2).reshape([rows, g, n, -1]);
        let of_prefix_bgms = by_clip(&q_rgnk).matmul(&cache.given.k_bhsk.transpose(-1, -2)) + mask_b11s;
        let of_own_rgnt = q_rgnk.matmul(&own.k_bhsk.transpose(-1, -2));
        let s = of_prefix_bgms.size()[3];
        let scores_rgn = Tensor::cat(&[by_row(&of_prefix_bgms), of_own_rgnt], -1);
        let weights_rgn = scores_rgn.softmax(-1, kind);
        let of_prefix_rgns = weights_rgn.narrow(-1, 0, s);
        let of_own_rgnt = weights_rgn.narrow(-1, s, weights_rgn.size()[3] - s);
        let out_rgnk =
            by_row(&by_clip(&of_prefix_rgns).matmul(&cache.given.v_bhsk)) + of_own_rgnt.matmul(&own.v_bhsk);
        self.o_proj.forward(&out_rgnk.flatten(1, -1).to_kind(x_rd.kind()), false)
    }

    /// `[..., h k]` to `[..., h, k]`.
    fn heads(&self, x: Tensor) -> Tensor {
        x.unflatten(-1, [-1, self.head_dim])
    }

    /// Queries with the scale of the scores.
    fn scaled(&self, q: Tensor) -> Tensor {
        q * (self.head_dim as f64).powf(-0.5)
    }

    /// Add the adapter to the frozen weights (see [`Linear::merge`]).
    pub fn merge(&mut self) {
        [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.o_proj]
            .into_iter()
            .for_each(Linear::merge);
        self.qkv = Joined::of([&mut self.q_proj, &mut self.k_proj, &mut self.v_proj]);
    }
}

/// The mask of a pass: each position sees those up to itself that `mask_bt` has.
pub(super) fn visible(mask_bt: &Tensor, kind: Kind) -> Tensor {
    causal_mask(mask_bt.size()[1], kind, mask_bt.device()) + key_mask(mask_bt, kind)
}
