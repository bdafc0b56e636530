//! Low-rank adapters (LoRA, Hu et al. 2021) in the naming of Hugging Face PEFT.
//!
//! A linear layer `y = W x` becomes `y = W x + (alpha / r) B(A(dropout(x)))` with `A [r, in]` and `B [out, r]`.
//! `A` starts as PEFT's `kaiming_uniform(a = sqrt(5))`, which is uniform in ±1/sqrt(in), and `B` as zeros, so that
//! training starts at the frozen model.
//!
//! The adapter comes from its own [`Weights`](signclip_common::weights::Weights), fresh or from a file; its tensors
//! are called `base_model.model.<module path>.lora_A.weight` as in `adapter_model.safetensors`. So
//! `parameters()` of those weights is what PEFT reads.
//!
//! Deviation from PEFT: the masters are float32, and the branch is computed in the type of the activations
//! (bf16 updates of Adam would be lost). In float32 there is no difference.

use crate::language::dropout::dropout;
use crate::language::targets::{AdapterNames, Matcher, Patterns, Targets};
use serde::{Deserialize, Serialize};
use signclip_common::weights::{Init, Part};
use signclip_common::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeSet;
use tch::{Kind, Tensor};

/// Which layers are adapted, and how strongly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub r: i64,
    /// The update is scaled by `alpha / r`.
    pub alpha: f64,
    /// Dropout on the input of the low-rank branch only.
    pub dropout: f64,
    /// Linear layers: a list of module paths or their ends after a dot (`q`, `SelfAttention.q`), a regular expression
    /// for the whole path, or `all-linear`; absent: those of the [family](AdapterNames).
    pub targets: Option<Targets>,
    /// What only an adapter read from a file can have.
    #[serde(skip)]
    pub of_file: OfFile,
}

/// Settings of an adapter read from a file that this program does not offer for new ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfFile {
    /// Whether there is a file. Its targets need not all select a layer; what counts is that its tensors fit.
    pub read: bool,
    /// Scale by `alpha / sqrt(r)` (rank-stabilised LoRA).
    pub rslora: bool,
    pub ranks: Patterns<i64>,
    pub alphas: Patterns<f64>,
}

/// The largest rank: the width of the widest layers there are.
pub const MOST_RANKS: i64 = 1 << 16;

impl Default for LoraConfig {
    /// Rank and alpha of the published code.
    fn default() -> Self {
        Self { r: 16, alpha: 32.0, dropout: 0.1, targets: None, of_file: OfFile::default() }
    }
}

impl LoraConfig {
    /// Refuse values that no adapter can have.
    pub fn check(&self) -> Result<()> {
        let bad = |field: &str, value: String, remedy: &str| {
            Err(Error::usage(format!("lora.{field} is {value}"), remedy.to_owned()))
        };
        if self.r < 1 {
            return bad("r", self.r.to_string(), "the rank is at least 1");
        }
        if let Some(r) =
            self.of_file.ranks.entries().map(|(_, r)| r).chain([self.r]).find(|r| *r > MOST_RANKS)
        {
            return bad("r", r.to_string(), "no layer is wider than 65536, and no rank has to be: give 16");
        }
        if !self.alpha.is_finite() {
            return bad("alpha", self.alpha.to_string(), "give a finite number, for example 32");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return bad("dropout", self.dropout.to_string(), "give a number from 0 to below 1");
        }
        self.targets.iter().try_for_each(|targets| targets.matcher().map(|_| ()))
    }

    /// The layers that are adapted in a model of a family.
    pub fn targets_in(&self, names: &AdapterNames) -> Targets {
        match &self.targets {
            Some(targets) => targets.spelled_out(names),
            None => names.targets(),
        }
    }

    /// Rank and scale of the update of `module`.
    pub fn rank_and_scale(&self, module: &str) -> (i64, f64) {
        let r = self.of_file.ranks.of(module).unwrap_or(self.r);
        let alpha = self.of_file.alphas.of(module).unwrap_or(self.alpha);
        (r, alpha / if self.of_file.rslora { (r as f64).sqrt() } else { r as f64 })
    }
}

/// The adapter while a network is being built: its configuration, where its tensors come from, what has matched.
pub struct Lora<'a> {
    config: &'a LoraConfig,
    names: &'a AdapterNames,
    targets: Matcher,
    part: Part<'a>,
    matched: RefCell<BTreeSet<usize>>,
    /// Layers whose base weight the adapter has a copy of, and another one than the model.
    of_other_models: RefCell<Vec<String>>,
}

impl<'a> Lora<'a> {
    /// `root` is the root part of the adapter's weights; the tensors are handed out as trainable leaves.
    pub fn new(config: &'a LoraConfig, names: &'a AdapterNames, root: &Part<'a>) -> Result<Self> {
        let part = root.sub("base_model.model").trainable();
        let targets = config.targets_in(names).matcher()?;
        let (matched, of_other_models) = (RefCell::default(), RefCell::default());
        Ok(Self { config, names, targets, part, matched, of_other_models })
    }

    /// The pair for linear layer `module` (its Hugging Face path) with this weight, if the targets select it.
    fn pair(&self, module: &str, weight_oi: &Tensor) -> Option<LoraPair> {
        let target = self.targets.target_of(module)?;
        let [outputs, inputs] = [0, 1].map(|axis| weight_oi.size()[axis]);
        self.matched.borrow_mut().insert(target);
        let (part, (r, scale)) = (self.part.sub(module), self.config.rank_and_scale(module));
        // PEFT adds a copy of the base weight where the layer is an embedding or the output layer, and puts it into the
        // base model when it reads the adapter.
        if self.config.of_file.read && part.has("base_layer.weight") {
            let copy_oi = part.frozen().get("base_layer.weight", &[outputs, inputs]);
            if !same_weight(&copy_oi, weight_oi) {
                self.of_other_models.borrow_mut().push(module.to_owned());
            }
        }
        let a_ri = part.init("lora_A.weight", &[r, inputs], Init::Uniform(1.0 / (inputs as f64).sqrt()));
        let b_or = part.init("lora_B.weight", &[outputs, r], Init::Constant(0.0));
        Some(LoraPair { dropout: self.config.dropout, ..LoraPair::new(a_ri, b_or, scale) })
    }

    /// After building: every target must have selected a layer, and what the adapter has of its base model must be this
    /// one's.
    pub fn check(&self) -> Result<()> {
        if let Some(module) = self.of_other_models.borrow().first() {
            return Err(Error::usage(
                format!("the adapter's copy of the weight of {module} is another model's"),
                "give the model that the adapter was trained on as language_model.path",
            ));
        }
        let (matched, entries) = (self.matched.borrow(), self.targets.entries());
        let idle: Vec<&str> = (0..entries.len())
            .filter(|i| !matched.contains(i) && !self.is_repeated(*i))
            .map(|i| entries[i].as_str())
            .collect();
        if idle.is_empty() || (self.config.of_file.read && !matched.is_empty()) {
            return Ok(());
        }
        Err(Error::usage(
            format!(
                "LoRA target{} {} selects no layer",
                if idle.len() == 1 { "" } else { "s" },
                idle.join(", ")
            ),
            format!("name linear layers by the end of their path: {}, lm_head", self.names.linear.join(", ")),
        ))
    }

    /// Whether an earlier target already selects everything that target `i` can.
    fn is_repeated(&self, i: usize) -> bool {
        self.targets.target_of(&self.targets.entries()[i]).is_some_and(|first| first < i)
    }
}

/// Whether two weights are the same but for the rounding of bfloat16.
pub(crate) fn same_weight(a: &Tensor, b: &Tensor) -> bool {
    let [a, b] = [a, b].map(|weight| weight.detach().to_kind(Kind::Float));
    a.size() == b.size() && (&a - &b).abs().max().double_value(&[]) <= 0.01 * b.abs().max().double_value(&[])
}

/// The trainable update of one linear layer.
#[derive(Debug)]
pub struct LoraPair {
    a_ri: Tensor,
    b_or: Tensor,
    scale: f64,
    dropout: f64,
}

impl LoraPair {
    /// `A [r, in]`, `B [out, r]` and `alpha / r`, without dropout.
    pub fn new(a_ri: Tensor, b_or: Tensor, scale: f64) -> Self {
        Self { a_ri, b_or, scale, dropout: 0.0 }
    }

    /// `y + (alpha / r) B(A(dropout(x)))`, in the type of `x`; `y` is used up.
    pub fn add_to(&self, y: Tensor, x: &Tensor, train: bool) -> Tensor {
        let (kind, shape) = (x.kind(), y.size());
        let low =
            dropout(x.shallow_clone(), self.dropout, train).linear::<&Tensor>(&self.a_ri.to_kind(kind), None);
        let low_nr = low.flatten(0, -2) * self.scale;
        y.flatten(0, -2).addmm_(&low_nr, &self.b_or.to_kind(kind).tr()).reshape(shape)
    }

    /// `(alpha / r) B A`, what the update adds to the frozen weight; float32.
    pub fn delta(&self) -> Tensor {
        self.b_or.matmul(&self.a_ri) * self.scale
    }
}

/// A place in a network that is being built: the base model there, and the adapter beside it if there is one.
pub struct Adapted<'a> {
    pub base: Part<'a>,
    lora: Option<&'a Lora<'a>>,
    /// Hugging Face module path of the place, which is the same under any prefix of `base`.
    module: String,
}

impl<'a> Adapted<'a> {
    /// The root of the model.
    pub fn root(base: &Part<'a>, lora: Option<&'a Lora<'a>>) -> Self {
        Self { base: base.in_kind(base.kind()), lora, module: String::new() }
    }

    /// The place below `name`.
    pub fn sub(&self, name: &str) -> Self {
        Self { base: self.base.sub(name), lora: self.lora, module: self.path(name) }
    }

    /// The update of linear layer `name` with this weight, if the adapter has one.
    pub fn pair(&self, name: &str, weight_oi: &Tensor) -> Option<LoraPair> {
        self.lora.and_then(|lora| lora.pair(&self.path(name), weight_oi))
    }

    fn path(&self, name: &str) -> String {
        if self.module.is_empty() { name.to_owned() } else { format!("{}.{name}", self.module) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_refused() {
        assert!(LoraConfig::default().check().is_ok());
        assert!(LoraConfig { r: 0, ..LoraConfig::default() }.check().is_err());
        assert!(LoraConfig { dropout: 1.0, ..LoraConfig::default() }.check().is_err());
        assert!(LoraConfig { alpha: f64::NAN, ..LoraConfig::default() }.check().is_err());
        assert!(LoraConfig { targets: Some(Targets::names(&[])), ..LoraConfig::default() }.check().is_err());
    }
}
