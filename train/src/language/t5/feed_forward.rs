//! The feed-forward sub-layer: `wo(dropout(gelu(wi_0 x) * wi_1 x))`.

use super::config::T5Config;
use crate::language::dropout::{add_dropout, dropout};
use crate::language::linear::{Joined, Linear};
use crate::language::lora::Adapted;
use crate::language::rms_norm::RmsNorm;
use tch::Tensor;

/// Gated feed-forward network with the tanh approximation of GELU (`gelu_new`).
#[derive(Debug)]
pub struct T5DenseGatedActDense {
    wi_0: Linear,
    wi_1: Linear,
    wo: Linear,
    wi: Joined,
    dropout: f64,
}

impl T5DenseGatedActDense {
    pub fn new(at: &Adapted, config: &T5Config) -> Self {
        let (d, f) = (config.d_model, config.d_ff);
        let (std_d, std_f) = ((d as f64).powf(-0.5), (f as f64).powf(-0.5));
        let mut wi = Joined::new(2 * f);
        let [wi_0, wi_1] = ["wi_0", "wi_1"].map(|name| {
            let mut layer = Linear::new(at, name, d, f, std_d);
            wi.take(&mut layer);
            layer
        });
        Self { wi_0, wi_1, wi, wo: Linear::new(at, "wo", f, d, std_f), dropout: config.dropout_rate }
    }

    pub fn forward(&self, x_btd: &Tensor, train: bool) -> Tensor {
        let gate_btf = self.wi_0.forward(x_btd, train).gelu("tanh");
        let hidden_btf = gate_btf * self.wi_1.forward(x_btd, train);
        self.wo.forward(&dropout(hidden_btf, self.dropout, train), train)
    }

    fn step(&self, x_rd: &Tensor) -> Tensor {
        let [gate_rf, linear_rf] = self.wi.forward([&self.wi_0, &self.wi_1], x_rd);
        self.wo.forward(&(gate_rf.gelu("tanh") * linear_rf), false)
    }

    fn merge(&mut self) {
        [&mut self.wi_0, &mut self.wi_1, &mut self.wo].into_iter().for_each(Linear::merge);
        self.wi = Joined::of([&mut self.wi_0, &mut self.wi_1]);
    }
}

/// `x + dropout(FF(norm(x)))`.
#[derive(Debug)]
pub struct T5LayerFF {
    dense: T5DenseGatedActDense,
    layer_norm: RmsNorm,
    dropout: f64,
}

impl T5LayerFF {
    pub fn new(at: &Adapted, config: &T5Config) -> Self {
        Self {
            dense: T5DenseGatedActDense::new(&at.sub("DenseReluDense"), config),
            layer_norm: RmsNorm::new(&at.base.sub("layer_norm"), config.d_model, config.layer_norm_epsilon),
            dropout: config.dropout_rate,
        }
    }

    pub fn forward(&self, x_btd: &Tensor, train: bool) -> Tensor {
        let y_btd = self.dense.forward(&self.layer_norm.forward(x_btd), train);
        add_dropout(x_btd, y_btd, self.dropout, train)
    }

    /// The next position of every row.
    pub fn step(&self, x_rd: &Tensor) -> Tensor {
        x_rd + self.dense.step(&self.layer_norm.forward(x_rd))
    }

    /// Add the adapter to the frozen weights (see [`Linear::merge`]).
    pub fn merge(&mut self) {
        self.dense.merge();
    }
}
