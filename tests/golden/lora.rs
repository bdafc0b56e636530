//! LoRA on T5 against Hugging Face PEFT: outputs, gradients, and three steps of AdamW.

use crate::case::{Case, device, on_cpu};
use crate::t5::config as config_of_case;
use signclip_common::weights::Weights;
use signclip_train::language::adapter;
use signclip_train::language::dropout;
use signclip_train::language::inputs::IGNORE;
use signclip_train::language::label_loss;
use signclip_train::language::lora::LoraConfig;
use signclip_train::language::t5::{self, T5, T5Config};
use signclip_train::language::targets::Targets;
use signclip_train::language::tuning::Tuning;
use signclip_train::training::adamw::{AdamW, AdamWConfig, ParameterGroup};
use std::collections::BTreeSet;
use tch::{Kind, Tensor, no_grad};

/// The model that the adapters of the cases belong to.
const BASE: &str = "t5_tiny";

#[test]
fn lora_qv() {
    golden("lora_qv");
}

#[test]
fn lora_all_linear() {
    golden("lora_all_linear");
}

fn lora_config(case: &Case) -> LoraConfig {
    let targets = case.json["config"]["target_modules"].as_array().expect("target_modules");
    LoraConfig {
        r: case.number("/config/r") as i64,
        alpha: case.number("/config/lora_alpha"),
        dropout: case.number("/config/lora_dropout"),
        targets: Some(Targets::Names(
            targets.iter().map(|t| t.as_str().expect("a name").to_owned()).collect(),
        )),
        ..LoraConfig::default()
    }
}

fn load(base: &Case, config_of: &Case, adapter: &Weights) -> T5 {
    T5::load(
        &base.weights(Kind::Float),
        &config_of_case(base),
        Tuning::Lora(&lora_config(config_of), adapter),
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

/// The batch of a case.
struct Batch {
    inputs_bsd: Tensor,
    mask_bs: Tensor,
    labels_bt: Tensor,
}

impl Batch {
    fn of(case: &Case) -> Self {
        Self {
            inputs_bsd: case.input("inputs_embeds"),
            mask_bs: case.input("attention_mask"),
            labels_bt: case.input("labels"),
        }
    }

    /// Encoder output, logits and loss; PEFT's dropout of the case is 0, and the model is in evaluation mode.
    fn run(&self, t5: &T5) -> (Tensor, Tensor, Tensor) {
        let encoder_bsd = t5.encode(&self.inputs_bsd, &self.mask_bs, false);
        let logits_btv = t5.decode(&t5.shift_right(&self.labels_bt), &encoder_bsd, &self.mask_bs, false);
        let loss = label_loss::mean(&logits_btv, &self.labels_bt);
        (encoder_bsd, logits_btv, loss)
    }

    /// Compare logits where the label counts; elsewhere the reference masks positions as keys, too.
    fn check(&self, case: &Case, name: &str, logits_btv: &Tensor) {
        let counts_bt1 = on_cpu(&self.labels_bt).ne(IGNORE).to_kind(Kind::Float).unsqueeze(-1);
        let (max_abs, rel_l2) = bounds(case, "logits");
        let want = case.tensor(name) * &counts_bt1;
        case.check_with(name, &(on_cpu(logits_btv) * counts_bt1), &want, max_abs, rel_l2);
    }
}

fn golden(name: &str) {
    let (Some(base), Some(case)) = (Case::load(BASE), Case::load(name)) else { return };
    let adapter = case.weights(Kind::Float);
    let mut t5 = load(&base, &case, &adapter);
    let parameters = adapter.parameters();
    let names = |list: Vec<String>| list.into_iter().collect::<BTreeSet<_>>();
    let got = names(parameters.iter().map(|(name, _)| name.clone()).collect());
    assert_eq!(got, names(case.state_dict().into_iter().map(|(key, _)| key).collect()), "{name}: names");

    let batch = Batch::of(&case);
    let (logits_abs, logits_rel) = bounds(&case, "logits");
    let loss_bound = case.tolerance("losses");
    if case.has("plain_logits") {
        let plain = T5::load(&base.weights(Kind::Float), &config_of_case(&base), Tuning::Frozen);
        let (_, logits, _) = batch.run(&plain.unwrap_or_else(|e| panic!("{e}")));
        batch.check(&case, "plain_logits", &logits);
    }
    let (encoder_bsd, logits_btv, loss) = batch.run(&t5);
    let valid = |x: &Tensor| on_cpu(x) * on_cpu(&batch.mask_bs).unsqueeze(-1);
    let want = valid(&case.tensor("encoder_last"));
    case.check_with("encoder_last", &valid(&encoder_bsd), &want, logits_abs, logits_rel);
    batch.check(&case, "logits", &logits_btv);
    loss.backward();
    gradients(&case, &parameters);

    let rate = optimizer_number(&case, "lr");
    let betas = (optimizer_number(&case, "betas ("), optimizer_number(&case, ", 0."));
    let group = ParameterGroup {
        parameters: adapter.parameters(),
        lr: rate,
        weight_decay: optimizer_number(&case, "weight_decay"),
    };
    let config = AdamWConfig { beta1: betas.0, beta2: betas.1, eps: optimizer_number(&case, "eps") };
    let mut optimizer = AdamW::new(vec![group], config);
    let mut losses = vec![loss.double_value(&[])];
    for _ in 1..case.tensor("losses").size()[0] {
        optimizer.step(1.0);
        optimizer.zero_grad();
        let (_, _, loss) = batch.run(&t5);
        loss.backward();
        losses.push(loss.double_value(&[]));
    }
    case.check("losses", &Tensor::from_slice(&losses), loss_bound, f64::INFINITY);
    after(&case, &parameters);
    let (_, logits_btv, _) = no_grad(|| batch.run(&t5));
    batch.check(&case, "logits_after", &logits_btv);

    t5.merge();
    let (_, merged_btv, _) = no_grad(|| batch.run(&t5));
    batch.check(&case, "logits_after", &merged_btv);
}

fn gradients(case: &Case, parameters: &[(String, Tensor)]) {
    let (max_abs, rel_l2) = bounds(case, "grads");
    let flat = |tensors: Vec<Tensor>| {
        Tensor::cat(&tensors.iter().map(|t| t.to_kind(Kind::Double).flatten(0, -1)).collect::<Vec<_>>(), 0)
    };
    let want: Vec<Tensor> = parameters.iter().map(|(name, _)| case.tensor(&format!("grad.{name}"))).collect();
    let got: Vec<Tensor> = parameters.iter().map(|(_, parameter)| on_cpu(&parameter.grad()).copy()).collect();
    for (((name, _), got), want) in parameters.iter().zip(&got).zip(&want) {
        // The relative bound is for all gradients together: some single ones are near zero.
        let gap = crate::case::Difference::between(got, want);
        assert!(gap.max_abs <= max_abs, "{}: gradient of {name}: {gap}", case.name);
    }
    let (got, want) = (flat(got), flat(want));
    case.check_with("all gradients", &got, &want, max_abs, rel_l2);
    if case.has("grad_norm") {
        let norm = got.norm().reshape([1]);
        case.check("grad_norm", &norm, f64::INFINITY, rel_l2);
    }
}

/// Parameters after the steps, where the first gradient was above 1e-5: AdamW divides a gradient by its own size,
/// so that rounding in smaller ones moves an element by the learning rate (as the case says). The parameters are
/// then set to the reference's, so that the logits after the steps are comparable.
fn after(case: &Case, parameters: &[(String, Tensor)]) {
    let (max_abs, rel_l2) = bounds(case, "after");
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for (name, parameter) in parameters {
        let clear = case.tensor(&format!("grad.{name}")).abs().gt(1e-5);
        let reference = case.tensor(&format!("after.{name}"));
        got.push(on_cpu(&parameter.detach()).masked_select(&clear));
        want.push(reference.masked_select(&clear));
        parameter.detach().copy_(&reference);
    }
    case.check_with("all after", &Tensor::cat(&got, 0), &Tensor::cat(&want, 0), max_abs, rel_l2);
}

/// The number behind `key` in the description of the optimizer.
fn optimizer_number(case: &Case, key: &str) -> f64 {
    let text = case.json["config"]["optimizer"].as_str().expect("optimizer");
    let from = text.find(key).unwrap_or_else(|| panic!("{key} in {text:?}"));
    let rest = text[from + if key.starts_with(',') { 2 } else { key.len() }..].trim_start();
    let end = rest.find([' ', ',', ')']).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|e| panic!("{key} in {text:?}: {e}"))
}

fn bounds(case: &Case, section: &str) -> (f64, f64) {
    (case.tolerance(&format!("{section}/max_abs")), case.tolerance(&format!("{section}/rel_l2")))
}

/// The adapter folder that PEFT wrote is read completely, and what is written from it is the same adapter.
#[test]
fn peft_adapter_folder() {
    for name in ["lora_qv", "lora_all_linear"] {
        let (Some(base), Some(case)) = (Case::load(BASE), Case::load(name)) else { continue };
        let folder = case.folder.join(case.json["adapter"]["folder"].as_str().expect("folder"));
        let again = tempfile::tempdir().expect("a folder");
        let batch = Batch::of(&case);
        for folder in [folder.as_path(), again.path()] {
            let (lora, adapter) = adapter::open(folder, device()).unwrap_or_else(|e| panic!("{e}"));
            let sorted = |lora: &LoraConfig| match lora.targets.clone() {
                Some(Targets::Names(names)) => names.into_iter().collect::<BTreeSet<_>>(),
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(sorted(&lora), sorted(&lora_config(&case)), "{name}");
            let tuning = Tuning::Lora(&lora, &adapter);
            let t5 = T5::load(&base.weights(Kind::Float), &config_of_case(&base), tuning);
            let (_, logits_btv, _) = no_grad(|| batch.run(&t5.unwrap_or_else(|e| panic!("{e}"))));
            batch.check(&case, "logits", &logits_btv);
            adapter::save(again.path(), &lora, &t5::ADAPTER, None, &adapter.parameters())
                .unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// A fresh adapter changes nothing before its first step, and a target without a layer is refused.
#[test]
fn fresh_adapter() {
    let Some(base) = Case::load(BASE) else { return };
    let Some(case) = Case::load("lora_qv") else { return };
    let fresh = Weights::fresh(3, device(), Kind::Float);
    let batch = Batch::of(&case);
    let (_, logits_btv, _) = no_grad(|| batch.run(&load(&base, &case, &fresh)));
    batch.check(&case, "plain_logits", &logits_btv);

    let lora = LoraConfig { targets: Some(Targets::names(&["q", "query"])), ..LoraConfig::default() };
    let error = T5::load(&base.weights(Kind::Float), &config_of_case(&base), Tuning::Lora(&lora, &fresh))
        .expect_err("no layer is called query");
    assert!(error.to_string().contains("query"), "{error}");
}

/// Training in bfloat16 with dropout: every float32 master of a fresh adapter gets a finite float32 gradient (that
/// of `A` is zero while `B` is), the same for the same seed and another for another; evaluation has no dropout.
#[test]
fn bf16_training_step() {
    let base = Weights::synthetic(0, device(), Kind::BFloat16);
    let adapter = Weights::fresh(5, device(), Kind::Float);
    let (t5_config, lora) = (T5Config::tiny(40), LoraConfig::default());
    let t5 = T5::load(&base, &t5_config, Tuning::Lora(&lora, &adapter)).unwrap_or_else(|e| panic!("{e}"));
    let shape = [2, 6, t5_config.d_model];
    let inputs = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, device())).sin().reshape(shape);
    let mask = Tensor::from_slice2(&[[1_i64; 6], [1, 1, 1, 1, 0, 0]]).to_device(device());
    let labels = Tensor::from_slice2(&[[7_i64, 9, 1], [8, 1, -100]]).to_device(device());
    let step = |seed: i64, train: bool| {
        dropout::seed(seed);
        let encoded = t5.encode(&inputs, &mask, train);
        let loss = label_loss::mean(&t5.decode(&t5.shift_right(&labels), &encoded, &mask, train), &labels);
        loss.backward();
        let gradients = adapter.parameters().into_iter().map(|(name, parameter)| {
            let gradient = parameter.grad();
            assert!(gradient.defined() && gradient.kind() == Kind::Float, "{name}");
            assert_eq!(gradient.isfinite().all().int64_value(&[]), 1, "{name}");
            let used = gradient.abs().max().double_value(&[]) > 0.0;
            assert_eq!(used, name.ends_with("lora_B.weight"), "{name}");
            let copy = gradient.copy().flatten(0, -1);
            let _ = parameter.grad().zero_();
            copy
        });
        Tensor::cat(&gradients.collect::<Vec<_>>(), 0)
    };
    let first = step(1, true);
    assert_eq!(first, step(1, true), "same seed");
    assert_ne!(first, step(2, true), "another seed");
    assert_eq!(step(1, false), step(2, false), "evaluation");
}
