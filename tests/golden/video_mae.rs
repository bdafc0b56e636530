//! VideoMAE against transformers, and its windows against SpaMo's script.

#![allow(clippy::print_stdout)]

use crate::case::{Case, device, further};
use crate::pictures::{frame, pixels, same_direction};
use signclip_common::devices;
use signclip_common::weights::Weights;
use signclip_extract::media::frame::Frame;
use signclip_extract::media::frame_reader::Timing;
use signclip_extract::media::resize::video_mae_resize_crop;
use signclip_extract::run::networks::Networks;
use signclip_extract::run::queue::queue;
use signclip_extract::run::stages::Stages;
use signclip_extract::streams::clip_stream::{ClipStream, Numbered, WINDOW};
use signclip_extract::streams::motion::encoder::{MotionConfig, MotionEncoder, STRIDE, normalise};
use signclip_extract::streams::motion::stream::MotionStream;
use signclip_extract::streams::motion::video_mae::{VideoMae, VideoMaeConfig};
use std::path::Path;
use std::sync::Arc;
use tch::{Device, IndexOp, Kind, Tensor};

#[test]
fn videomae_tiny() {
    check("videomae_tiny");
}

#[test]
fn videomae_large() {
    check("videomae_large");
}

#[test]
fn further_videomae_cases() {
    further(&["videomae_"], &["videomae_tiny", "videomae_large"]).iter().for_each(|name| check(name));
}

/// How the case samples its arrays: tokens and channels of the last hidden state, rows of crops, pixels, and channels of the
/// first token. Small pictures are sampled more densely.
struct Steps {
    tokens: i64,
    channels: i64,
    rows: i64,
    /// First row and column.
    pixels: (i64, i64),
    first_token: i64,
}

fn check(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _frozen = tch::no_grad_guard();
    let (abs, rel) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    assert_eq!(case.json["config"]["hidden_act"], "gelu", "{name}: activation");
    let network: VideoMaeConfig =
        serde_json::from_value(case.json["config"].clone()).expect("a VideoMAE configuration");
    let steps = match network.image_size {
        224 => Steps { tokens: 97, channels: 16, rows: 16, pixels: (3, 5), first_token: 8 },
        _ => Steps { tokens: 16, channels: 4, rows: 4, pixels: (0, 0), first_token: 1 },
    };
    let config = MotionConfig { network: network.clone(), stride: STRIDE, squash: None };
    assert_eq!(case.number("/window") as usize, config.rows().window);
    assert_eq!(case.number("/stride") as usize, config.rows().stride);
    let frames: Vec<Frame> = case.tensor("frames").unbind(0).iter().map(frame).collect();

    // Crops and their pixels.
    let size = network.image_size;
    let crops: Vec<Tensor> =
        frames.iter().map(|f| pixels(&video_mae_resize_crop(f, size as usize))).collect();
    let crops = Tensor::stack(&crops, 0);
    let some = crops.slice(0, 0, None, 8);
    assert_eq!(some.slice(1, 0, None, steps.rows), case.tensor("crop_rows_u8"), "{name}: crops");
    let normalised = normalise(&crops.to_device(device()));
    let (row, column) = steps.pixels;
    let sample =
        normalised.slice(0, 0, None, 8).slice(2, row, None, steps.rows).slice(3, column, None, steps.rows);
    case.check("pixel_values_sub", &sample, case.tolerance("pixel_values/max_abs"), rel);

    // The network: two windows, and one that repeats its last frame.
    let weights = case.weights(Kind::Float);
    let encoder = weights.build(&[], |root| VideoMae::new(root, &network)).expect("all keys of the case");
    let short =
        Tensor::cat(&[normalised.narrow(0, 0, 4), normalised.i(4..5).expand([12, -1, -1, -1], true)], 0);
    let windows = Tensor::stack(&[normalised.narrow(0, 0, 16), normalised.narrow(0, 8, 16), short], 0);
    let states = encoder.hidden_states(&windows);
    let first: Vec<Tensor> =
        states.iter().map(|s| s.i((0, 0)).slice(0, 0, None, steps.first_token)).collect();
    case.check("token0_per_layer", &Tensor::stack(&first, 0), abs, rel);
    let last = &states[states.len() - 1];
    let sample = last.slice(1, 0, None, steps.tokens).slice(2, 0, None, steps.channels);
    case.check("last_hidden_state_sub", &sample, abs, rel);
    drop(states);

    // The same through the stream of the program, in both compute types.
    let mut kinds = vec![Kind::Float];
    match devices::slowdown(Kind::BFloat16) {
        factor if factor > 8.0 && network.num_hidden_layers > 3 && device() == Device::Cpu => println!(
            "skipped: {name} in bf16: this CPU multiplies it {factor:.0} times slower than f32; videomae_tiny checks bf16 here"
        ),
        _ => kinds.push(Kind::BFloat16),
    }
    for kind in kinds {
        let encoder = MotionEncoder::load(&case.weights(kind), &config, device()).expect("all keys");
        let networks = Networks { motion: Some(encoder), device: Some(device()), ..Networks::default() };
        for (want, frames) in [("features", &frames[..]), ("features_short", &frames[..5])] {
            let got = stream(&networks, &config, frames);
            let want_rows = case.tensor(want);
            assert_eq!(got.size()[0] as usize, config.rows().rows(frames.len()), "{name}: {want}");
            if kind == Kind::Float {
                case.check(want, &got, abs, rel);
            }
            for (row, (got, want_row)) in got.unbind(0).iter().zip(want_rows.unbind(0)).enumerate() {
                same_direction(&case, &format!("{want}[{row}] {kind:?}"), got, &want_row, 0.999);
            }
        }
    }
}

/// Rows of a clip as `extract` makes them, `[rows, dim]`.
fn stream(networks: &Networks, config: &MotionConfig, frames: &[Frame]) -> Tensor {
    let (queue, requests) = queue(2, &Arc::new(Stages::new(1, 1)));
    let numbered: Vec<Numbered> = frames
        .iter()
        .enumerate()
        .map(|(number, frame)| Numbered { frame: Arc::new(frame.clone()), number, source: number })
        .collect();
    let rows = std::thread::scope(|scope| {
        scope.spawn(move || networks.serve(&requests).expect("a device"));
        let mut stream = Box::new(MotionStream::new(&queue, config, 1));
        let windows = numbered.chunks(WINDOW).try_for_each(|frames| stream.window(frames));
        let rows = windows.and_then(|()| stream.finish(&Timing::default()));
        drop(queue);
        rows.map(|finished| finished.rows).unwrap_or_default()
    });
    Tensor::from_slice(&rows).view([-1, config.dim() as i64])
}

/// The official file is a `VideoMAEForPreTraining`: its decoder is left aside by name, anything else is not.
#[test]
fn keys_of_the_decoder() {
    let Some(case) = Case::load("videomae_tiny") else { return };
    let network: VideoMaeConfig =
        serde_json::from_value(case.json["config"].clone()).expect("a VideoMAE configuration");
    let config = MotionConfig { network, stride: STRIDE, squash: None };
    let load = |others: &[&str]| {
        let other = |key: &&str| ((*key).to_owned(), vec![1]);
        let keys = case.state_dict().into_iter().chain(others.iter().map(other));
        let zeros =
            |(key, shape): (String, Vec<i64>)| (key, Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
        let weights = Weights::memory(
            keys.map(zeros).collect(),
            Path::new("model.safetensors"),
            Device::Cpu,
            Kind::Float,
        );
        MotionEncoder::load(&weights, &config, Device::Cpu).map(|_| ()).map_err(|e| e.to_string())
    };
    let decoder = [
        "mask_token",
        "encoder_to_decoder.weight",
        "decoder.decoder_layers.0.attention.attention.q_bias",
        "decoder.norm.weight",
        "decoder.head.bias",
        "videomae.layernorm.weight",
        "videomae.layernorm.bias",
    ];
    assert_eq!(load(&decoder), Ok(()));
    let unknown = "videomae.encoder.layer.3.output.dense.bias";
    assert!(load(&[unknown]).is_err_and(|e| e.contains(unknown)));
}
