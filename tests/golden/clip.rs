//! CLIP vision tower and S² against transformers and SpaMo's S² wrapper.

#![allow(clippy::print_stdout)]

use crate::case::{Case, device, further};
use crate::pictures::{frame, pixels, same_direction};
use signclip_common::devices;
use signclip_common::weights::Weights;
use signclip_extract::media::frame::Frame;
use signclip_extract::media::resize::{clip_resize_crop, squash_lanczos};
use signclip_extract::streams::spatial::clip_vision::{ClipVision, ClipVisionConfig};
use signclip_extract::streams::spatial::{
    encoder::{SpatialConfig, SpatialEncoder, normalise},
    s2,
};
use tch::{Device, IndexOp, Kind, Tensor};

fn config(case: &Case) -> ClipVisionConfig {
    assert_eq!(case.json["config"]["hidden_act"], "quick_gelu", "{}: activation", case.name);
    serde_json::from_value(case.json["config"].clone()).expect("a CLIP vision configuration")
}

fn tower(weights: &Weights, config: &ClipVisionConfig) -> ClipVision {
    weights.build(&[], |root| ClipVision::new(root, config)).expect("all keys of the case")
}

#[test]
fn clip_tiny() {
    tower_alone("clip_tiny");
}

#[test]
fn clip_vit_l14() {
    from_frames("clip_vit_l14");
}

#[test]
fn further_clip_cases() {
    for name in further(&["clip_"], &["clip_tiny", "clip_vit_l14"]) {
        if Case::load(&name).is_some_and(|case| case.has("frame_a")) {
            from_frames(&name)
        } else {
            tower_alone(&name)
        }
    }
}

/// From normalised pixels on.
fn tower_alone(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _frozen = tch::no_grad_guard();
    let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    let tower = tower(&case.weights(Kind::Float), &config(&case));
    let pixels = case.input("pixel_values");
    let states = tower.hidden_states(&pixels);
    case.check("hidden_states", &Tensor::stack(&states, 0), abs, rel);
    let last = &states[states.len() - 1];
    case.check("last_hidden_state", last, abs, rel);
    case.check("pooler_output", &tower.pool(&last.i((.., 0))), abs, rel);
    let double = s2::upsample(&pixels);
    case.check("upsampled_2x", &double.narrow(0, 0, case.tensor("upsampled_2x").size()[0]), abs, rel);
    let features = s2::features(&tower, &pixels, &double);
    case.check("s2", &features, abs, rel);
    // In bf16 on every processor, as the case at full size is too slow for some.
    let tower = self::tower(&case.weights(Kind::BFloat16), &config(&case));
    for (row, got) in (0..).zip(s2::features(&tower, &pixels, &double).unbind(0)) {
        same_direction(&case, &format!("s2[{row}] BFloat16"), &got, &features.i(row), 0.9995);
    }
}

/// From decoded frames on, through resizing and the program's own encoder.
fn from_frames(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _frozen = tch::no_grad_guard();
    let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    let config = config(&case);
    let size = config.image_size as usize;

    let [a, b] = ["frame_a", "frame_b"].map(|name| frame(&case.tensor(name)));
    let squashed = squash_lanczos(&a, 256, 256).expect("an image");
    let crops: Vec<Frame> = [&a, &b, &squashed].map(|f| clip_resize_crop(f, size)).into();
    for (crop, name) in crops.iter().zip(["a_rows_u8", "b_rows_u8", "c_rows_u8"]) {
        equal_rows(&case, name, crop);
    }
    equal_rows(&case, "c_squash_rows_u8", &squashed);
    let images: Vec<Tensor> = crops.iter().map(pixels).collect();
    let small = normalise(&Tensor::stack(&images, 0).to_device(device()));
    let pixel_abs = case.tolerance("pixel_values/max_abs");
    case.check("pixel_values_sub", &every(&small, 3, 16, 5, 16), pixel_abs, rel);
    let double = s2::upsample(&small);
    case.check("up448_sub", &every(&double, 7, 32, 9, 32), abs, rel);

    let tower = tower(&case.weights(Kind::Float), &config);
    let states = tower.hidden_states(&small);
    let layers: Vec<Tensor> = states.iter().map(|s| s.i((0, 0)).slice(0, 0, None, 8)).collect();
    case.check("cls_per_layer_a", &Tensor::stack(&layers, 0), abs, rel);
    let last = &states[states.len() - 1];
    case.check("last_hidden_state_sub", &last.slice(1, 0, None, 32).slice(2, 0, None, 16), abs, rel);
    case.check("cls_last_hidden_state", &last.i((.., 0)), abs, rel);
    case.check("pooler_output", &tower.pool(&last.i((.., 0))), abs, rel);
    case.check("s2", &s2::features(&tower, &small, &double), abs, rel);

    // The same through the encoder that the program runs, frame by frame, in both compute types.
    let mut kinds = vec![(Kind::Float, 0.999_999)];
    match devices::slowdown(Kind::BFloat16) {
        factor if factor > 8.0 && device() == Device::Cpu => println!(
            "skipped: {name} in bf16: this CPU multiplies it {factor:.0} times slower than f32; clip_tiny checks bf16 here"
        ),
        _ => kinds.push((Kind::BFloat16, 0.9995)),
    }
    for (kind, worst) in kinds {
        let weights = case.weights(kind);
        for (frame, squash, row) in [(&a, None, 0), (&b, None, 1), (&a, Some((256, 256)), 2)] {
            let spatial = SpatialConfig { tower: config.clone(), s2_source: s2::S2Source::Upsampled, squash };
            let encoder = SpatialEncoder::load(&weights, &spatial, device()).expect("all keys");
            let features =
                encoder.encode(&[spatial.prepare(frame).expect("an image")]).expect("finite features");
            let want = case.tensor("s2").i(row);
            let got = Tensor::from_slice(&features);
            if kind == Kind::Float {
                case.check_with(&format!("s2[{row}] encoded"), &got, &want, abs, rel);
            }
            same_direction(&case, &format!("s2[{row}] {kind:?}"), &got, &want, worst);
        }
    }
}

/// Every 16th row must agree to the last bit.
fn equal_rows(case: &Case, name: &str, frame: &Frame) {
    let got = pixels(frame).slice(0, 0, None, 16);
    assert_eq!(got, case.tensor(name), "{}: {name}", case.name);
}

fn every(x: &Tensor, row: i64, row_step: i64, column: i64, column_step: i64) -> Tensor {
    x.slice(2, row, None, row_step).slice(3, column, None, column_step)
}
