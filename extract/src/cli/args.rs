//! The command line of `extract`.

use crate::cli::fetch::FetchArgs;
use crate::cli::recipe_flags::{InputFlags, RecipeFlags};
use crate::import::foreign::Foreign;
use crate::run::plan::Selection;
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  extract --dataset phoenix --root /data/PHOENIX-2014-T --dry-run  what is there and what is missing
  extract --dataset phoenix --dry-run --calibrate                  how long it will take here
  extract --dataset how2sign --gpus 0,1                            encode How2Sign on two GPUs
  extract --dataset own/clips.jsonl --out cache/own                own data, one JSON object a line
  extract --videos a.mp4 b.mp4 --out cache/mine                    a few videos
  extract --videos a.mp4 --like cache/phoenix --out cache/mine     settings and networks of a store
  extract --dataset phoenix --preview sheets/ --limit 20           look at faces and mouths first
  extract --verify --out cache/phoenix                             check every byte of a store
  extract --dataset phoenix --shard 2/8                            the second of eight shares
  extract status cache/phoenix                                     what is done, what is missing
  extract import DIR --dataset phoenix --stream spatial={id}.npy   a store of features that others made
  extract convert large_vox_iter5.pt large.safetensors             official file, executing nothing
  extract doctor                                                   what this machine has and what is missing
  extract fetch                                                    the weight files that are missing here

Where things are looked for: the data set in --root, else $SIGNCLIP_DATA/<dataset>, else
data/<dataset>; weights in --weights, else $SIGNCLIP_WEIGHTS, else weights/. Running the same
command again resumes where it stopped.

Exit codes: 0 done; 1 done, but some clips failed (listed); 2 could not run; 130 interrupted by
Ctrl-C or SIGTERM before everything was done: the clips in flight were finished, and the same
command resumes.";

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
    /// Report libtorch, CUDA, FFmpeg, OpenCV, the CPU, and the state of every weight file.
    Doctor {
        /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
        /// Print JSON for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Download weight files from their official addresses, or from a mirror; every one is checked before it gets its name.
    Fetch(FetchArgs),
    /// Report what is done in a store, by whom, what is missing, and whether a rank is stalled or dead.
    Status(StatusArgs),
    /// Make a store of features that others made, one NumPy file a clip.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
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

const IMPORT_EXAMPLES: &str = "\
Examples:
  extract import features --dataset phoenix --out cache/spamo \\
    --stream 'spatial={split}/{id}_s2wrapping.npy' --stream 'motion={split}/{id}_overlap-8.npy'
  extract import features --dataset own.jsonl --stream 'hands={id}.npy'
  extract import features --dataset own.jsonl --stream 'motion:16/4={id}.npy'

{id} is the clip's id, {split} its split, {start} its start in seconds as Python writes it. A line of
a .jsonl needs \"id\" alone, and for training \"text\" and \"split\". Running the same command again
resumes; exit code 1: some clips failed (listed).";

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Folder of the files
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// A stream, and the names of its files below DIR: an array [rows, columns] of float16 or float32 for each clip. With
    /// rows of windows of frames: NAME:WINDOW/STRIDE=PATTERN [default: 16/8 for motion, else a row for each frame]
    #[arg(long = "stream", value_name = "NAME=PATTERN", required = true, value_parser = Foreign::parse)]
    pub streams: Vec<Foreign>,
    #[command(flatten)]
    pub selection: Selection,
    /// Where the store goes [default: cache/<dataset>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Frames per second that the features were made at [default: those of the data set's pictures, else 25]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub fps: Option<f64>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Frames per second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.1..=1000.0).contains(rate));
    rate.ok_or_else(|| "give a number between 0.1 and 1000".to_owned())
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Where the features go [default: cache/<dataset>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
    #[command(flatten)]
    pub inputs: InputFlags,
    /// Make the features as those of this store were made (cache/NAME or one split of it): its networks, weights and
    /// settings; refused where a weight file is another one by now
    #[arg(long, value_name = "STORE")]
    pub like: Option<PathBuf>,
    #[command(flatten)]
    pub recipe: RecipeFlags,
    /// A clip in which no face is found, or none with its mouth in the picture, fails; without this it gets a mouthing
    /// stream of zeros and is counted
    #[arg(long)]
    pub require_face: bool,
    /// Also write a contact sheet for each clip, DIR/SPLIT/CLIP.png: frames with box and landmarks, mouth crops
    #[arg(long, value_name = "DIR")]
    pub preview: Option<PathBuf>,
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
    /// Where the features of a data set go.
    pub fn out_of(&self, dataset: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("cache").join(dataset))
    }
}
