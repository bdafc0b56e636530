//! The heads of published code against PyTorch references of their formulas: SpaMo's, and that of the paper's authors.

use crate::case::{Case, device, further, on_cpu};
use signclip_common::synthetic;
use signclip_common::weights::Weights;
use signclip_train::config::TrainConfig;
use signclip_train::head::along_time::join;
use signclip_train::head::config::{HeadConfig, LossConfig, Widths};
use signclip_train::head::sign_head::SignHead;
use signclip_train::head::streams::{StreamBatch, StreamBatches, Streams};
use signclip_train::head::temporal::{Steps, valid};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const MOTION: &str = "motion";

/// A number of the configuration of a case.
fn number(case: &Case, name: &str) -> i64 {
    case.json["config"][name].as_i64().unwrap_or_else(|| panic!("{name}"))
}

fn widths(case: &Case, streams: &[(&str, &str)]) -> Widths {
    let streams = streams.iter().map(|(name, field)| ((*name).to_owned(), number(case, field)));
    Widths { streams: streams.collect(), language: number(case, "d_llm") }
}

/// The computed weights of a case, and its temperature, which does not follow their rule.
fn weights(case: &Case, temperature: &str, scale: f64) -> Weights {
    let mut tensors = BTreeMap::new();
    for (key, shape) in case.state_dict() {
        let tensor = Tensor::from_slice(&synthetic::tensor(&key, &shape, case.salt())).reshape(&shape);
        tensors.insert(key, tensor);
    }
    tensors.insert(temperature.to_owned(), Tensor::from(scale as f32));
    Weights::memory(tensors, Path::new(&case.name), device(), Kind::Float)
}

fn check(case: &Case, name: &str, got: &Tensor, kind: &str) {
    let [max_abs, rel_l2] = ["max_abs", "rel_l2"].map(|bound| case.tolerance(&format!("{kind}/{bound}")));
    case.check(name, &got.reshape(case.tensor(name).size()), max_abs, rel_l2);
}

fn input(case: &Case, name: &str) -> Tensor {
    case.input(name).copy().set_requires_grad(true)
}

fn stream(rows: &Tensor, lengths: &Tensor) -> StreamBatch {
    StreamBatch { rows: rows.shallow_clone(), lengths: lengths.shallow_clone() }
}

/// The gradients of all parameters and of the inputs.
fn check_gradients(case: &Case, weights: &Weights, inputs: &[(&str, &Tensor)]) {
    for (name, parameter) in weights.parameters() {
        check(case, &format!("grad.{name}"), &parameter.grad(), "grads");
    }
    for (name, input) in inputs {
        check(case, &format!("grad.{name}"), &input.grad(), "grads");
    }
}

/// Σ ⟨token, probe⟩ over valid steps, over their number.
fn probed(case: &Case, tokens: &Tensor, lengths: &Tensor) -> Tensor {
    (tokens * case.input("probe")).sum(Kind::Float) / lengths.sum(Kind::Float)
}

fn spamo(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let joint = number(&case, "d_s") > 0;
    let names: &[(&str, &str)] =
        if joint { &[("spatial", "d_s"), (MOTION, "d_v")] } else { &[(MOTION, "d_v")] };
    let widths = widths(&case, names);
    let streams: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let TrainConfig { head, loss, .. } = TrainConfig::spamo();
    // The reference leaves out padding that the published code counts.
    let loss = LossConfig { vt_mean: Steps::Valid, ..loss };
    let config = HeadConfig { streams: Streams::of(&streams), d: number(&case, "d"), ..head };
    config.validate(&widths).expect("a head that can be built");
    let weights = weights(&case, "logit_scale_vt", 2.6592);
    let head = weights.build(&[], |root| SignHead::new(root, &config, &widths, &loss)).expect("all keys");

    let (motion, z_t) = (input(&case, "motion"), input(&case, "z_t"));
    let mut batch = StreamBatches::from([(MOTION.to_owned(), stream(&motion, &case.tensor("windows")))]);
    let spatial = joint.then(|| input(&case, "spatial"));
    if let Some(spatial) = &spatial {
        batch.insert("spatial".to_owned(), stream(spatial, &case.tensor("frames")));
    }
    let out = head.forward(&batch, false).expect("all streams");
    assert_eq!(out.out_lengths, case.tensor("out_lengths"), "{name}: valid steps");
    for (name, got) in
        [("joined", &out.fused), ("conv", &out.conv), ("tokens", &out.tokens), ("z_v", &out.z_v)]
    {
        // Without a convolution the reference leaves the projection's bias at padding.
        match joint || ["tokens", "z_v"].contains(&name) {
            true => check(&case, name, got, "outputs"),
            false => {
                let valid = valid(&case.tensor("windows"), got.size()[1], Device::Cpu).unsqueeze(-1);
                let [max_abs, rel_l2] =
                    ["max_abs", "rel_l2"].map(|bound| case.tolerance(&format!("outputs/{bound}")));
                let difference = (case.tensor(name) - on_cpu(got)) * &valid;
                let relative = difference.norm() / (case.tensor(name) * valid).norm();
                assert!(difference.abs().max().double_value(&[]) <= max_abs, "{name}");
                assert!(relative.double_value(&[]) <= rel_l2, "{name}");
            }
        }
    }
    let loss_vt = |symmetric| head.loss_vt(&out.z_v, &z_t, None, symmetric).expect("a head with L_vt");
    let (l_vt, l_probe) = (loss_vt(loss.symmetric), probed(&case, &out.tokens, &out.out_lengths));
    let l_total = &l_probe + &l_vt;
    for (name, got) in
        [("L_vt", &loss_vt(false)), ("L_vt_symmetric", &l_vt), ("L_probe", &l_probe), ("L_total", &l_total)]
    {
        check(&case, name, got, "losses");
    }
    l_total.backward();
    let inputs = [("motion", Some(&motion)), ("z_t", Some(&z_t)), ("spatial", spatial.as_ref())];
    let inputs: Vec<_> = inputs.into_iter().filter_map(|(name, x)| Some((name, x?))).collect();
    check_gradients(&case, &weights, &inputs);
}

fn signmouth(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let widths = widths(&case, &[("spatial", "d_s"), ("mouthing", "d_m")]);
    let TrainConfig { head, loss, .. } = TrainConfig::authors();
    let config = HeadConfig { d: number(&case, "d"), ..head };
    config.validate(&widths).expect("a head that can be built");
    let scale = f64::from((1.0_f64 / 0.07).ln() as f32);
    let run = |over: Steps| {
        let weights = weights(&case, "logit_scale", scale);
        let loss = LossConfig { vt_mean: over, sm_over: over, ..loss };
        let head = weights.build(&[], |root| SignHead::new(root, &config, &widths, &loss)).expect("all keys");
        let [spatial, mouth, z_t] = ["spatial", "mouth", "z_t"].map(|name| input(&case, name));
        let lengths = case.tensor("lengths");
        let batch = [("spatial", &spatial), ("mouthing", &mouth)]
            .map(|(name, rows)| (name.to_owned(), stream(rows, &lengths)));
        let out = head.forward(&batch.into(), false).expect("both streams");
        let (z_s, z_m) = (out.z_s.as_ref().expect("z_s"), out.z_m.as_ref().expect("z_m"));
        let l_vt = head.loss_vt(&out.z_v, &z_t, None, loss.symmetric).expect("L_vt");
        let l_sm = head.loss_sm(z_s, z_m, None, loss.symmetric).expect("L_sm");
        let l_frame = head.loss_frames(&out).expect("a contrast of frames");
        (weights, out, [spatial, mouth, z_t], [l_vt, l_sm, l_frame])
    };

    let (.., [l_vt, l_sm, l_frame]) = run(Steps::All);
    for (name, got) in [("L_vt_all", &l_vt), ("L_sm_all", &l_sm), ("L_frame_all", &l_frame)] {
        check(&case, name, got, "losses");
    }
    let (weights, out, [spatial, mouth, z_t], [l_vt, l_sm, l_frame]) = run(Steps::Valid);
    assert_eq!(out.out_lengths, case.tensor("out_lengths"), "{name}: valid steps");
    let (gate, z_s, z_m) = (out.gate.as_ref(), out.z_s.as_ref(), out.z_m.as_ref());
    for (name, got) in [
        ("gate", gate.expect("a gate")),
        ("fused", &out.fused),
        ("conv", &out.conv),
        ("tokens", &out.tokens),
        ("z_v", &out.z_v),
        ("z_s", z_s.expect("z_s")),
        ("z_m", z_m.expect("z_m")),
    ] {
        check(&case, name, got, "outputs");
    }
    let prompt = case.input("prompt").unsqueeze(0).expand([out.tokens.size()[0], -1, -1], false);
    let prompt_lengths = out.out_lengths.full_like(number(&case, "prompt"));
    let (sequence, _) = join(&[(&out.sequence, &out.sequence_lengths), (&prompt, &prompt_lengths)]);
    check(&case, "sequence", &sequence, "outputs");

    let l_probe = probed(&case, &out.tokens, &out.out_lengths);
    let l_total = &l_probe + &l_vt * loss.alpha + (&l_sm + &l_frame) * loss.beta;
    for (name, got) in [
        ("L_vt", &l_vt),
        ("L_sm", &l_sm),
        ("L_frame", &l_frame),
        ("L_probe", &l_probe),
        ("L_total", &l_total),
    ] {
        check(&case, name, got, "losses");
    }
    l_total.backward();
    // The markers take no part in this loss.
    let mut compared = 0;
    for (name, parameter) in weights.parameters() {
        let array = format!("grad.{name}");
        if case.has(&array) {
            check(&case, &array, &parameter.grad(), "grads");
            compared += 1;
        } else {
            assert!(["vis_token", "prompt_token"].contains(&name.as_str()), "{name}: no gradient to compare");
        }
    }
    assert!(compared > 10);
    for (name, input) in [("spatial", &spatial), ("mouth", &mouth), ("z_t", &z_t)] {
        check(&case, &format!("grad.{name}"), &input.grad(), "grads");
    }
}

#[test]
fn spamo_head_joint() {
    spamo("spamo_head_joint");
}

#[test]
fn spamo_head_motion() {
    spamo("spamo_head_motion");
}

#[test]
fn signmouth_head() {
    signmouth("signmouth_head");
}

#[test]
fn further_published_heads() {
    let known = ["spamo_head_joint", "spamo_head_motion"];
    further(&["spamo_head_"], &known).iter().for_each(|name| spamo(name));
    further(&["signmouth_head"], &["signmouth_head"]).iter().for_each(|name| signmouth(name));
}
