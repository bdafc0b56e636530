//! The mouth region against AV-HuBERT's preparation run by its own code, without the lossy video in between.

#![allow(clippy::print_stdout)]

use crate::case::{Case, further};
use serde_json::json;
use signclip_extract::media::frame::Frame;
use signclip_extract::streams::mouthing::crop::align::{MOUTH_POINTS, STABLE_POINTS};
use signclip_extract::streams::mouthing::crop::cut::{MEAN, STD};
use signclip_extract::streams::mouthing::crop::mean_face::MEAN_FACE;
use signclip_extract::streams::mouthing::crop::warp::ALIGNED;
use signclip_extract::streams::mouthing::crop::{
    CROP, INPUT, Layout, POINTS, Points, WINDOW, align, gray, lip_input, lip_levels, mouth_crop, resized_crop,
};
use tch::{Kind, Tensor};

#[test]
fn mouth_roi() {
    let names = further(&["mouth_roi_"], &[]);
    if names.is_empty() {
        println!("skipped: no golden case mouth_roi_*");
    }
    for case in names.iter().filter_map(|name| Case::load(name)) {
        compare(&case);
    }
}

fn compare(case: &Case) {
    // The mouth region has no settings: what the case was made with must be what it does.
    let constants = json!({
        "window_margin": WINDOW, "stable_points": STABLE_POINTS, "std_size": [ALIGNED, ALIGNED], "crop": CROP,
        "mouth_points": format!("{}..{}", MOUTH_POINTS.start, MOUTH_POINTS.end - 1),
        "image_crop_size": INPUT, "image_mean": MEAN, "image_std": STD,
    });
    assert_eq!(case.json["config"], constants, "{}: configuration", case.name);
    assert_eq!(case.json["mean_face"], json!(MEAN_FACE.to_vec()), "{}: mean face", case.name);

    let frames = frames(case);
    let alignments = align(Layout::ibug68(), &landmarks(case));
    let crops: Vec<Frame> = match &alignments {
        Some(alignments) => frames.iter().zip(alignments).map(|(f, a)| mouth_crop(f, a)).collect(),
        None => frames.iter().map(|frame| resized_crop(frame).expect("a crop")).collect(),
    };
    assert_eq!(alignments.is_some(), case.has("transforms"), "{}: a face somewhere", case.name);
    if let Some(alignments) = alignments {
        let count = alignments.len() as i64;
        let points: Vec<f64> = alignments.iter().flat_map(|a| a.points.into_iter().flatten()).collect();
        let points = Tensor::from_slice(&points).view([count, POINTS as i64, 2]);
        let transforms: Vec<f64> = alignments.iter().flat_map(|a| a.transform.matrix()).collect();
        let transforms = Tensor::from_slice(&transforms).view([count, 6]);
        check(case, "landmarks_filled", &points, "landmarks_filled");
        check(case, "transforms", &transforms, "transforms");
    }
    check_levels(case, "crops", &crops.iter().flat_map(|crop| crop.rgb.clone()).collect::<Vec<_>>());
    check_levels(case, "gray", &crops.iter().flat_map(gray).collect::<Vec<_>>());

    let inputs: Vec<f32> = crops.iter().flat_map(|crop| lip_input(&lip_levels(crop))).collect();
    let inputs = Tensor::from_slice(&inputs).view([-1, 1, INPUT as i64, INPUT as i64]);
    check(case, "input_first", &inputs.get(0), "input");
    check(case, "input_last", &inputs.get(-1), "input");
    check(case, "input_mean", &inputs.mean_dim([1, 2, 3].as_slice(), false, Kind::Double), "input");
}

fn check(case: &Case, name: &str, got: &Tensor, tolerance: &str) {
    case.check(name, got, case.tolerance(&format!("{tolerance}/max_abs")), f64::INFINITY);
}

/// Compare 8-bit values. The tolerance is a sentence with two numbers: levels, and per cent of the values.
fn check_levels(case: &Case, name: &str, got: &[u8]) {
    let sentence = case.json["tolerance"]["crops"].as_str().unwrap_or_default();
    let numbers: Vec<f64> = sentence.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [levels, percent] = numbers[..] else { panic!("{}: tolerance of crops: {sentence:?}", case.name) };
    let want: Vec<u8> = Vec::try_from(case.tensor(name).flatten(0, -1)).expect("8-bit values");
    assert_eq!(got.len(), want.len(), "{} {name}: shape", case.name);
    let gaps = || got.iter().zip(&want).map(|(got, want)| got.abs_diff(*want));
    let largest = gaps().max().unwrap_or_default();
    let changed = gaps().filter(|&gap| gap > 0).count();
    let share = 100.0 * changed as f64 / want.len() as f64;
    let label = format!("{} {name}", case.name);
    let line = format!("{label:50} max {largest} levels, {changed} of {} values differ", want.len());
    println!("{line}; allowed {levels} levels, {percent} %");
    assert!(f64::from(largest) <= levels && share <= percent, "too far from the reference: {line}");
}

fn frames(case: &Case) -> Vec<Frame> {
    let frames = case.tensor("frames");
    let &[_, height, width, 3] = &frames.size()[..] else { panic!("{}: frames", case.name) };
    let bytes: Vec<u8> = Vec::try_from(frames.flatten(0, -1)).expect("8-bit values");
    let (height, width) = (height as usize, width as usize);
    bytes.chunks_exact(height * width * 3).map(|rgb| Frame { rgb: rgb.to_vec(), width, height }).collect()
}

fn landmarks(case: &Case) -> Vec<Option<Points<POINTS>>> {
    let values: Vec<f32> = Vec::try_from(case.tensor("landmarks").flatten(0, -1)).expect("32-bit floats");
    let valid: Vec<u8> = Vec::try_from(case.tensor("landmarks_valid")).expect("8-bit values");
    let (points, _) = values.as_chunks::<2>();
    let (points, _) = points.as_chunks::<POINTS>();
    points.iter().zip(valid).map(|(points, valid)| (valid == 1).then_some(*points)).collect()
}
