//! Multi-head attention of T5: no scaling by the width of a head, and the position bias added to the scores.

use super::config::T5Config;
use crate::language::attend::{attend, attend_explicitly, step_kind};
use crate::language::dropout::add_dropout;
use crate::language::linear::{Joined, Linear};
use crate::language::lora::Adapted;
use crate::language::past::{KeyValue, Past};
use crate::language::rms_norm::RmsNorm;
use tch::{Device, Tensor};

/// `o(softmax(q k^T + bias) v)`.
///
/// Softmax is computed in float32 inside the fused attention of libtorch, which agrees with the explicit form in
/// value and gradient, the one of the bias included (see the test).
#[derive(Debug)]
pub struct T5Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    /// q, k and v, which have one input in self-attention.
    qkv: Joined,
    heads: i64,
    d_kv: i64,
    dropout: f64,
}

impl T5Attention {
    pub fn new(at: &Adapted, config: &T5Config) -> Self {
        let (d, inner) = (config.d_model, config.inner_dim());
        let std = |n: i64| (n as f64).powf(-0.5);
        let mut qkv = Joined::new(3 * inner);
        let mut projection = |name: &str, std: f64| {
            let mut layer = Linear::new(at, name, d, inner, std);
            qkv.take(&mut layer);
            layer
        };
        Self {
            // The missing 1/sqrt(d_kv) of the scores is in the initialisation of q.
            q: projection("q", std(d * config.d_kv)),
            k: projection("k", std(d)),
            v: projection("v", std(d)),
            o: Linear::new(at, "o", inner, d, std(inner)),
            qkv,
            heads: config.num_heads,
            d_kv: config.d_kv,
            dropout: config.dropout_rate,
        }
    }

    /// Keys and values of `x_bsd`.
    pub fn key_value(&self, x_bsd: &Tensor, train: bool) -> KeyValue {
        let split = |x: Tensor| x.unflatten(-1, [self.heads, self.d_kv]).transpose(1, 2);
        KeyValue { k_bhsk: split(self.k.forward(x_bsd, train)), v_bhsk: split(self.v.forward(x_bsd, train)) }
    }

    /// Attend from `x_btd` to `past`. `bias` is added to the scores and broadcasts to `[b, h, t, s]`.
    pub fn forward(&self, x_btd: &Tensor, past: &KeyValue, bias: &Tensor, train: bool) -> Tensor {
        let q_bthk = self.q.forward(x_btd, train).unflatten(-1, [self.heads, self.d_kv]);
        let dropout = train.then_some(self.dropout);
        let out_bhtk = attend(&q_bthk.transpose(1, 2), past, bias, dropout);
        self.o.forward(&out_bhtk.transpose(1, 2).flatten(-2, -1), train)
    }

    /// The next position of every row: its queries `[r, i]`, keys and values `[r, h, k]`.
    fn query_key_value(&self, x_rd: &Tensor) -> [Tensor; 3] {
        let [q_ri, k_ri, v_ri] = self.qkv.forward([&self.q, &self.k, &self.v], x_rd);
        let split = |x_ri: Tensor| x_ri.unflatten(1, [self.heads, self.d_kv]).to_kind(step_kind(x_rd));
        [q_ri, split(k_ri), split(v_ri)]
    }

    /// Attend from the queries `q_ri` to `past`, which has one row for every `r / b` of them: the beams of a clip are no
    /// more than further queries to the keys of the clip, which so need no copy per beam. `bias` broadcasts to
    /// `[b, h, r / b, s]`; it and `past` are in the [type of steps](step_kind).
    fn step(&self, q_ri: &Tensor, past: &KeyValue, bias: &Tensor) -> Tensor {
        let clips = past.k_bhsk.size()[0];
        let q_bnhk = q_ri.reshape([clips, -1, self.heads, self.d_kv]).to_kind(bias.kind());
        let q_bhnk = q_bnhk.transpose(1, 2);
        let out_bhnk = match q_ri.device() {
            Device::Cpu => attend_explicitly(&q_bhnk, past, bias, None),
            _ => attend(&q_bhnk, past, bias, None),
        };
        let out_ri = out_bhnk.transpose(1, 2).reshape(q_ri.size());
        self.o.forward(&out_ri.to_kind(q_ri.kind()), false)
    }

    fn merge(&mut self) {
        [&mut self.q, &mut self.k, &mut self.v, &mut self.o].into_iter().for_each(Linear::merge);
        self.qkv = Joined::of([&mut self.q, &mut self.k, &mut self.v]);
    }
}

/// `x + dropout(SelfAttention(norm(x)))`.
#[derive(Debug)]
pub struct T5LayerSelfAttention {
    attention: T5Attention,
    layer_norm: RmsNorm,
    dropout: f64,
}

impl T5LayerSelfAttention {
    pub fn new(at: &Adapted, config: &T5Config) -> Self {
        Self {
            attention: T5Attention::new(&at.sub("SelfAttention"), config),
            layer_norm: layer_norm(at, config),
            dropout: config.dropout_rate,
        }
    }

    pub fn forward(&self, x_btd: &Tensor, bias: &Tensor, train: bool) -> Tensor {
        let norm_btd = self.layer_norm.forward(x_btd);
        let own = self.attention.key_value(&norm_btd, train);
        let y_btd = self.attention.forward(&norm_btd, &own, bias, train);
        add_dropout(x_btd, y_btd, self.dropout, train)
    }

    /// The next position of every row. Its keys and values are appended to `past`, the earlier ones.
    pub fn step(&self, x_rd: &Tensor, bias: &Tensor, past: &mut Option<Past>) -> Tensor {
        let [q_ri, k_rhk, v_rhk] = self.attention.query_key_value(&self.layer_norm.forward(x_rd));
        match past {
            Some(past) => past.append(&k_rhk, &v_rhk),
            None => *past = Some(Past::new(&k_rhk, &v_rhk)),
        }
        let all = past.as_ref().map(Past::key_value).expect("there is one position");
        x_rd + self.attention.step(&q_ri, &all, bias)
    }

    /// Add the adapter to the frozen weights (see [`Linear::merge`]).
    pub fn merge(&mut self) {
        self.attention.merge();
    }
}

/// `x + dropout(EncDecAttention(norm(x), encoder))`; its only bias is the mask of the encoder.
#[derive(Debug)]
pub struct T5LayerCrossAttention {
    attention: T5Attention,
    layer_norm: RmsNorm,
    dropout: f64,
}

impl T5LayerCrossAttention {
    pub fn new(at: &Adapted, config: &T5Config) -> Self {
        // Some files hold a bias here that nobody uses.
        if at.base.has("EncDecAttention.relative_attention_bias.weight") {
            at.base.skip("EncDecAttention.relative_attention_bias.weight");
        }
        Self {
            attention: T5Attention::new(&at.sub("EncDecAttention"), config),
            layer_norm: layer_norm(at, config),
            dropout: config.dropout_rate,
        }
    }

    /// Keys and values of the encoder output, once per clip.
    pub fn key_value(&self, encoder_bsd: &Tensor, train: bool) -> KeyValue {
        self.attention.key_value(encoder_bsd, train)
    }

    pub fn forward(&self, x_btd: &Tensor, encoder: &KeyValue, mask_b11s: &Tensor, train: bool) -> Tensor {
        let norm_btd = self.layer_norm.forward(x_btd);
        let y_btd = self.attention.forward(&norm_btd, encoder, mask_b11s, train);
        add_dropout(x_btd, y_btd, self.dropout, train)
    }

    /// The next position of every row.
    pub fn step(&self, x_rd: &Tensor, encoder: &KeyValue, mask_b11s: &Tensor) -> Tensor {
        let q_ri = self.attention.q.forward(&self.layer_norm.forward(x_rd), false);
        x_rd + self.attention.step(&q_ri, encoder, mask_b11s)
    }

    /// Add the adapter to the frozen weights (see [`Linear::merge`]).
    pub fn merge(&mut self) {
        self.attention.merge();
    }
}

fn layer_norm(at: &Adapted, config: &T5Config) -> RmsNorm {
    RmsNorm::new(&at.base.sub("layer_norm"), config.d_model, config.layer_norm_epsilon)
}
