//! `evaluate report`: one HTML file about a run.

use crate::run::check_split;
use signclip_common::progress::start_log;
use signclip_common::{Result, devices};
use signclip_train::report::{Request, write};
use std::path::PathBuf;

/// Write one HTML file about a run: scores, curves, translations, the gate over time
///
/// The file needs no network and nothing beside it. What is not there yet is said in it, with the command that makes
/// it. The gate of every clip is also written as RUN/SPLIT/gate.json.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that train wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Split to report on
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// What to write [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Features, where they are not where the run was trained on them
    #[arg(long, value_name = "DIR")]
    features: Option<PathBuf>,
    /// Folder of contact sheets that extract --preview wrote, for frames and mouths beside the gate
    #[arg(long, value_name = "DIR")]
    sheets: Option<PathBuf>,
    /// Clips whose gate is shown [default: those with the best, the median and the worst translation]
    #[arg(long, value_name = "ID,...", value_delimiter = ',', allow_hyphen_values = true)]
    clips: Vec<String>,
    /// Pairs of ambiguous words, {"pairs": [["one word", "the other"], ...]}
    #[arg(long, value_name = "FILE")]
    ambiguous: Option<PathBuf>,
    /// Table of an ablation, ablation.json
    #[arg(long, value_name = "FILE")]
    ablation: Option<PathBuf>,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let list = args.gpus.clone().unwrap_or_else(devices::default_device);
    let device = devices::open(&list)?[0];
    check_split(&args.split)?;
    start_log(None)?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join("report.html"));
    let request = Request {
        run: &args.run,
        split: &args.split,
        features: args.features.as_deref(),
        sheets: args.sheets.as_deref(),
        clips: &args.clips,
        ambiguous: args.ambiguous.as_deref(),
        ablation: args.ablation.as_deref(),
        device,
    };
    let gate = write(&request, &out)?;
    println!("report: {}", out.display());
    if let Some(gate) = gate {
        println!("gate:   {}", gate.display());
    }
    Ok(())
}
