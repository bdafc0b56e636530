//! `train-language`: a small language model of a data set's language, from sentences alone.

#![allow(clippy::print_stdout)]

use clap::Parser;
use signclip_common::panics::program;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, command_line, commit, devices, environment, lock};
use signclip_train::pretraining::run::{Pretraining, Training};
use signclip_train::pretraining::sentences::Sentences;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  train-language --text sentences.txt --features cache/noisy --out weights/small-german
  train --features cache/noisy --preset tiny --set language_model.path=small-german \\
      --set language_model.tuning=lora

The model is a T5 of about a million parameters, saved as a Hugging Face folder: config.json,
model.safetensors, tokenizer.json. It learns to fill gaps (T5's own objective) and to translate from
a made-up language in which every word is another one and the order is reversed. It sees no clip
and no gloss. The same command resumes where it was interrupted, and does nothing when it is done.

Exit codes: 0 done; 2 could not run.";

/// Train a small language model on sentences, for runs that are to begin with one that knows the language
#[derive(Debug, Parser)]
#[command(name = "train-language", version, after_help = EXAMPLES)]
struct Args {
    /// Sentences, one a line, none of which is in dev or test
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Folder that extract wrote, whose dev and test are not to be seen; its language and text rules count. May be given
    /// several times
    #[arg(long, value_name = "DIR", required = true)]
    features: Vec<PathBuf>,
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How often every sentence is seen, in turn with gaps and in translation
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    epochs: u16,
    /// Everything random follows from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
}

fn main() -> ExitCode {
    let (args, _) = command_line::read::<Args>(commit!(), &[]);
    environment::for_gpus();
    program(|| run(&args).map(|()| ExitCode::SUCCESS).map_err(|e| vec![e]))
}

fn run(args: &Args) -> Result<()> {
    start_log(None)?;
    let device = devices::open_one(&args.gpus.clone().unwrap_or_else(devices::default_device))?;
    let sentences = Sentences::read(&args.text, &args.features)?;
    let training = Training::new(&sentences, args.epochs.into(), args.seed)?;
    let shown = args.out.display();
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let lock = lock::alone(&args.out.join(".lock"), "another train-language is at work in this folder")?;
    if training.is_done(&args.out)? {
        println!("{shown} has this model already, nothing to do");
        return Ok(());
    }
    let [gaps, translation] = Pretraining::new(training, &sentences, &args.out, device)?.run()?;
    drop(lock);
    let loss = |loss: Option<f64>| loss.map_or("not seen".to_owned(), |loss| format!("{loss:.3}"));
    println!("model: {shown} ({} sentences)", sentences.texts.len());
    println!("loss of a token in the last epoch: gaps {}, translation {}", loss(gaps), loss(translation));
    Ok(())
}
