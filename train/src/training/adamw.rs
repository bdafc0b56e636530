//! AdamW (Loshchilov and Hutter, 2019) with a state that can be saved, and gradient clipping.
//!
//! Same arithmetic as `torch.optim.AdamW` (single tensor, no amsgrad), whose bound form in libtorch can neither give
//! out nor take back its state:
//!
//! ```text
//! p ← p·(1 − lr·wd);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²
//! p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
//! ```
//!
//! Deviation: [`AdamW::zero_grad`] sets gradients to zero and does not remove them (libtorch's C interface cannot), so
//! a parameter that once had a gradient keeps moving by its momentum.

use crate::card;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// What all groups share. Defaults: SpaMo `configs/finetune.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.98, eps: 1e-8 }
    }
}

/// Parameters with one learning rate and one weight decay (0 for biases, norms and temperatures).
pub struct ParameterGroup {
    /// Float32 leaves that require gradients, with their names.
    pub parameters: Vec<(String, Tensor)>,
    pub lr: f64,
    pub weight_decay: f64,
}

/// One parameter with its moments.
struct Slot {
    name: String,
    parameter: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: i64,
    group: usize,
}

pub struct AdamW {
    config: AdamWConfig,
    /// (learning rate, weight decay) by group.
    rates: Vec<(f64, f64)>,
    slots: Vec<Slot>,
}

impl AdamW {
    pub fn new(groups: Vec<ParameterGroup>, config: AdamWConfig) -> Self {
        let rates = groups.iter().map(|g| (g.lr, g.weight_decay)).collect();
        let mut slots = Vec::new();
        for (group, ParameterGroup { parameters, .. }) in groups.into_iter().enumerate() {
            for (name, parameter) in parameters {
                let exp_avg = parameter.detach().zeros_like();
                let exp_avg_sq = parameter.detach().zeros_like();
                slots.push(Slot { name, parameter, exp_avg, exp_avg_sq, step: 0, group });
            }
        }
        Self { config, rates, slots }
    }

    /// All parameters, in order of construction.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.parameter))
    }

    /// Learning rate of each group before the factor of the schedule.
    pub fn learning_rates(&self) -> Vec<f64> {
        self.rates.iter().map(|(lr, _)| *lr).collect()
    }

    /// One update with every learning rate times `lr_factor` (see [`crate::training::schedule::Schedule`]). Parameters
    /// without a gradient stay as they are, decay included.
    pub fn step(&mut self, lr_factor: f64) {
        let _guard = tch::no_grad_guard();
        // By group and step, which decide the numbers of the update.
        let mut joined: BTreeMap<(usize, i64), Vec<[Tensor; 4]>> = BTreeMap::new();
        for slot in &mut self.slots {
            let grad = slot.parameter.grad();
            if !grad.defined() {
                continue;
            }
            slot.step += 1;
            let rates = Rates::new(self.config, self.rates[slot.group], lr_factor, slot.step);
            let tensors = [&slot.parameter, &slot.exp_avg, &slot.exp_avg_sq, &grad];
            if card::joins(&slot.parameter) {
                let flat = tensors.map(|t| t.detach().reshape([-1]));
                joined.entry((slot.group, slot.step)).or_default().push(flat);
            } else {
                pieces(tensors).for_each(|piece| rates.update(piece));
            }
        }
        for ((group, step), slots) in joined {
            Rates::new(self.config, self.rates[group], lr_factor, step).update_joined(&slots);
        }
    }

    /// Set all gradients to zero.
    pub fn zero_grad(&mut self) {
        let _guard = tch::no_grad_guard();
        let grads = self.slots.iter().map(|slot| slot.parameter.grad()).filter(Tensor::defined).collect();
        let (joined, large) = apart(grads);
        for mut grad in large.into_iter().chain(joined.iter().map(|joined| joined.flat.shallow_clone())) {
            let _ = grad.zero_();
        }
        joined.iter().for_each(Joined::write_back);
    }

    /// Scale all gradients together so that their global L2 norm is at most `max_norm`, as
    /// `torch.nn.utils.clip_grad_norm_` does; the norm before. Where that is not finite, gradients stay as they are
    /// and the caller must not step.
    pub fn clip_grad_norm(&mut self, max_norm: f64) -> f64 {
        let _guard = tch::no_grad_guard();
        let grads: Vec<Tensor> =
            self.slots.iter().map(|s| s.parameter.grad()).filter(Tensor::defined).collect();
        if grads.is_empty() {
            return 0.0;
        }
        // Not libtorch's norm: on the CPU it adds millions of squares one by one in float32 and is off by 1e-4.
        let (mut joined, large) = apart(grads);
        let squares: Vec<Tensor> = joined
            .iter()
            .map(|joined| &joined.flat)
            .chain(&large)
            .map(|grad| grad.square().sum(grad.kind()))
            .collect();
        let total = Tensor::stack(&squares, 0).sum(Kind::Double).sqrt().double_value(&[]);
        let factor = max_norm / (total + 1e-6);
        if total.is_finite() && factor < 1.0 {
            for mut grad in large {
                grad *= factor;
            }
            if let Some(joined) = &mut joined {
                joined.flat *= factor;
                joined.write_back();
            }
        }
        total
    }

    /// Everything a checkpoint needs: `<parameter>.exp_avg`, `<parameter>.exp_avg_sq` (float32) and
    /// `<parameter>.step` (int64, 0-D).
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let entries = |slot: &Slot| {
            [
                (format!("{}.exp_avg", slot.name), slot.exp_avg.shallow_clone()),
                (format!("{}.exp_avg_sq", slot.name), slot.exp_avg_sq.shallow_clone()),
                (format!("{}.step", slot.name), Tensor::from(slot.step)),
            ]
        };
        self.slots.iter().flat_map(entries).collect()
    }

    /// Take back what [`AdamW::state`] gave. Nothing changes where something is missing, misshapen or unknown.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let refuse =
            |what| Err(Error::usage(what, "the checkpoint is of another configuration; start a new run"));
        let own = self.state();
        for (name, own) in &own {
            match state.get(name) {
                None => return refuse(format!("no optimiser state {name}")),
                Some(found) if found.size() != own.size() => {
                    let (found, own) = (found.size(), own.size());
                    return refuse(format!("optimiser state {name} is {found:?}, the parameter {own:?}"));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = state.keys().find(|name| !own.iter().any(|(n, _)| n == *name)) {
            return refuse(format!("optimiser state {name} belongs to no parameter"));
        }
        for slot in &mut self.slots {
            slot.exp_avg.copy_(&state[&format!("{}.exp_avg", slot.name)]);
            slot.exp_avg_sq.copy_(&state[&format!("{}.exp_avg_sq", slot.name)]);
            slot.step = state[&format!("{}.step", slot.name)].int64_value(&[]);
        }
        Ok(())
    }
}

/// The numbers of one update.
struct Rates {
    config: AdamWConfig,
    lr: f64,
    weight_decay: f64,
    correction1: f64,
    correction2: f64,
}

impl Rates {
    fn new(config: AdamWConfig, (lr, weight_decay): (f64, f64), lr_factor: f64, step: i64) -> Self {
        let [correction1, correction2] =
            [config.beta1, config.beta2].map(|beta| 1.0 - beta.powf(step as f64));
        Self { config, lr: lr * lr_factor, weight_decay, correction1, correction2 }
    }

    /// Parameter, its two moments and its gradient.
    fn update(&self, [mut parameter, mut exp_avg, mut exp_avg_sq, grad]: [Tensor; 4]) {
        let AdamWConfig { beta1, beta2, eps } = self.config;
        parameter *= 1.0 - self.lr * self.weight_decay;
        let _ = exp_avg.lerp_(&grad, 1.0 - beta1);
        exp_avg_sq *= beta2;
        exp_avg_sq += grad.square() * (1.0 - beta2);
        let denominator = exp_avg_sq.sqrt() / self.correction2.sqrt() + eps;
        parameter -= &exp_avg / denominator * (self.lr / self.correction1);
    }

    /// The same for many: a GPU starts some 30 kernels instead of 14 for each. All are one-dimensional.
    fn update_joined(&self, slots: &[[Tensor; 4]]) {
        let joined =
            [0, 1, 2, 3].map(|i| Joined::of(slots.iter().map(|slot| slot[i].shallow_clone()).collect()));
        self.update(joined.each_ref().map(|joined| joined.flat.shallow_clone()));
        joined[..3].iter().for_each(Joined::write_back);
    }
}

/// One-dimensional tensors, and a copy of them one behind the other.
struct Joined {
    parts: Vec<Tensor>,
    flat: Tensor,
}

impl Joined {
    fn of(parts: Vec<Tensor>) -> Self {
        Self { flat: Tensor::cat(&parts, 0), parts }
    }

    /// Gives the tensors what the copy is by now.
    fn write_back(&self) {
        let sizes: Vec<i64> = self.parts.iter().map(|part| part.size()[0]).collect();
        self.flat.split_with_sizes_copy_out(&self.parts, &sizes, 0);
    }
}

/// Those that are handled as one, if there are any, and the others.
fn apart(grads: Vec<Tensor>) -> (Option<Joined>, Vec<Tensor>) {
    let (small, large): (Vec<Tensor>, Vec<Tensor>) = grads.into_iter().partition(card::joins);
    let views: Vec<Tensor> = small.iter().map(|grad| grad.view(-1)).collect();
    ((!views.is_empty()).then(|| Joined::of(views)), large)
}

/// Elements updated at once on the CPU: all that an update touches of them fits the cache of a core, so that its
/// dozen passes read and write main memory once.
const PIECE: i64 = 1 << 16;

/// Views of the same elements of four tensors of one shape, piece by piece.
fn pieces(tensors: [&Tensor; 4]) -> impl Iterator<Item = [Tensor; 4]> {
    let n = tensors[0].numel() as i64;
    let split = tensors[0].device() == Device::Cpu && tensors.iter().all(|t| t.is_contiguous());
    let flat = tensors.map(|t| if split { t.view(-1) } else { t.shallow_clone() });
    let piece = if split { PIECE } else { n.max(1) };
    (0..n).step_by(piece as usize).map(move |begin| {
        let view = |t: &Tensor| t.narrow(0, begin, piece.min(n - begin));
        flat.each_ref().map(|t| if split { view(t) } else { t.shallow_clone() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    fn set_grad(parameter: &Tensor, grad: &[f32]) {
        (parameter * Tensor::from_slice(grad)).sum(Kind::Float).backward();
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        (0..tensor.numel() as i64).map(|i| tensor.double_value(&[i])).collect()
    }

    fn grad(step: usize, i: usize) -> f32 {
        ((step * 7 + i * 3) as f32 * 0.7).sin() * 10f32.powi(i as i32 - 2)
    }

    fn one_step(adamw: &mut AdamW, parameter: &Tensor, step: usize, factor: f64) {
        adamw.zero_grad();
        set_grad(parameter, &[0, 1, 2, 3].map(|i| grad(step, i)));
        adamw.step(factor);
    }

    /// What a GPU computes, on the CPU.
    #[test]
    fn joined_parameters_are_updated_as_single_ones() {
        let slots = || {
            let slot = |n: i64| {
                [0.3, 0.7, 1.1, 1.9]
                    .map(|step| (Tensor::arange(n, (Kind::Float, Device::Cpu)) * step).sin().abs())
            };
            [5, 1, 70_000].map(slot)
        };
        let rates = Rates::new(AdamWConfig::default(), (1e-2, 0.1), 0.5, 3);
        let (single, joined) = (slots(), slots());
        single.iter().for_each(|slot| rates.update(slot.each_ref().map(Tensor::shallow_clone)));
        rates.update_joined(&joined);
        for (single, joined) in single.iter().zip(&joined) {
            for (single, joined) in single.iter().zip(joined) {
                assert!((single - joined).abs().max().double_value(&[]) < 1e-6);
            }
        }
        assert_ne!(single[0][0], slots()[0][0]);
    }

    /// Against the textbook formulas on scalars in float64.
    #[test]
    fn scalar_formulas() {
        let p = parameter(&[1.0, -2.0, 0.5, 3.0]);
        let groups = vec![ParameterGroup {
            parameters: vec![("p".to_owned(), p.shallow_clone())],
            lr: 1e-2,
            weight_decay: 0.1,
        }];
        let mut adamw = AdamW::new(groups, AdamWConfig::default());
        let mut expected = [1.0, -2.0, 0.5, 3.0f64];
        let (mut m, mut v) = ([0.0f64; 4], [0.0f64; 4]);
        for step in 1..=25 {
            let factor = 1.0 / step as f64;
            one_step(&mut adamw, &p, step, factor);
            let lr = 1e-2 * factor;
            for i in 0..4 {
                let g = f64::from(grad(step, i));
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.98 * v[i] + 0.02 * g * g;
                let m_hat = m[i] / (1.0 - 0.9f64.powi(step as i32));
                let v_hat = v[i] / (1.0 - 0.98f64.powi(step as i32));
                expected[i] -= lr * 0.1 * expected[i];
                expected[i] -= lr * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        for (got, want) in values(&p).iter().zip(expected) {
            assert!((got - want).abs() < 2e-6, "{got} {want}");
        }
    }

    #[test]
    fn groups_keep_their_own_rates_and_skip_what_has_no_gradient() {
        let (a, b, c) = (parameter(&[1.0]), parameter(&[1.0]), parameter(&[1.0]));
        let group = |name: &str, p: &Tensor, lr, weight_decay| ParameterGroup {
            parameters: vec![(name.to_owned(), p.shallow_clone())],
            lr,
            weight_decay,
        };
        let groups = vec![group("a", &a, 1e-1, 0.0), group("b", &b, 1e-2, 0.5), group("c", &c, 1.0, 0.5)];
        let mut adamw = AdamW::new(groups, AdamWConfig::default());
        set_grad(&a, &[3.0]);
        set_grad(&b, &[3.0]);
        adamw.step(1.0);
        // The first step has the size of the learning rate.
        assert!((values(&a)[0] - 0.9).abs() < 1e-6);
        assert!((values(&b)[0] - (1.0 - 1e-2 * 0.5 - 1e-2)).abs() < 1e-6);
        assert_eq!(values(&c), [1.0]);
        assert_eq!(adamw.learning_rates(), [1e-1, 1e-2, 1.0]);
    }

    /// Interrupted and resumed equals uninterrupted, bit for bit.
    #[test]
    fn state_round_trip_is_exact() -> Result<()> {
        let make = |p: &Tensor| {
            let parameters = vec![("p".to_owned(), p.shallow_clone())];
            AdamW::new(
                vec![ParameterGroup { parameters, lr: 1e-2, weight_decay: 0.1 }],
                AdamWConfig::default(),
            )
        };
        let whole = parameter(&[1.0, -2.0, 0.5, 3.0]);
        let mut adamw = make(&whole);
        (1..=9).for_each(|step| one_step(&mut adamw, &whole, step, 1.0));

        let first = parameter(&[1.0, -2.0, 0.5, 3.0]);
        let mut adamw = make(&first);
        (1..=4).for_each(|step| one_step(&mut adamw, &first, step, 1.0));
        let saved: BTreeMap<String, Tensor> =
            adamw.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let second = first.detach().copy().set_requires_grad(true);
        let mut adamw = make(&second);
        adamw.load_state(&saved)?;
        (5..=9).for_each(|step| one_step(&mut adamw, &second, step, 1.0));
        assert_eq!(values(&whole), values(&second));
        Ok(())
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let p = parameter(&[1.0]);
        let parameters = vec![("p".to_owned(), p)];
        let mut adamw = AdamW::new(
            vec![ParameterGroup { parameters, lr: 1.0, weight_decay: 0.0 }],
            AdamWConfig::default(),
        );
        let good: BTreeMap<String, Tensor> = adamw.state().into_iter().collect();
        let mut refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), message: &str| {
            let mut state: BTreeMap<String, Tensor> =
                good.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
            change(&mut state);
            let error = adamw.load_state(&state).expect_err("must be refused").to_string();
            assert!(error.contains(message), "{error}");
        };
        refused(&|state| drop(state.remove("p.step")), "no optimiser state p.step");
        refused(
            &|state| drop(state.insert("q.step".to_owned(), Tensor::from(1i64))),
            "q.step belongs to no parameter",
        );
        let wide = |state: &mut BTreeMap<String, Tensor>| {
            drop(state.insert("p.exp_avg".to_owned(), Tensor::zeros([2], (Kind::Float, Device::Cpu))));
        };
        refused(&wide, "p.exp_avg is [2]");
    }

    #[test]
    fn clipping_scales_all_gradients_together() {
        let (a, b) = (parameter(&[1.0, 1.0]), parameter(&[1.0]));
        let parameters = vec![("a".to_owned(), a.shallow_clone()), ("b".to_owned(), b.shallow_clone())];
        let mut adamw = AdamW::new(
            vec![ParameterGroup { parameters, lr: 1.0, weight_decay: 0.0 }],
            AdamWConfig::default(),
        );
        assert_eq!(adamw.clip_grad_norm(1.0), 0.0);
        set_grad(&a, &[3.0, 0.0]);
        set_grad(&b, &[4.0]);
        assert!((adamw.clip_grad_norm(10.0) - 5.0).abs() < 1e-6);
        assert_eq!(values(&a.grad()), [3.0, 0.0]);
        assert!((adamw.clip_grad_norm(1.0) - 5.0).abs() < 1e-6);
        assert!((values(&a.grad())[0] - 0.6).abs() < 1e-6 && (values(&b.grad())[0] - 0.8).abs() < 1e-6);
        adamw.zero_grad();
        set_grad(&b, &[f32::NAN]);
        assert!(adamw.clip_grad_norm(1.0).is_nan());
    }
}
