//! The command line of `extract`.

use crate::face_detector::retina_face::RetinaFaceConfig;
use crate::face_points::LandmarkSource;
use crate::landmarks::fan::FanConfig;
use crate::spatial_encoder::s2::S2Source;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZero;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  extract --dataset phoenix --root /data/PHOENIX-2014-T --dry-run  what is there and what lacks
  extract --dataset phoenix --dry-run --calibrate                  how long it will take here
  extract --dataset how2sign --gpus 0,1                            encode How2Sign on two GPUs
  extract --dataset own/clips.jsonl --out cache/own                own data, one JSON object a line
  extract --videos a.mp4 b.mp4 --out cache/mine                    a few videos
  extract --videos a.mp4 --like cache/phoenix --out cache/mine     settings and networks of a store
  extract --dataset phoenix --preview sheets/ --limit 20           look at faces and mouths first
  extract --verify --out cache/phoenix                             check every byte of a store
  extract --dataset phoenix --shard 2/8                            the second of eight shares
  extract status cache/phoenix                                     what is done, what is missing
  extract convert large_vox_iter5.pt large.safetensors             official file, executing nothing
  extract doctor                                                   what this machine has and lacks

Where things are looked for: the data set in --root, else $SIGNCLIP_DATA/<dataset>, else
data/<dataset>; weights in --weights, else $SIGNCLIP_WEIGHTS, else weights/. Running the same
command again goes on where it stopped.

Exit codes: 0 done; 1 done, but some clips failed (listed); 2 could not run; 130 interrupted by
Ctrl-C or SIGTERM before everything was done: the clips in flight were finished, and the same
command goes on.";

/// Sign-language clips in, cached features out.
#[derive(Debug, Parser)]
#[command(name = "extract", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report libtorch, CUDA, FFmpeg, OpenCV, the processor, and the state of every weight file.
    Doctor {
        /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
        /// Print JSON for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Report what is done in a store, by whom, what is missing, and whether a rank is stalled or dead.
    Status(StatusArgs),
    /// Convert an official .pt or .pth file (AV-HuBERT, RetinaFace, FAN) to safetensors, executing nothing in it.
    Convert {
        /// The file as it was downloaded
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// What to write [default: beside IN, with the ending .safetensors]
        #[arg(value_name = "OUT.safetensors")]
        output: Option<PathBuf>,
        /// Print what was done as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Folder that extract writes, as in cache/phoenix
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The data set, to name the clips that are missing; without it the ranks' own counts are taken
    #[arg(long, value_name = "NAME|FILE")]
    pub dataset: Option<String>,
    /// The data set's folder [default: $SIGNCLIP_DATA/<dataset>, else data/<dataset>]
    #[arg(long, value_name = "DIR", requires = "dataset")]
    pub root: Option<PathBuf>,
    /// Print JSON for scripts.
    #[arg(long)]
    pub json: bool,
}

/// Which networks, with which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The paper's, from their official files.
    Paper,
    /// The paper's networks, untrained where a file is missing: for timing and tests.
    Synthetic,
    /// Small untrained encoders, and the small face detector (trained where its file is there): for trying the programs
    /// out.
    Tiny,
}

/// A feature stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    Spatial,
    Mouthing,
}

/// The face detector's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Detector {
    #[value(name = "resnet50")]
    Resnet50,
    #[value(name = "mobilenet0.25")]
    Mobilenet025,
}

impl Detector {
    pub fn config(self) -> RetinaFaceConfig {
        match self {
            Self::Resnet50 => RetinaFaceConfig::resnet50(),
            Self::Mobilenet025 => RetinaFaceConfig::mobilenet025(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet50 => "RetinaFace with ResNet-50",
            Self::Mobilenet025 => "RetinaFace with MobileNet-0.25",
        }
    }
}

/// The landmark network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FanModel {
    #[value(name = "2dfan2")]
    TwoHourglasses,
    #[value(name = "2dfan2_alt")]
    TwoHourglassesAlt,
    #[value(name = "2dfan4")]
    FourHourglasses,
}

impl FanModel {
    pub fn config(self) -> FanConfig {
        match self {
            Self::TwoHourglasses | Self::TwoHourglassesAlt => FanConfig::two_hourglasses(),
            Self::FourHourglasses => FanConfig::four_hourglasses(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::TwoHourglasses => "2dfan2",
            Self::TwoHourglassesAlt => "2dfan2_alt",
            Self::FourHourglasses => "2dfan4",
        }
    }
}

/// Element type of the stored features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreType {
    F16,
    F32,
}

/// What `--like` takes from the store.
const LIKE: [&str; 14] = [
    "preset",
    "salt",
    "streams",
    "s2_source",
    "landmark_source",
    "detector",
    "fan",
    "detect_every",
    "lip_layer",
    "max_gap",
    "dtype",
    "store_dtype",
    "video_stream",
    "deinterlace",
];

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A data set by name (phoenix, how2sign, or one of $SIGNCLIP_MANIFESTS), or a .jsonl file with own clips, whose
    /// paths may lead anywhere
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "videos")]
    pub dataset: Option<String>,
    /// Videos, each a clip of its own
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub videos: Vec<PathBuf>,
    /// The data set's folder [default: $SIGNCLIP_DATA/<dataset>, else data/<dataset>]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Where the features go [default: cache/<dataset>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only these splits (train,dev,test) [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub split: Vec<String>,
    /// Only this clip; may be given several times
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub only: Vec<String>,
    /// Only the first N clips of each split
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Language of own data, for the prompt of the language model
    #[arg(long, value_name = "WORD")]
    pub language: Option<String>,
    /// This process's share, the I-th of N (from 1) [default: as Slurm, Open MPI or torchrun say, else everything]
    #[arg(long, value_name = "I/N", allow_hyphen_values = true)]
    pub shard: Option<String>,
    /// Only clips that failed before (failures-*.jsonl of the store)
    #[arg(long)]
    pub retry_failed: bool,
    /// Devices: CUDA numbers and cpu, comma-separated [default: all CUDA devices, shared with the other ranks on this
    /// machine; else cpu]
    #[arg(long, value_name = "LIST")]
    pub gpus: Option<String>,
    /// Make the features as those of this store were made (cache/NAME or one split of it): its networks, weights and
    /// settings; refused where a weight file is another one by now
    #[arg(long, value_name = "STORE", conflicts_with_all = LIKE)]
    pub like: Option<PathBuf>,
    /// Which networks, with which weights
    #[arg(long, value_enum, default_value = "paper")]
    pub preset: Preset,
    /// Salt of computed weights (presets synthetic and tiny)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub salt: u64,
    /// Which streams are made
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "spatial,mouthing")]
    pub streams: Vec<Stream>,
    /// Where S² takes its double-size image from
    #[arg(long, value_enum, default_value = "upsampled")]
    pub s2_source: S2Source,
    /// Which video stream of files with several, counted from 0 without sound and cover pictures [default: the first]
    #[arg(long, value_name = "N")]
    pub video_stream: Option<usize>,
    /// Deinterlace: keep the rows of the first field, fill the others with the mean of their neighbours
    #[arg(long)]
    pub deinterlace: bool,
    /// Where the points come from that the mouth is aligned by [default: fan; files with --landmarks; retinaface5 with
    /// preset tiny]
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub landmark_source: Option<LandmarkSource>,
    /// Folder with landmarks made elsewhere: DIR/CLIP.npy or DIR/SPLIT/CLIP.npy, [frames, 68, 2] in pixels, NaN where
    /// there is no face; or CLIP.pkl as AV-HuBERT's preparation writes it. One row for each frame of the video, or for
    /// each at 25 a second
    #[arg(long, value_name = "DIR")]
    pub landmarks: Option<PathBuf>,
    /// Face detector [default: resnet50; mobilenet0.25 with preset tiny]
    #[arg(long, value_enum, value_name = "NAME")]
    pub detector: Option<Detector>,
    /// Landmark network
    #[arg(long, value_enum, value_name = "NAME", default_value = "2dfan2_alt")]
    pub fan: FanModel,
    /// Look for faces in every K-th frame, and follow the landmarks (fan) or interpolate (retinaface5) in between
    #[arg(long, value_name = "K", default_value = "1")]
    pub detect_every: NonZero<usize>,
    /// Lip encoder: large, base, or an AV-HuBERT file
    #[arg(long, value_name = "NAME|FILE", default_value = "large")]
    pub lip_encoder: String,
    /// Take the output of this layer of the lip encoder, counted from 1 [default: the last, after the final layer norm]
    #[arg(long, value_name = "N")]
    pub lip_layer: Option<usize>,
    /// Frames in which no face is found for longer than this get rows of zeros in the mouthing stream, as a clip without any
    /// face does [default: their mouths are interpolated, however long]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub max_gap: Option<f64>,
    /// A clip in which no face is found, or none with its mouth in the picture, fails; without this it gets a mouthing
    /// stream of zeros and is counted
    #[arg(long)]
    pub require_face: bool,
    /// Also write a contact sheet for each clip, DIR/SPLIT/CLIP.png: frames with box and landmarks, mouth crops
    #[arg(long, value_name = "DIR")]
    pub preview: Option<PathBuf>,
    /// Compute type of the encoders: f32, bf16, or auto (bf16 on GPUs and on processors that multiply it natively)
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub dtype: String,
    /// Element type of the stored features
    #[arg(long, value_enum, default_value = "f16")]
    pub store_dtype: StoreType,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: encode the first clips on the devices at hand, keep nothing, and say how long the whole data set
    /// will take and which stage limits
    #[arg(long, requires = "dry_run")]
    pub calibrate: bool,
    /// Print the plan, summary or report as JSON
    #[arg(long)]
    pub json: bool,
    /// Check every checksum and length of an existing store
    #[arg(long, conflicts_with = "dry_run")]
    pub verify: bool,
}

impl RunArgs {
    /// Whether a data set is named, with all clips of its splits.
    pub fn all_clips(&self) -> bool {
        self.dataset.is_some() && self.only.is_empty() && self.limit.is_none()
    }
}

/// A length of time.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let valid = seconds.is_finite() && seconds >= 0.0;
    valid.then_some(seconds).ok_or_else(|| "give 0 or more seconds".to_owned())
}
