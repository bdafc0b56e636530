//! The feed-forward sub-layer, SwiGLU (Shazeer 2020).

use super::config::LlamaConfig;
use crate::language::linear::{Joined, Linear};
use crate::language::lora::Adapted;
use tch::Tensor;

/// `down_proj(silu(gate_proj x) * up_proj x)`.
#[derive(Debug)]
pub struct LlamaMLP {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    gate_up: Joined,
}

impl LlamaMLP {
    pub fn new(at: &Adapted, config: &LlamaConfig) -> Self {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let std = |n: i64| (n as f64).powf(-0.5);
        let mut gate_up = Joined::new(2 * f);
        let [gate_proj, up_proj] = ["gate_proj", "up_proj"].map(|name| {
            let mut layer = Linear::new(at, name, d, f, std(d));
            gate_up.take(&mut layer);
            layer
        });
        Self { gate_proj, up_proj, down_proj: Linear::new(at, "down_proj", f, d, std(f)), gate_up }
    }

    pub fn forward(&self, x_btd: &Tensor, train: bool) -> Tensor {
        let gate_btf = self.gate_proj.forward(x_btd, train).silu();
        self.down_proj.forward(&(gate_btf * self.up_proj.forward(x_btd, train)), train)
    }

    /// The next position of every row.
    pub fn step(&self, x_rd: &Tensor) -> Tensor {
        let [gate_rf, up_rf] = self.gate_up.forward([&self.gate_proj, &self.up_proj], x_rd);
        self.down_proj.forward(&(gate_rf.silu() * up_rf), false)
    }

    /// Add the adapter to the frozen weights (see [`Linear::merge`]).
    pub fn merge(&mut self) {
        [&mut self.gate_proj, &mut self.up_proj, &mut self.down_proj].into_iter().for_each(Linear::merge);
        self.gate_up = Joined::of([&mut self.gate_proj, &mut self.up_proj]);
    }
}
