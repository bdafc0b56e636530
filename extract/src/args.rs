//! The command line of `extract`.

use crate::spatial_encoder::s2::S2Source;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  extract --dataset phoenix --root /data/PHOENIX-2014-T --dry-run     what would be done, and what is missing
  extract --dataset how2sign --gpus 0,1                               encode How2Sign on two GPUs
  extract --dataset own/clips.jsonl --out cache/own                   own data, one JSON object a line
  extract --videos a.mp4 b.mp4 --out cache/mine                       a few videos
  extract --verify --out cache/phoenix                                check every byte of a store
  extract doctor                                                      what this machine has and lacks

Where things are looked for: the data set in --root, else $SIGNCLIP_DATA/<dataset>, else data/<dataset>; weights in
--weights, else $SIGNCLIP_WEIGHTS, else weights/. Running the same command again goes on where it stopped.

Exit codes: 0 done; 1 done, but some clips failed (listed); 2 could not run.";

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
}

/// Which networks, with which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The paper's: CLIP ViT-L/14 from its official file.
    Paper,
    /// The paper's networks with computed weights, untrained: for timing and tests.
    Synthetic,
    /// Small networks with computed weights, untrained: for trying the programs out.
    Tiny,
}

/// Element type of the stored features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreType {
    F16,
    F32,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A data set of manifests/ by name (phoenix, how2sign), or a .jsonl file with own clips
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
    /// Devices: CUDA numbers and cpu, comma-separated [default: all CUDA devices, else cpu]
    #[arg(long, value_name = "LIST")]
    pub gpus: Option<String>,
    /// Which networks, with which weights
    #[arg(long, value_enum, default_value = "paper")]
    pub preset: Preset,
    /// Salt of computed weights (presets synthetic and tiny)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub salt: u64,
    /// Where S² takes its double-size image from
    #[arg(long, value_enum, default_value = "upsampled")]
    pub s2_source: S2Source,
    /// Compute type: f32, bf16, or auto (bf16 where the device multiplies it natively)
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub dtype: String,
    /// Element type of the stored features
    #[arg(long, value_enum, default_value = "f16")]
    pub store_dtype: StoreType,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the plan, summary or report as JSON
    #[arg(long)]
    pub json: bool,
    /// Check every checksum and length of an existing store
    #[arg(long, conflicts_with = "dry_run")]
    pub verify: bool,
}
