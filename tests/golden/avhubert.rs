//! AV-HuBERT on mouth crops, video only, against `extract_finetune` of facebookresearch/av_hubert.

#![allow(clippy::print_stdout)]

use crate::case::{Case, Difference, device, further, on_cpu};
use signclip_common::weights::Weights;
use signclip_extract::streams::mouthing::lips::config::LipConfig;
use signclip_extract::streams::mouthing::lips::encoder::{LipEncoder, pad_batch};
use tch::{IndexOp, Kind, Tensor};

/// Width of the small network.
const SMALL_WIDTH: i64 = 96;

const KNOWN: [&str; 2] = ["avhubert_base", "avhubert_large"];

#[test]
fn avhubert_base() {
    run(KNOWN[0]);
}

#[test]
fn avhubert_large() {
    run(KNOWN[1]);
}

#[test]
fn further_avhubert_cases() {
    for name in further(&["avhubert_"], &KNOWN) {
        run(&name);
    }
}

/// The sizes of a case, and that it is a network of the kind that is implemented.
fn config(case: &Case) -> LipConfig {
    let config = &case.json["config"];
    for (field, value) in
        [("modality_fuse", "concat"), ("activation_fn", "gelu"), ("resnet_relu_type", "prelu")]
    {
        assert_eq!(config[field], value, "{}: {field}", case.name);
    }
    assert_eq!(config["layer_norm_first"], true, "{}: layer_norm_first", case.name);
    assert_eq!(config["sub_encoder_layers"], 0, "{}: sub_encoder_layers", case.name);
    serde_json::from_value(config.clone()).expect("an AV-HuBERT configuration")
}

fn run(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _frozen = tch::no_grad_guard();
    let config = config(&case);
    for (known, own) in [("avhubert_base", LipConfig::base()), ("avhubert_large", LipConfig::large())] {
        assert!(name != known || config == own, "{name}: sizes");
    }
    let encoder = LipEncoder::load(&case.weights(Kind::Float), &config).expect("all keys of the case");
    in_float32(&case, &config, &encoder);
    drop(encoder);
    in_bfloat16(&case, &config);
}

/// Every array of the case.
fn in_float32(case: &Case, config: &LipConfig, encoder: &LipEncoder) {
    let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    let [video, short] = ["video", "video_short"].map(|name| case.input(name));
    let features = |video: &Tensor, padded: Option<&Tensor>, layer: Option<usize>| {
        encoder.features(video, padded, layer).expect("a layer of the network")
    };
    let last = features(&video, None, None);
    let clips = [video.i((0, 0)), short.shallow_clone()];
    // The array says which layer it is; sorted, so that the first wrong layer is named first.
    let mut layers = Vec::new();
    for (array, what) in case.json["arrays"].as_object().expect("a table of arrays") {
        let what = what["what"].as_str().unwrap_or_default();
        match array.as_str() {
            "video" | "video_short" => {}
            "resnet" => case.check(array, &encoder.resnet(&video).transpose(1, 2), abs, rel),
            "post_extract_proj" => case.check(array, &encoder.transformer_input(&video), abs, rel),
            "layer_last_raw" => layers.push((config.encoder_layers, array, what)),
            "last" => case.check(array, &last, abs, rel),
            "short_alone" => {
                case.check(array, &features(&pad_batch(&clips[1..]).0, None, None), abs, rel);
            }
            "batch_last" => {
                let (batch, padded) = pad_batch(&clips);
                let (got, want) = (on_cpu(&features(&batch, Some(&padded), None)), case.tensor(array));
                for (row, clip) in (0..).zip(&clips) {
                    let [got, want] = [&got, &want].map(|x| x.i(row).narrow(0, 0, clip.size()[0]));
                    case.check_with(&format!("{array}[{row}]"), &got, &want, abs, rel);
                }
            }
            "zero_audio_last" => {
                // Features of silence, which those without audio must not be.
                let gap = Difference::between(&frames(&last, what), &case.tensor(array));
                println!("{} {array}: {gap}; it must differ", case.name);
                assert!(gap.rel_l2 > 100.0 * rel, "{}: these are the features of silence", case.name);
            }
            other => match other.strip_prefix("layer_").and_then(|number| number.parse().ok()) {
                Some(layer) => layers.push((layer, array, what)),
                None => println!("{} {other}: not compared ({what})", case.name),
            },
        }
    }
    layers.sort_unstable();
    for (layer, array, what) in layers {
        case.check(array, &frames(&features(&video, None, Some(layer)), what), abs, rel);
    }
    for layer in [0, config.encoder_layers + 1] {
        assert!(encoder.features(&video, None, Some(layer)).is_err(), "layer {layer}");
    }
}

/// The frames that a description such as "…, frames 0,3,6,9" names; all where it names none.
fn frames(x_ntd: &Tensor, what: &str) -> Tensor {
    let list = what.split_once("frames ").map_or("", |(_, list)| list);
    let end = list.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(list.len());
    let numbers: Vec<i64> = list[..end].split(',').filter_map(|number| number.parse().ok()).collect();
    if numbers.is_empty() {
        on_cpu(x_ntd)
    } else {
        on_cpu(x_ntd).index_select(1, &Tensor::from_slice(&numbers))
    }
}

/// The features in the other compute type point the same way, frame by frame, also with a mask.
fn in_bfloat16(case: &Case, config: &LipConfig) {
    const WORST: f64 = 0.999;
    let encoder = LipEncoder::load(&case.weights(Kind::BFloat16), config).expect("all keys of the case");
    let [video, short] = ["video", "video_short"].map(|name| case.input(name));
    let (batch, padded) = pad_batch(&[video.i((0, 0)), short]);
    let alone = encoder.features(&video, None, None).expect("features");
    let together = encoder.features(&batch, Some(&padded), None).expect("features");
    assert_eq!(alone.kind(), Kind::BFloat16, "{}: compute type", case.name);
    for (name, got, want) in [
        ("last", alone.i(0), "last"),
        ("batch_last[0]", together.i(0), "last"),
        ("batch_last[1]", together.i(1), "short_alone"),
    ] {
        let want = case.tensor(want).i(0);
        let got = on_cpu(&got.narrow(0, 0, want.size()[0])).to_kind(Kind::Float);
        let least = Tensor::cosine_similarity(&got, &want, 1, 1e-8).min().double_value(&[]);
        println!("{} {name} BFloat16: cosine of the worst frame {least:.6}; at least {WORST}", case.name);
        assert!(least >= WORST, "{} {name}: cosine {least}", case.name);
    }
}

/// A small network with computed weights.
fn small() -> LipEncoder {
    let config = LipConfig {
        encoder_layers: 3,
        encoder_embed_dim: SMALL_WIDTH,
        encoder_ffn_embed_dim: 160,
        encoder_attention_heads: 4,
        conv_pos: 16,
        conv_pos_groups: 8,
        ..LipConfig::base()
    };
    let weights = Weights::synthetic(7, device(), Kind::Float);
    LipEncoder::load(&weights, &config).expect("computed weights")
}

/// Clips of different lengths together give what each gives alone, also those of one frame.
#[test]
fn avhubert_padded_batch() {
    let _frozen = tch::no_grad_guard();
    let encoder = small();
    tch::manual_seed(3);
    for lengths in [vec![1], vec![5, 1], vec![12, 1, 5], vec![7, 70]] {
        let clips: Vec<Tensor> = lengths.iter().map(|&t| noise(t)).collect();
        let (batch, padded) = pad_batch(&clips);
        for layer in [None, Some(2)] {
            let together = encoder.features(&batch, Some(&padded), layer).expect("features");
            for (row, clip) in (0..).zip(&clips) {
                let t = clip.size()[0];
                let (video, _) = pad_batch(std::slice::from_ref(clip));
                let alone = encoder.features(&video, None, layer).expect("features");
                assert_eq!(alone.size(), [1, t, SMALL_WIDTH]);
                let gap = Difference::between(&together.i(row).narrow(0, 0, t), &alone.i(0));
                println!("clip of {t} frames in a batch of {lengths:?}, layer {layer:?}: {gap}");
                // The final norm gives values around 1; before it they grow from layer to layer.
                let gap_of_one = if layer.is_none() { gap.max_abs } else { gap.rel_l2 };
                assert!(gap_of_one <= 1e-5, "clip of {t} frames of {lengths:?}: {gap}");
            }
        }
    }
}

/// A long clip passes the ResNet in pieces of 64 frames, which must not show where they meet: a frame's vector depends
/// on two frames before and two behind it.
#[test]
fn avhubert_long_clip() {
    let _frozen = tch::no_grad_guard();
    let encoder = small();
    tch::manual_seed(5);
    let (video, _) = pad_batch(&[noise(140)]);
    let whole = encoder.resnet(&video);
    assert_eq!(whole.size(), [1, 140, 512]);
    for begin in [58, 122] {
        let piece = encoder.resnet(&video.narrow(2, begin, 12)).narrow(1, 2, 8);
        let gap = Difference::between(&whole.narrow(1, begin + 2, 8), &piece);
        println!("frames {} to {} of a long clip: {gap}", begin + 2, begin + 9);
        assert!(gap.max_abs <= 1e-5, "from frame {begin}: {gap}");
    }
}

/// A clip of t small frames.
fn noise(t: i64) -> Tensor {
    Tensor::randn([t, 24, 32], (Kind::Float, device()))
}
