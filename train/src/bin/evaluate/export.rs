//! `evaluate export`: the language model of a run with its adapter added to the weights.

use signclip_common::progress::start_log;
use signclip_common::{Error, Result};
use signclip_train::checkpoint::ADAPTER;
use signclip_train::places::PlaceFlags;
use signclip_train::{adapter, run::RunInfo};
use std::path::PathBuf;

/// Write the language model of a run with its adapter merged, as a Hugging Face folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that trains an adapter
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder to write; it must be new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    places: PlaceFlags,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    start_log(None)?;
    let mut info = RunInfo::read(&args.run)?;
    info.find_language_model(&args.run, &args.places)?;
    let Some(base) = &info.language_model else {
        let what = "the language model of this run is trained from nothing: there is no adapter to merge";
        return Err(Error::input(&args.run, "language_model", what, "its weights are in best.safetensors"));
    };
    let adapter = args.run.join(ADAPTER);
    if !adapter.is_dir() {
        let remedy = "train an adapter (language_model.tuning=lora) until the first validation";
        return Err(Error::input(&adapter, "", "the run has no adapter", remedy));
    }
    if args.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::input(&args.out, "--out", "the folder is not empty", "give a new folder"));
    }
    adapter::merge(base, &adapter, &args.out)?;
    println!("merged {} and {} into {}", base.display(), adapter.display(), args.out.display());
    println!("next: T5ForConditionalGeneration.from_pretrained({:?})", args.out.display().to_string());
    Ok(())
}
