//! Timing of the gesture stage, and of the matrix product that it is held against.
//!
//! ```text
//! bench_extract peak    --dtype bf16                              products of 2048×2048 matrices
//! bench_extract spatial --dtype bf16 --frames 8                   CLIP with S² on pictures of one colour each
//! bench_extract spatial --dtype f32 --frames 8 --video a.mp4      the same on the first frames of a video
//! ```
//!
//! The networks are those of `extract`, at their official size, with computed weights. Each command prints one JSON
//! object. Products are timed before and after each turn of the encoder, as the speed of a machine that others use
//! as well changes from second to second.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use signclip_common::manifest::Media;
use signclip_common::panics::program;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, devices, environment, memory};
use signclip_extract::media::frame::Frame;
use signclip_extract::media::frame_reader::FrameReader;
use signclip_extract::media::reading::TARGET_FPS;
use signclip_extract::run::networks::Networks;
use signclip_extract::streams::spatial::clip_vision::ClipVisionConfig;
use signclip_extract::streams::spatial::encoder::{Prepared, SpatialConfig, SpatialEncoder};
use signclip_extract::streams::spatial::s2::S2Source;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Time the gesture stage of `extract`.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time products of 2048×2048 matrices
    Peak {
        #[command(flatten)]
        machine: Machine,
    },
    /// Time CLIP ViT-L/14 with S², from decoded frames to features, beside the products
    Spatial {
        #[command(flatten)]
        machine: Machine,
        /// Frames of a turn
        #[arg(long, default_value_t = 8)]
        frames: usize,
        /// Turns, of which the median counts
        #[arg(long, default_value_t = 1)]
        turns: usize,
        /// Take the first frames of this video instead of plain pictures
        #[arg(long)]
        video: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Machine {
    /// f32, bf16, or auto
    #[arg(long, default_value = "auto")]
    dtype: String,
    /// Threads of libtorch [default: all cores]
    #[arg(long)]
    threads: Option<NonZero<usize>>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    environment::for_gpus();
    environment::huge_pages();
    memory::start();
    program(|| {
        println!("{}", run(&cli.command).map_err(|e| vec![e])?);
        Ok(ExitCode::SUCCESS)
    })
}

fn run(command: &Command) -> Result<Value> {
    let (Command::Peak { machine } | Command::Spatial { machine, .. }) = command;
    let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let threads = machine.threads.unwrap_or(cores).get();
    tch::set_num_threads(threads as i32);
    let kind = devices::compute_kind(&machine.dtype, Device::Cpu)?;
    let mut result = match command {
        Command::Peak { .. } => json!({ "peak_gflops": median(Products::new(kind).rates(20)) / 1e9 }),
        Command::Spatial { frames, turns, video, .. } => {
            let frames = match video {
                Some(video) => decode(video, *frames)?,
                None => (0..*frames).map(|i| Frame::filled(256, 256, [(8 * i) as u8, 90, 160])).collect(),
            };
            spatial(&frames, *turns, kind, threads)?
        }
    };
    result["dtype"] = devices::kind_name(kind).into();
    result["threads"] = threads.into();
    result["bf16_in_hardware"] = devices::cpu_has_bf16().into();
    Ok(result)
}

/// The first frames of a video, in memory.
fn decode(video: &Path, frames: usize) -> Result<Vec<Frame>> {
    let media = Media::Video { path: video.to_path_buf(), start: None, end: None };
    let shown = FrameReader::open(&media, TARGET_FPS, TARGET_FPS)?.next_window(frames)?;
    if shown.len() < frames {
        let what = format!("the video has {} frames at 25 a second", shown.len());
        return Err(Error::input(video, "", what, "give a longer one, or fewer --frames"));
    }
    Ok(shown.into_iter().map(|shown| shown.frame).collect())
}

/// The whole stage on `frames`, once to warm up on one for each thread and then `turns` times on all. As in `extract` every
/// thread has frames of its own, and libtorch one thread in each; the products it is held against have all threads.
fn spatial(frames: &[Frame], turns: usize, kind: Kind, threads: usize) -> Result<Value> {
    let tower = ClipVisionConfig::vit_large_patch14();
    let flops = frames.len() as f64 * s2_flops(&tower);
    let config = SpatialConfig { tower, s2_source: S2Source::Upsampled, squash: None };
    let encoder = SpatialEncoder::load(&Weights::synthetic(0, Device::Cpu, kind), &config, Device::Cpu)?;
    memory::keep();
    let networks = Networks { spatial: Some(encoder), ..Networks::default() };
    let encode = |networks: &Networks, frames: &[Frame]| -> Result<()> {
        let prepared = frames.iter().map(|frame| config.prepare(frame)).collect::<Result<Vec<Prepared>>>()?;
        networks.spatial.iter().try_for_each(|encoder| encoder.encode(&prepared).map(drop))
    };
    let stage = |frames: &[Frame]| -> Result<f64> {
        tch::set_num_threads(1);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let (networks, encode) = (&networks, &encode);
            let shares = frames.chunks(frames.len().div_ceil(threads));
            let running: Vec<_> = shares.map(|share| scope.spawn(move || encode(networks, share))).collect();
            running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| panic!("a thread")))
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        tch::set_num_threads(threads as i32);
        Ok(seconds)
    };
    let products = Products::new(kind);
    products.rates(2);
    stage(&frames[..threads.min(frames.len())])?;
    let (mut seconds, mut peaks) = (Vec::new(), products.rates(5));
    for _ in 0..turns {
        seconds.push(stage(frames)?);
        peaks.extend(products.rates(5));
    }
    let (seconds, peak) = (median(seconds), median(peaks));
    Ok(json!({
        "frames": frames.len(), "turns": turns, "seconds": seconds,
        "seconds_per_frame": seconds / frames.len() as f64, "gflop_per_frame": flops / frames.len() as f64 / 1e9,
        "gflops": flops / seconds / 1e9, "peak_gflops": peak / 1e9, "share": flops / seconds / peak,
    }))
}

/// Floating-point operations of the published algorithm for one frame: five images through the whole tower, all
/// tokens in every layer, a multiplication and an addition counted as two. Norms, softmax and activations are left out.
///
/// An image of t tokens, p of them patches of c values, at width d, m inside of the MLP: 2pcd for the patches; in each
/// layer 8td² for q, k, v and the output, 4t²d for the scores and their products with v, 4tdm for the MLP.
fn s2_flops(tower: &ClipVisionConfig) -> f64 {
    let (d, m) = (tower.hidden_size as f64, tower.intermediate_size as f64);
    let patches = ((tower.image_size / tower.patch_size).pow(2)) as f64;
    let tokens = patches + 1.0;
    let embedding = 2.0 * patches * (3 * tower.patch_size * tower.patch_size) as f64 * d;
    let layer = 8.0 * tokens * d * d + 4.0 * tokens * tokens * d + 4.0 * tokens * d * m;
    5.0 * (embedding + tower.num_hidden_layers as f64 * layer)
}

/// Two square matrices in one compute type, and room for their product.
struct Products {
    a: Tensor,
    b: Tensor,
    product: Tensor,
}

impl Products {
    const SIDE: i64 = 2048;

    fn new(kind: Kind) -> Self {
        tch::manual_seed(0);
        let matrix = || Tensor::randn([Self::SIDE; 2], (Kind::Float, Device::Cpu)).to_kind(kind);
        Self { a: matrix(), b: matrix(), product: matrix() }
    }

    /// Floating-point operations per second of each of `n` products.
    fn rates(&self, n: usize) -> Vec<f64> {
        let _frozen = tch::no_grad_guard();
        let rate = |_| {
            let begun = Instant::now();
            let _ = self.a.matmul_out(&self.product, &self.b);
            2.0 * (Self::SIDE as f64).powi(3) / begun.elapsed().as_secs_f64()
        };
        (0..n).map(rate).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
