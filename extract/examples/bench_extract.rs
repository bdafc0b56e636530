//! Timing of the spatial and the motion stage, and of the matrix product that they are held against.
//!
//! ```text
//! bench_extract peak    --dtype bf16                              products of matrices, of 2048×2048 on the CPU
//! bench_extract spatial --dtype bf16 --frames 8                   CLIP with S² on pictures of one colour each
//! bench_extract spatial --dtype f32 --frames 8 --video a.mp4      the same on the first frames of a video
//! bench_extract motion  --dtype f32 --frames 24 --video a.mp4     VideoMAE-Large on the windows of so many frames
//! bench_extract spatial --gpus 0 --frames 256 --prepared          on a GPU, without the time of resizing
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
use signclip_extract::streams::motion::encoder::{MotionConfig, MotionEncoder, STRIDE, Window};
use signclip_extract::streams::motion::video_mae::VideoMaeConfig;
use signclip_extract::streams::spatial::clip_vision::ClipVisionConfig;
use signclip_extract::streams::spatial::encoder::{Prepared, SpatialConfig, SpatialEncoder};
use signclip_extract::streams::spatial::s2::S2Source;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Time the spatial and the motion stage of `extract`.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time products of matrices, of 2048×2048 on the CPU and 8192×8192 on a GPU
    Peak {
        #[command(flatten)]
        machine: Machine,
    },
    /// Time CLIP ViT-L/14 with S², from decoded frames to features, beside the products
    Spatial {
        #[command(flatten)]
        machine: Machine,
        #[command(flatten)]
        pictures: Pictures,
    },
    /// Time VideoMAE-Large on windows of 16 frames, one every 8, from decoded frames to features, beside the products
    Motion {
        #[command(flatten)]
        machine: Machine,
        #[command(flatten)]
        pictures: Pictures,
    },
}

#[derive(Debug, Args)]
struct Pictures {
    /// Frames of a turn
    #[arg(long, default_value_t = 8)]
    frames: usize,
    /// Turns, of which the median counts
    #[arg(long, default_value_t = 1)]
    turns: usize,
    /// Take the first frames of this video instead of plain pictures
    #[arg(long)]
    video: Option<PathBuf>,
    /// Resize the pictures of the spatial stage before the time begins
    #[arg(long)]
    prepared: bool,
}

impl Pictures {
    fn read(&self) -> Result<Vec<Frame>> {
        match &self.video {
            Some(video) => decode(video, self.frames),
            None => Ok((0..self.frames).map(|i| Frame::filled(256, 256, [(8 * i) as u8, 90, 160])).collect()),
        }
    }
}

#[derive(Debug, Args)]
struct Machine {
    /// f32, bf16, or auto
    #[arg(long, default_value = "auto")]
    dtype: String,
    /// Threads of libtorch [default: all cores]
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// The device: a CUDA number or cpu
    #[arg(long, default_value = "cpu")]
    gpus: String,
}

/// Where and in what type a stage is timed.
#[derive(Clone, Copy)]
struct Place {
    device: Device,
    kind: Kind,
    threads: usize,
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
    let (Command::Peak { machine } | Command::Spatial { machine, .. } | Command::Motion { machine, .. }) =
        command;
    let device = devices::open_one(&machine.gpus)?;
    let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let threads = machine.threads.unwrap_or(cores).get();
    tch::set_num_threads(threads as i32);
    let kind = devices::compute_kind(&machine.dtype, device)?;
    let place = Place { device, kind, threads };
    let mut result = match command {
        Command::Peak { .. } => json!({ "peak_gflops": median(Products::new(place).rates(20)) / 1e9 }),
        Command::Spatial { pictures, .. } => spatial(&pictures.read()?, pictures, place)?,
        Command::Motion { pictures, .. } => motion(&pictures.read()?, pictures, place)?,
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

/// CLIP with S² on `frames`.
fn spatial(frames: &[Frame], pictures: &Pictures, place: Place) -> Result<Value> {
    let tower = ClipVisionConfig::vit_large_patch14();
    let flops = s2_flops(&tower);
    let config = SpatialConfig { tower, s2_source: S2Source::Upsampled, squash: None };
    let weights = Weights::synthetic(0, place.device, place.kind);
    let encoder = SpatialEncoder::load(&weights, &config, place.device)?;
    let prepare = |frames: &[Frame]| -> Result<Vec<Prepared>> {
        frames.iter().map(|frame| config.prepare(frame)).collect()
    };
    let timed = if pictures.prepared {
        let encode = |prepared: &[Prepared]| encoder.encode(prepared).map(drop);
        Timed::new(&prepare(frames)?, pictures.turns, place, &encode)?
    } else {
        let encode = |frames: &[Frame]| encoder.encode(&prepare(frames)?).map(drop);
        Timed::new(frames, pictures.turns, place, &encode)?
    };
    Ok(told("frame", frames.len(), timed, flops))
}

/// VideoMAE on the windows of `frames`.
fn motion(frames: &[Frame], pictures: &Pictures, place: Place) -> Result<Value> {
    let network = VideoMaeConfig::large();
    let flops = video_mae_flops(&network);
    let config = MotionConfig { network, stride: STRIDE, squash: None };
    let rule = config.rows();
    let weights = Weights::synthetic(0, place.device, place.kind);
    let encoder = MotionEncoder::load(&weights, &config, place.device)?;
    if frames.len() < rule.window {
        let what = format!("--frames {}: less than a window", frames.len());
        return Err(Error::usage(what, format!("give at least {}", rule.window)));
    }
    let begins: Vec<usize> = (0..rule.rows(frames.len())).map(|window| window * rule.stride).collect();
    // Consecutive windows, of which a thread prepares each frame once.
    let encode = |begins: &[usize]| -> Result<()> {
        let (first, last) = (begins[0], begins[begins.len() - 1] + rule.window);
        let pictures = frames[first..last].iter().map(|frame| config.prepare(frame));
        let pictures = pictures.collect::<Result<Window>>()?;
        let windows = begins.iter().map(|begin| pictures[begin - first..][..rule.window].to_vec());
        encoder.encode(&windows.collect::<Vec<_>>()).map(drop)
    };
    let timed = Timed::new(&begins, pictures.turns, place, &encode)?;
    Ok(told("window", begins.len(), timed, flops))
}

/// Figures of a stage that takes so many floating-point operations for each `unit`.
fn told(unit: &str, units: usize, timed: Timed, flops: f64) -> Value {
    let Timed { turns, seconds, peak } = timed;
    let rate = units as f64 * flops / seconds;
    json!({
        format!("{unit}s"): units, "turns": turns, "seconds": seconds,
        format!("seconds_per_{unit}"): seconds / units as f64, format!("gflop_per_{unit}"): flops / 1e9,
        "gflops": rate / 1e9, "peak_gflops": peak / 1e9, "share": rate / peak,
    })
}

/// Seconds of a stage for all items, the median of its turns, and operations per second of the products that it is held against.
struct Timed {
    turns: usize,
    seconds: f64,
    peak: f64,
}

impl Timed {
    /// Once to warm up, on an item for each thread of the CPU or on all of a GPU, then `turns` times on all. As in `extract`
    /// every thread of the CPU has items of its own, and libtorch one thread in each; the products have all threads.
    fn new<T: Sync>(
        items: &[T],
        turns: usize,
        place: Place,
        encode: &(impl Fn(&[T]) -> Result<()> + Sync),
    ) -> Result<Self> {
        memory::keep();
        let threads = if place.device == Device::Cpu { place.threads } else { 1 };
        let stage = |items: &[T]| -> Result<f64> {
            tch::set_num_threads(1);
            let begun = Instant::now();
            std::thread::scope(|scope| {
                let shares = items.chunks(items.len().div_ceil(threads));
                let running: Vec<_> = shares.map(|share| scope.spawn(move || encode(share))).collect();
                running
                    .into_iter()
                    .try_for_each(|thread| thread.join().unwrap_or_else(|_| panic!("a thread")))
            })?;
            let seconds = begun.elapsed().as_secs_f64();
            tch::set_num_threads(place.threads as i32);
            Ok(seconds)
        };
        let products = Products::new(place);
        products.rates(2);
        let first = if place.device == Device::Cpu { threads.min(items.len()) } else { items.len() };
        stage(&items[..first])?;
        let (mut seconds, mut peaks) = (Vec::new(), products.rates(5));
        for _ in 0..turns {
            seconds.push(stage(items)?);
            peaks.extend(products.rates(5));
        }
        Ok(Self { turns, seconds: median(seconds), peak: median(peaks) })
    }
}

/// Floating-point operations of the published algorithm for one frame: five images through the whole tower, all
/// tokens in every layer, a multiplication and an addition counted as two. Norms, softmax and activations are left out.
///
/// An image of t tokens, p of them patches of c values, at width d, m inside of the MLP: 2pcd for the patches; in each
/// layer 8td² for q, k, v and the output, 4t²d for the scores and their products with v, 4tdm for the MLP.
fn s2_flops(tower: &ClipVisionConfig) -> f64 {
    let patches = (tower.image_size / tower.patch_size).pow(2);
    let values = 3 * tower.patch_size.pow(2);
    let [d, m, layers] = [tower.hidden_size, tower.intermediate_size, tower.num_hidden_layers];
    5.0 * transformer_flops([patches, values, patches + 1, d, m, layers])
}

/// The same for one window of VideoMAE, whose tokens are tubelets and nothing else.
fn video_mae_flops(network: &VideoMaeConfig) -> f64 {
    let values = 3 * network.tubelet_size * network.patch_size.pow(2);
    let [d, m, layers] = [network.hidden_size, network.intermediate_size, network.num_hidden_layers];
    transformer_flops([network.tokens(), values, network.tokens(), d, m, layers])
}

fn transformer_flops(sizes: [i64; 6]) -> f64 {
    let [patches, values, tokens, d, m, layers] = sizes.map(|size| size as f64);
    let embedding = 2.0 * patches * values * d;
    embedding + layers * (8.0 * tokens * d * d + 4.0 * tokens * tokens * d + 4.0 * tokens * d * m)
}

/// Two square matrices in one compute type, and room for their product.
struct Products {
    a: Tensor,
    b: Tensor,
    product: Tensor,
    device: Device,
}

impl Products {
    fn new(place: Place) -> Self {
        tch::manual_seed(0);
        // Large enough to fill the device.
        let side = if place.device == Device::Cpu { 2048 } else { 8192 };
        let matrix = || Tensor::randn([side; 2], (Kind::Float, place.device)).to_kind(place.kind);
        Self { a: matrix(), b: matrix(), product: matrix(), device: place.device }
    }

    /// Floating-point operations per second of each of `n` products.
    fn rates(&self, n: usize) -> Vec<f64> {
        let _frozen = tch::no_grad_guard();
        let rate = |_| {
            devices::synchronize(self.device);
            let begun = Instant::now();
            let _ = self.a.matmul_out(&self.product, &self.b);
            devices::synchronize(self.device);
            2.0 * (self.a.size()[0] as f64).powi(3) / begun.elapsed().as_secs_f64()
        };
        (0..n).map(rate).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
