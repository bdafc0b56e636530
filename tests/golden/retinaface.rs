//! RetinaFace against the predictor of `hhj1897/face_detection`.

#![allow(clippy::print_stdout)]

use crate::case::{Case, device, further, on_cpu};
use crate::pictures::{frame, same_direction};
use signclip_common::checksum;
use signclip_common::weights::Weights;
use signclip_extract::streams::mouthing::faces::Face;
use signclip_extract::streams::mouthing::faces::priors::priors;
use signclip_extract::streams::mouthing::faces::retina_face::{RetinaFace, RetinaFaceConfig};
use std::path::{Path, PathBuf};
use tch::{IndexOp, Kind, Tensor};

/// Cases with computed weights: the outputs of every stage of the network, before boxes are made of them.
#[test]
fn retinaface_raw_heads() {
    let names = further(&["retinaface_"], &[]);
    let cases: Vec<Case> = names.iter().filter_map(|name| Case::load(name)).collect();
    let computed: Vec<&Case> = cases.iter().filter(|case| case.json.get("salt").is_some()).collect();
    if computed.is_empty() {
        println!("skipped: no golden case retinaface_* with computed weights");
    }
    for case in computed {
        raw_heads(case);
    }
}

/// Cases with trained weights, as far as they go without them: the keys of the file, the input and the prior boxes.
#[test]
fn retinaface_keys_input_and_priors() {
    let names = further(&["retinaface_"], &[]);
    for case in names.iter().filter_map(|name| Case::load(name)).filter(|case| case.has("input_sub")) {
        let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
        let config = config(&case);
        let zeros = case.state_dict().into_iter().map(|(key, shape)| {
            let zeros = Tensor::zeros(&shape, (Kind::Float, device()));
            (key, zeros)
        });
        let weights = Weights::memory(zeros.collect(), Path::new(&case.name), device(), Kind::Float);
        let net = weights.build(&[], |root| RetinaFace::new(root, &config)).expect("all keys");
        let frame = frame(&case.tensor("image"));
        let input = net.input(&[&frame]).slice(2, 1, None, 37).slice(3, 2, None, 41);
        case.check("input_sub", &input, abs, rel);
        let priors = priors(frame.width, frame.height, &config.min_sizes, &config.steps, config.clip);
        assert_eq!(priors.size()[0] as f64, case.number("/num_priors"), "{}", case.name);
        case.check("priors_sub", &priors.slice(0, 0, None, 97), abs, rel);
    }
}

/// Cases with trained weights, where the file is: `SIGNCLIP_TEST_DATA`, by default `../shared/data` beside the
/// workspace. From the picture to the faces.
#[test]
fn retinaface_trained_weights() {
    let names = further(&["retinaface_"], &[]);
    for case in names.iter().filter_map(|name| Case::load(name)).filter(|case| case.has("detections")) {
        let Some(weights) = trained(&case) else { continue };
        let _frozen = tch::no_grad_guard();
        let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
        let config = config(&case);
        let net = weights.build(&[], |root| RetinaFace::new(root, &config)).expect("all keys");
        let frame = frame(&case.tensor("image"));
        let heads = net.heads(&net.pyramid(&net.body(&net.input(&[&frame]))));
        let [loc_p4, landm_p10] = [&heads.loc_np4, &heads.landm_np10].map(|x| on_cpu(&x.i(0)));
        let conf_p2 = on_cpu(&heads.class_np2.i(0).softmax(-1, Kind::Float));
        let top = case.tensor("top_index");
        for (name, head) in [("loc", &loc_p4), ("conf", &conf_p2), ("landm", &landm_p10)] {
            case.check(&format!("{name}_sub"), &head.slice(0, 0, None, 97), abs, rel);
            case.check(&format!("top_{name}"), &head.index_select(0, &top), abs, rel);
        }
        let found: Vec<f32> = net.detect(&[&frame], 0.8).expect("faces")[0].iter().flat_map(row).collect();
        let found = Tensor::from_slice(&found).view([-1, 15]);
        let (want, pixels) = (case.tensor("detections"), case.tolerance("detections_px"));
        assert_eq!(found.size(), want.size(), "{}: number of faces", case.name);
        let gap = (&found - &want).abs();
        let worst =
            |columns: &[i64]| gap.index_select(1, &Tensor::from_slice(columns)).max().double_value(&[]);
        let (points, scores) = (worst(&[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]), worst(&[4]));
        println!("{}: {} faces, {points:.1e} px, scores {scores:.1e}", case.name, found.size()[0]);
        assert!(points <= pixels && scores <= case.tolerance("scores"), "{}", case.name);
    }
}

/// A face as the case writes it: corners, score, five points.
fn row(face: &Face) -> Vec<f32> {
    let points = face.points.iter().flatten().copied();
    face.bounds.into_iter().chain([face.score]).chain(points).collect()
}

/// The trained weights of a case, or `None` with a message.
fn trained(case: &Case) -> Option<Weights> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("SIGNCLIP_TEST_DATA").map_or_else(default, PathBuf::from);
    let name = Path::new(case.json["weights"]["file"].as_str()?).file_name()?;
    let path = data.join("weights").join(name);
    if !path.is_file() {
        println!("skipped: {} wants {}", case.name, path.display());
        return None;
    }
    let sum = checksum::of_file(&path).expect("a readable file");
    assert_eq!(case.json["weights"]["sha256"], sum.as_str(), "{}", path.display());
    Some(Weights::open(&path, device(), Kind::Float).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn configurations() {
    let known = [
        ("retinaface_resnet50", RetinaFaceConfig::resnet50()),
        ("retinaface_mobilenet025_a", RetinaFaceConfig::mobilenet025()),
    ];
    for (name, known) in known {
        if let Some(case) = Case::load(name) {
            assert_eq!(config(&case), known, "{name}");
        }
    }
}

fn config(case: &Case) -> RetinaFaceConfig {
    serde_json::from_value(case.json["config"].clone()).expect("a RetinaFace configuration")
}

fn raw_heads(case: &Case) {
    let _frozen = tch::no_grad_guard();
    let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    let config = config(case);
    let net = case.weights(Kind::Float).build(&[], |root| RetinaFace::new(root, &config)).expect("all keys");
    let frame = frame(&case.tensor("image"));
    let priors = priors(frame.width, frame.height, &config.min_sizes, &config.steps, config.clip);
    case.check("priors", &priors, abs, rel);
    let maps = net.body(&net.input(&[&frame]));
    case.check("body3_sub", &maps[2].slice(1, 0, None, 64), abs, rel);
    let pyramid = net.pyramid(&maps);
    case.check("fpn1_sub", &pyramid[0].slice(1, 0, None, 32), abs, rel);
    let heads = net.heads(&pyramid);
    case.check("loc", &heads.loc_np4.i(0), abs, rel);
    case.check("class_logits", &heads.class_np2.i(0), abs, rel);
    case.check("conf", &heads.class_np2.i(0).softmax(-1, Kind::Float), abs, rel);
    case.check("landm", &heads.landm_np10.i(0), abs, rel);
}

/// `--face-dtype f16`: what the large network says about every prior box.
#[test]
fn retinaface_in_half_precision() {
    let Some(case) = Case::load("retinaface_resnet50") else { return };
    let _frozen = tch::no_grad_guard();
    let config = config(&case);
    let net = case.weights(Kind::Half).build(&[], |root| RetinaFace::new(root, &config)).expect("all keys");
    let heads = net.heads(&net.pyramid(&net.body(&net.input(&[&frame(&case.tensor("image"))]))));
    for (name, head) in
        [("loc", &heads.loc_np4), ("class_logits", &heads.class_np2), ("landm", &heads.landm_np10)]
    {
        same_direction(&case, &format!("{name} in f16"), &head.i(0), &case.tensor(name), 0.9999);
    }
}
