//! `evaluate`: translate a split with a trained run and score it.

#![allow(clippy::print_stdout)]

use clap::Parser;
use signclip_common::panics::program;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, atomic, devices, memory};
use signclip_train::checkpoint::{self, BEST};
use signclip_train::corpus::Corpus;
use signclip_train::run::RunInfo;
use signclip_train::trainer::model_tensors;
use signclip_train::translation::{score, translate};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  evaluate --run runs/phoenix --split test
  evaluate --run runs/phoenix --split dev --features cache/phoenix

Writes <run>/<split>/predictions.jsonl and metrics.json. The weights are those with the best dev BLEU-4; the test
split plays no part in choosing them.

Exit codes: 0 done; 2 could not run.";

/// Translate and score a split.
#[derive(Debug, Parser)]
#[command(name = "evaluate", version, about, after_help = EXAMPLES)]
struct Args {
    /// Folder of a run that train wrote
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Split to translate
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// Features, where they are not where the run was trained on them
    #[arg(long, value_name = "DIR")]
    features: Option<PathBuf>,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
    /// Clips searched at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Print the scores as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    program(|| run(&args).map(|()| ExitCode::SUCCESS).map_err(|e| vec![e]))
}

fn run(args: &Args) -> Result<()> {
    let list = args.gpus.clone().unwrap_or_else(devices::default_device);
    let device = devices::open(&list)?[0];
    if args.split.contains(['/', '\\']) || ["", ".", ".."].contains(&args.split.as_str()) {
        return Err(Error::usage(format!("--split {:?} is no split", args.split), "give train, dev or test"));
    }
    let info = RunInfo::read(&args.run)?;
    let features = args.features.as_ref().unwrap_or(&info.features);
    let mut corpus = Corpus::open(features, &args.split, &info.settings)?;
    let folder = args.run.join(&args.split);
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    start_log(None)?;
    let text = info.text(&args.run, None)?;
    corpus.tokenise(&text, usize::MAX)?;
    let model = info.model(&corpus, &text, device)?;
    let best = args.run.join(BEST);
    let (tensors, state) = checkpoint::load(&best)?;
    checkpoint::restore(&best, &model_tensors(&model), &tensors)?;
    tracing::info!("{} clips of {}, weights of epoch {}", corpus.len(), args.split, state.best_epoch);
    let predictions = translate(&model, &corpus, &text, &info.settings.decoding, args.batch.max(1))?;
    let lines = folder.join("predictions.jsonl");
    atomic::write_with(&lines, |file| {
        predictions.iter().try_for_each(|p| writeln!(file, "{}", serde_json::to_string(p)?))
    })?;
    let scores = score(&predictions);
    let metrics = serde_json::json!({
        "split": args.split,
        "clips": predictions.len(),
        "weights": { "file": BEST, "epoch": state.best_epoch, "dev_bleu4": state.best_bleu4 },
        "references": { "rules": corpus.store.info.text },
        "decoding": info.settings.decoding,
        "scores": scores,
    });
    let metrics = serde_json::to_string_pretty(&metrics).unwrap_or_default() + "\n";
    atomic::write(&folder.join("metrics.json"), metrics.as_bytes())?;
    if args.json {
        print!("{metrics}");
        return Ok(());
    }
    print!("{}", scores.table());
    let dot = if corpus.store.info.text.final_dot { "with a final dot" } else { "as they are" };
    println!(
        "\nreferences {dot}; predictions: {}; metrics: {}",
        lines.display(),
        folder.join("metrics.json").display()
    );
    Ok(())
}
