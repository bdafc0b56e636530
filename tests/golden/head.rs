//! The trainable head against a PyTorch reference of the paper's formulas: outputs, losses, all gradients.

use crate::case::{Case, device, further, on_cpu};
use signclip_common::synthetic;
use signclip_common::weights::Weights;
use signclip_train::head::config::{HeadConfig, LossConfig, Widths};
use signclip_train::head::contrastive::cosine;
use signclip_train::head::sign_head::{HeadOutput, SignHead};
use signclip_train::head::streams::StreamBatch;
use signclip_train::head::temporal::{out_length, valid};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The number that follows `label` in a description, where a number follows it for the first time.
fn number_after(text: &str, label: &str) -> Option<f64> {
    text.split(label).skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').parse().ok()
    })
}

struct Inputs {
    spatial: Tensor,
    mouth: Tensor,
    lengths: Tensor,
    z_t: Tensor,
    probe: Tensor,
}

struct Head {
    case: Case,
    config: HeadConfig,
    widths: Widths,
}

impl Head {
    fn load(name: &str) -> Option<Self> {
        let case = Case::load(name)?;
        let mut config = case.json["config"].clone();
        let fields = config.as_object_mut().expect("a configuration");
        fields.remove("lengths");
        let mut width = |name: &str| fields.remove(name).and_then(|width| width.as_i64()).expect("a width");
        let streams =
            [("spatial", "d_s"), ("mouthing", "d_m")].map(|(name, field)| (name.to_owned(), width(field)));
        let widths = Widths { streams: streams.into(), language: width("d_llm") };
        let config: HeadConfig = serde_json::from_value(config).expect("a head's configuration");
        config.validate(&widths).expect("a head that can be built");
        Some(Self { case, config, widths })
    }

    /// The computed weights, and the two temperatures, which do not follow the rule.
    fn weights(&self) -> Weights {
        let case = &self.case;
        let note = case.json["state_dict_note"].as_str().expect("a note on the temperatures");
        let scale = number_after(note, "are ").expect("the temperatures") as f32;
        let mut tensors = BTreeMap::new();
        for (key, shape) in case.state_dict() {
            let tensor = Tensor::from_slice(&synthetic::tensor(&key, &shape, case.salt())).reshape(&shape);
            tensors.insert(key, tensor);
        }
        for key in ["logit_scale_vt", "logit_scale_sm"] {
            tensors.insert(key.to_owned(), Tensor::from(scale));
        }
        Weights::memory(tensors, Path::new(&case.name), device(), Kind::Float)
    }

    fn inputs(&self) -> Inputs {
        let lengths = self.case.tensor("lengths");
        let (clips, frames) = (lengths.size()[0], lengths.max().int64_value(&[]));
        let Widths { streams, language } = &self.widths;
        let (spatial, mouthing, language) = (streams["spatial"], streams["mouthing"], *language);
        let mask = valid(&lengths, frames, Device::Cpu).unsqueeze(-1);
        let input = |name: &str, shape: &[i64]| {
            if self.case.has(name) { self.case.tensor(name) } else { self.regenerate(name, shape) }
        };
        let there = |x: Tensor| x.to_device(device());
        Inputs {
            spatial: there(input("spatial", &[clips, frames, spatial]) * &mask),
            mouth: there(input("mouth", &[clips, frames, mouthing]) * &mask),
            z_t: there(input("z_t", &[clips, language])),
            probe: there(input("probe", &[clips, out_length(self.config.conv, frames), language])),
            lengths,
        }
    }

    /// An input by the `inputs_rule` of the case: a sum of terms `factor*s('key')`, where a key with `<b>` is one
    /// offset for all frames of clip b.
    fn regenerate(&self, name: &str, shape: &[i64]) -> Tensor {
        let rule = self.case.json["inputs_rule"].as_str().unwrap_or_else(|| panic!("no rule for {name}"));
        let case = self.case.json["case"].as_str().expect("the name of the case");
        let formula = [format!("{name}[b,t] = "), format!("{name} = ")]
            .iter()
            .find_map(|start| rule.split_once(start.as_str()))
            .map_or_else(|| panic!("no formula of {name} in {rule}"), |(_, rest)| rest);
        let end = [", ", "; ", ". "].iter().filter_map(|stop| formula.find(stop)).min();
        let mut sum = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        for term in formula[..end.unwrap_or(formula.len())].split(" + ") {
            let factor =
                term.split_once("*s(").map_or(1.0, |(factor, _)| factor.trim().parse().expect("a factor"));
            let key = term.split('\'').nth(1).expect("a quoted key").replace("<case>", case);
            if key.contains("<b>") {
                let one = |b: i64| self.stream(&key.replace("<b>", &b.to_string()), &shape[2..], factor);
                sum += Tensor::stack(&(0..shape[0]).map(one).collect::<Vec<_>>(), 0).unsqueeze(1);
            } else {
                sum += self.stream(&key, shape, factor);
            }
        }
        sum
    }

    fn stream(&self, key: &str, shape: &[i64], factor: f64) -> Tensor {
        let random = synthetic::Random::new(key, self.case.salt());
        let n = shape.iter().product::<i64>() as u64;
        let values: Vec<f32> = (0..n).map(|i| (factor * random.signed(i)) as f32).collect();
        Tensor::from_slice(&values).reshape(shape)
    }

    /// Compare with array `name`, or with the regular sample `name_sub` of it.
    fn check(&self, name: &str, got: &Tensor, kind: &str) {
        let bounds = ["max_abs", "rel_l2"].map(|bound| self.case.tolerance(&format!("{kind}/{bound}")));
        let sub = format!("{name}_sub");
        if self.case.has(name) {
            let got = got.reshape(self.case.tensor(name).size());
            self.case.check(name, &got, bounds[0], bounds[1]);
        } else if self.case.has(&sub) {
            let mut got = on_cpu(got);
            for (axis, wanted) in self.case.tensor(&sub).size().into_iter().enumerate() {
                let full = got.size()[axis];
                let stride = (1..=full).find(|s| (full + s - 1) / s == wanted).expect("a regular sample");
                got = got.slice(axis as i64, 0, full, stride);
            }
            self.case.check(&sub, &got, bounds[0], bounds[1]);
        } else {
            panic!("{}: nothing to compare {name} with", self.case.name);
        }
    }

    /// Compare a gradient, or a sample of its elements, and its norm.
    fn check_grad(&self, name: &str, grad: &Tensor) {
        assert!(grad.defined(), "{name}: no gradient");
        let array = format!("grad.{name}");
        let what = self.case.json["arrays"][&array]["what"].as_str().unwrap_or_default();
        let sampled = match number_after(what, "every ") {
            Some(stride) => {
                let sample = grad.flatten(0, -1).slice(0, 0, None, stride as i64);
                sample.narrow(0, 0, self.case.tensor(&array).size()[0])
            }
            None => grad.shallow_clone(),
        };
        self.check(&array, &sampled, "grads");
        let norm = format!("gradnorm.{name}");
        if self.case.has(&norm) {
            // Summed in float64: libtorch's float32 norm of millions of elements is off by 1e-4.
            let got = grad.to_kind(Kind::Double).norm().reshape([1]);
            self.case.check(&norm, &got, f64::INFINITY, self.case.tolerance("grads/rel_l2"));
        }
    }
}

/// One forward and backward pass in evaluation mode, everything compared.
fn run(name: &str) {
    let Some(head_case) = Head::load(name) else { return };
    let weights = head_case.weights();
    let head = weights
        .build(&[], |root| SignHead::new(root, &head_case.config, &head_case.widths, &LossConfig::default()))
        .expect("all keys of the case");
    let inputs = head_case.inputs();
    for (name, input) in [
        ("spatial", &inputs.spatial),
        ("mouth", &inputs.mouth),
        ("z_t", &inputs.z_t),
        ("probe", &inputs.probe),
    ] {
        // Stored inputs are trivially equal; samples of regenerated ones are not.
        head_case.check(name, input, "outputs");
    }
    let [spatial, mouth, z_t] =
        [&inputs.spatial, &inputs.mouth, &inputs.z_t].map(|x| x.copy().set_requires_grad(true));

    let batch = [("spatial", &spatial), ("mouthing", &mouth)].map(|(name, rows)| {
        let (rows, lengths) = (rows.shallow_clone(), inputs.lengths.shallow_clone());
        (name.to_owned(), StreamBatch { rows, lengths })
    });
    let out = head.forward(&batch.into(), false).expect("both streams");
    assert_eq!(out.out_lengths, head_case.case.tensor("out_lengths"), "{name}: valid steps");
    let HeadOutput { gate: Some(gate), z_s: Some(z_s), z_m: Some(z_m), .. } = &out else {
        panic!("{name}: both streams are expected")
    };
    for (name, got) in [
        ("gate", gate),
        ("fused", &out.fused),
        ("conv", &out.conv),
        ("tokens", &out.tokens),
        ("z_v", &out.z_v),
        ("z_s", z_s),
        ("z_m", z_m),
        ("sim_vt", &cosine(&out.z_v, &z_t)),
        ("sim_sm", &cosine(z_s, z_m)),
    ] {
        head_case.check(name, got, "outputs");
    }

    let choices = head_case.case.json["choices"].to_string();
    let alpha = number_after(&choices, "alpha ").expect("alpha");
    let beta = number_after(&choices, "beta ").expect("beta");
    let l_vt = head.loss_vt(&out.z_v, &z_t, None, false).expect("a head with L_vt");
    let l_sm = head.loss_sm(z_s, z_m, None, false).expect("a head with both streams");
    let steps = out.out_lengths.sum(Kind::Float);
    let l_probe = (&out.tokens * &inputs.probe).sum(Kind::Float) / steps;
    let l_total = &l_probe + &l_vt * alpha + &l_sm * beta;
    for (name, got) in [
        ("L_vt", &l_vt),
        ("L_sm", &l_sm),
        ("L_vt_symmetric", &head.loss_vt(&out.z_v, &z_t, None, true).expect("a head with L_vt")),
        ("L_sm_symmetric", &head.loss_sm(z_s, z_m, None, true).expect("a head with both streams")),
        ("L_probe", &l_probe),
        ("L_total", &l_total),
    ] {
        head_case.check(name, got, "losses");
    }

    l_total.backward();
    for (name, parameter) in weights.parameters() {
        head_case.check_grad(&name, &parameter.grad());
    }
    for (name, input) in [("spatial", &spatial), ("mouth", &mouth), ("z_t", &z_t)] {
        head_case.check_grad(name, &input.grad());
    }
}

#[test]
fn signclip_head_same() {
    run("signclip_head_same");
}

#[test]
fn signclip_head_spamo() {
    run("signclip_head_spamo");
}

#[test]
fn signclip_head_full() {
    run("signclip_head_full");
}

#[test]
fn further_head_cases() {
    let known = ["signclip_head_same", "signclip_head_spamo", "signclip_head_full"];
    further(&["signclip_head_"], &known).iter().for_each(|name| run(name));
}
