//! `train`: learn the fusion and the adapters on cached features.

#![allow(clippy::print_stdout)]

use clap::{Parser, ValueEnum};
use signclip_common::panics::program;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, devices, difference, memory};
use signclip_train::checkpoint::LAST;
use signclip_train::config::TrainConfig;
use signclip_train::corpus::Corpus;
use signclip_train::run::RunInfo;
use signclip_train::trainer::Trainer;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  train --features cache/phoenix                       the paper's recipe: Flan-T5-XL with LoRA, into runs/phoenix
  train --features cache/phoenix --set optimiser.epochs=10 --set head.streams=spatial --run runs/spatial
  train --features demo/cache --preset tiny            a small model trained from nothing, in minutes
  train --features cache/phoenix --check               open everything, train nothing

Running the same command again goes on after the last finished epoch. All settings with their values stand in
<run>/config.json; any of them can be set with --set or in a --config file.

Exit codes: 0 done; 2 could not run.";

/// Train SignClip on cached features.
#[derive(Debug, Parser)]
#[command(name = "train", version, about, after_help = EXAMPLES)]
struct Args {
    /// Folder that extract wrote (with train/ and dev/ in it)
    #[arg(long, value_name = "DIR")]
    features: PathBuf,
    /// Folder of the run [default: runs/<name of the features folder>]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Starting point of the settings
    #[arg(long, value_enum, default_value = "paper")]
    preset: Preset,
    /// JSON file with settings that differ from the preset
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, as in optimiser.epochs=10
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
    /// Open features and model, say what would be trained, and stop
    #[arg(long)]
    check: bool,
}

/// Sets of defaults.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// The paper's values.
    Paper,
    /// A small model trained from nothing.
    Tiny,
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    program(|| run(&args).map(|()| ExitCode::SUCCESS))
}

fn run(args: &Args) -> Result<(), Vec<Error>> {
    let one = |e| vec![e];
    let preset = match args.preset {
        Preset::Paper => TrainConfig::default(),
        Preset::Tiny => TrainConfig::tiny(),
    };
    let settings = preset.with(args.config.as_deref(), &args.settings).map_err(one)?;
    // Everything that may be missing is looked for before anything is done, so that it can be mended in one go.
    let mut problems = Vec::new();
    let list = args.gpus.clone().unwrap_or_else(devices::default_device);
    let devices = devices::open(&list).map_err(|e| problems.push(e)).ok();
    let mut open = |split| Corpus::open(&args.features, split, &settings).map_err(|e| problems.push(e)).ok();
    let (train, dev) = (open("train"), open("dev"));
    if settings.language_model.path != "tiny" {
        let path = &settings.language_model.path;
        if let Err(e) = signclip_train::config::language_model_folder(path, args.weights.as_deref()) {
            problems.push(e);
        }
    }
    let (Some(train), Some(dev), Some(devices), true) = (train, dev, devices, problems.is_empty()) else {
        return Err(problems);
    };
    if devices.len() != 1 {
        let what = format!("--gpus {list}: training runs on one device so far");
        return Err(one(Error::usage(what, "give one CUDA number, or cpu")));
    }
    train_on(args, settings, train, dev, devices[0]).map_err(one)
}

fn train_on(
    args: &Args,
    settings: TrainConfig,
    mut train: Corpus,
    mut dev: Corpus,
    device: tch::Device,
) -> Result<()> {
    let name = args.features.file_name().unwrap_or_default();
    let folder = args.run.clone().unwrap_or_else(|| Path::new("runs").join(name));
    let info = RunInfo::new(&args.features, settings, args.weights.as_deref(), &train)?;
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    start_log(Some(&folder.join("train.log.jsonl")))?;
    if folder.join(LAST).exists() {
        same_run(&folder, &info)?;
    } else if !args.check {
        info.write(&folder)?;
    }
    let text = info.text(&folder, Some(&train))?;
    let limit = info.settings.text.max_target_tokens;
    train.tokenise(&text, limit)?;
    dev.tokenise(&text, limit)?;
    let model = info.model(&train, &text, device)?;
    let (visual, language) = model.trainable();
    tracing::info!("{} training and {} dev clips from {}", train.len(), dev.len(), args.features.display());
    tracing::info!(
        "{visual} trainable values in the visual head, {language} in the language model, on {device:?}"
    );
    tracing::info!("prompt: {}", info.prompt);
    if args.check {
        println!("everything opens; nothing was trained");
        return Ok(());
    }
    let trainer = Trainer {
        config: &info.settings,
        model: &model,
        train: &train,
        dev: &dev,
        text: &text,
        folder: &folder,
    };
    let state = trainer.run()?;
    println!("run:      {}", folder.display());
    println!(
        "best:     epoch {}, dev BLEU-4 {:.2} (best.safetensors)",
        state.best_epoch,
        state.best_bleu4.unwrap_or(0.0)
    );
    println!("log:      {}", folder.join("log.jsonl").display());
    println!("next:     evaluate --run {} --split test", folder.display());
    Ok(())
}

/// A run that has begun goes on with the settings it began with.
fn same_run(folder: &Path, info: &RunInfo) -> Result<()> {
    let json = |info: &RunInfo| serde_json::to_value(info).unwrap_or_default();
    let Some((field, begun, now)) = difference::first(&json(&RunInfo::read(folder)?), &json(info)) else {
        return Ok(());
    };
    Err(Error::input(
        folder.join("config.json"),
        field,
        format!("the run in this folder began with {begun}, this command has {now}"),
        "use the same settings to go on, or another folder with --run",
    ))
}
