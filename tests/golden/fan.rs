//! FAN landmarks against the predictor of `hhj1897/face_alignment`.

#![allow(clippy::print_stdout)]

use crate::case::{Case, Difference, device, further, on_cpu};
use crate::pictures::{frame, same_direction};
use signclip_common::devices;
use signclip_extract::media::frame::Frame;
use signclip_extract::streams::mouthing::landmarks::fan::{FaceCrop, Fan, FanConfig};
use tch::{Device, Kind, Tensor};

#[test]
fn fan() {
    let names = further(&["fan_"], &[]);
    if names.is_empty() {
        println!("skipped: no golden case fan_*");
    }
    for case in names.iter().filter_map(|name| Case::load(name)) {
        compare(&case);
    }
}

#[test]
fn configurations() {
    let known = [
        ("fan_2dfan2", FanConfig::two_hourglasses()),
        ("fan_2dfan2_alt", FanConfig::two_hourglasses()),
        ("fan_2dfan4", FanConfig::four_hourglasses()),
    ];
    for (name, known) in known {
        if let Some(case) = Case::load(name) {
            assert_eq!(config(&case), known, "{name}");
        }
    }
}

/// `--face-dtype f16`: the heat maps and, where a map has one peak, the landmarks of one face. The weights are computed, so that
/// maps have broader peaks than trained ones.
#[test]
fn fan_in_half_precision() {
    let Some(case) = Case::load("fan_2dfan2") else { return };
    let slowdown = devices::slowdown(Kind::Half);
    if slowdown > 8.0 && device() == Device::Cpu {
        println!("skipped: {} in f16: this CPU multiplies it {slowdown:.0} times slower than f32", case.name);
        return;
    }
    let _frozen = tch::no_grad_guard();
    let config = config(&case);
    let fan = case.weights(Kind::Half).build(&[], |root| Fan::new(root, &config)).expect("all keys");
    let boxes = Vec::<f32>::try_from(case.tensor("face_boxes").view(-1)).expect("boxes");
    let cut = config.cut(&frame(&case.tensor("image")), boxes.as_chunks::<4>().0[0]).expect("a crop");
    let maps = fan.heatmaps(&fan.input(&[&cut.picture]));
    let (got, want) = (maps.slice(1, 0, None, 8), case.tensor("heatmaps_sub").narrow(0, 0, 1));
    same_direction(&case, "heat maps in f16", &got, &want, 0.9999);
    let (points, _) = fan.decode(&maps);
    let safe = case.tensor("decode_safe").narrow(0, 0, 1).to_kind(Kind::Bool);
    let gap = (on_cpu(&points) - case.tensor("landmarks_heatmap").narrow(0, 0, 1)).abs().amax([2i64], false);
    let gap = gap.masked_select(&safe);
    let (middle, most) = (gap.median().double_value(&[]), gap.max().double_value(&[]));
    println!("{}: landmarks in f16 {middle:.4} cells off, at most {most:.4}", case.name);
    assert!(middle < 0.05, "{middle} cells");
}

fn config(case: &Case) -> FanConfig {
    assert_eq!(case.json["config"]["use_instance_norm"], false, "{}: normalisation", case.name);
    serde_json::from_value(case.json["config"].clone()).expect("a FAN configuration")
}

fn compare(case: &Case) {
    let _frozen = tch::no_grad_guard();
    let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    let config = config(case);
    let fan = case.weights(Kind::Float).build(&[], |root| Fan::new(root, &config)).expect("all keys");

    let frame = frame(&case.tensor("image"));
    let faces = Vec::<f32>::try_from(case.tensor("face_boxes").view(-1)).expect("boxes");
    let faces = faces.as_chunks::<4>().0;
    let cuts: Vec<FaceCrop> = faces.iter().map(|&face| config.cut(&frame, face).expect("a crop")).collect();
    let corners: Vec<i64> =
        cuts.iter().flat_map(|c| [c.bounds.left, c.bounds.top, c.bounds.right, c.bounds.bottom]).collect();
    assert_eq!(Tensor::from_slice(&corners).view([-1, 4]), case.tensor("enlarged_boxes"), "{}", case.name);

    let size = config.input_size;
    let crops: Vec<&Frame> = cuts.iter().map(|cut| &cut.picture).collect();
    let images: Vec<Tensor> =
        crops.iter().map(|c| Tensor::from_slice(&c.rgb).view([size, size, 3])).collect();
    let images = Tensor::stack(&images, 0);
    check_crops(case, "crop_sub_u8", &images.slice(1, 0, None, 4).slice(2, 0, None, 4));
    check_crops(case, "crop_rows_u8", &images.slice(1, 96, 153, 8));
    if case.has("crop_full_u8") {
        check_crops(case, "crop_full_u8", &images);
    }

    let input = fan.input(&crops);
    let stem = fan.stem(&input);
    let every = |x: &Tensor, c: i64| x.slice(1, 0, None, c).slice(2, 0, None, 4).slice(3, 0, None, 4);
    case.check("stem_sub", &every(&stem, 32), abs, rel);
    let maps = fan.heatmaps(&input);
    let heatmaps = on_cpu(&maps);
    case.check("heatmaps_sub", &heatmaps.slice(1, 0, None, 8), abs, rel);
    let flat = heatmaps.flatten(2, 3);
    case.check("heatmap_mean", &flat.mean_dim(-1, false, Kind::Float), abs, rel);
    case.check("heatmap_max", &flat.max_dim(-1, false).0, abs, rel);

    // Where another cell of the map is nearly as high as the peak, the peak says nothing.
    let safe = case.tensor("decode_safe").to_kind(Kind::Bool);
    let want = case.tensor("heatmap_argmax").masked_select(&safe);
    assert_eq!(flat.argmax(-1, false).masked_select(&safe), want, "{}: peaks", case.name);
    let (points, _) = fan.decode(&maps);
    check_points(case, "landmarks_heatmap", &on_cpu(&points), &safe);
    let found = fan.landmarks(&cuts).expect("landmarks");
    let points: Vec<f32> = found.iter().flat_map(|face| face.points.iter().flatten().copied()).collect();
    check_points(case, "landmarks", &Tensor::from_slice(&points).view([-1, config.num_landmarks, 2]), &safe);
    let scores: Vec<f32> = found.iter().flat_map(|face| face.scores.iter().copied()).collect();
    let scores = Tensor::from_slice(&scores).view([-1, config.num_landmarks]);
    case.check("scores", &scores, abs, rel);
}

/// OpenCV is the reference's own resizer, but its versions differ in rounding by at most one level.
fn check_crops(case: &Case, name: &str, got: &Tensor) {
    let gap = Difference::between(got, &case.tensor(name)).max_abs;
    println!("{} {name}: differs by at most {gap} levels", case.name);
    assert!(gap <= 1.0, "{} {name}: {gap} levels", case.name);
}

fn check_points(case: &Case, name: &str, got: &Tensor, safe: &Tensor) {
    let [got, want] =
        [got, &case.tensor(name)].map(|points| points.masked_select(&safe.unsqueeze(-1)).view([-1, 2]));
    case.check_with(name, &got, &want, case.tolerance("landmarks_px"), f64::INFINITY);
}
