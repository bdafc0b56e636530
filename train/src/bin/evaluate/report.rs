//! `evaluate report`: one HTML file about a run.

use signclip_common::progress::start_log;
use signclip_common::regular_file;
use signclip_common::store::STORE_FILE;
use signclip_common::{Error, Result, devices};
use signclip_train::data::split::check_split;
use signclip_train::metrics::beside::Named;
use signclip_train::metrics::predictions::PREDICTIONS;
use signclip_train::report::{GENERATOR, Request, write};
use signclip_train::training::places::PlaceFlags;

use signclip_train::training::run::RunInfo;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Write one HTML file about a run: scores, curves, translations, the gate over time
///
/// The file needs no network and nothing beside it. What is not there yet is said in it, with the command that makes
/// it. The gate of every clip is also written as RUN/SPLIT/gate.json.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that train wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Split to report on [default: test]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// What to write [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the features are now, if they were moved since the training
    #[arg(long, value_name = "DIR")]
    features: Vec<PathBuf>,
    #[command(flatten)]
    places: PlaceFlags,
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
    /// Another run, under a name, whose translations of the chosen clips are shown; may be given again
    #[arg(long, value_name = "NAME=RUN")]
    beside: Vec<Named>,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let list = args.gpus.clone().unwrap_or_else(devices::default_device);
    let device = devices::open_one(&list)?;
    let split = args.split.as_deref().unwrap_or("test");
    check_split("--split", split)?;
    start_log(None)?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join("report.html"));
    replaceable(&out)?;
    there(args)?;
    let request = Request {
        run: &args.run,
        split,
        features: &args.features,
        places: &args.places,
        sheets: args.sheets.as_deref(),
        clips: &args.clips,
        ambiguous: args.ambiguous.as_deref(),
        ablation: args.ablation.as_deref(),
        beside: &args.beside,
        device,
    };
    let gate = write(&request, &out)?;
    println!("report: {}", out.display());
    if let Some(gate) = gate {
        println!("gate:   {}", gate.display());
    }
    Ok(())
}

/// A report takes the place of an earlier one, never of a run's other files.
pub(crate) fn replaceable(out: &Path) -> Result<()> {
    let file = match regular_file::open(out) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io(out))?,
    };
    let mut begin = Vec::new();
    file.take(1024).read_to_end(&mut begin).map_err(Error::io(out))?;
    if begin.is_empty() || String::from_utf8_lossy(&begin).contains(GENERATOR) {
        return Ok(());
    }
    Err(Error::input(out, "", "the file there is not a report", "give another --out, or move it away"))
}

/// What is named is there; only what nobody named may be missing, and the page says so.
fn there(args: &Args) -> Result<()> {
    let features = args.features.iter().map(|folder| ("--features", folder));
    for (flag, folder) in features.chain(args.sheets.iter().map(|folder| ("--sheets", folder))) {
        if !folder.is_dir() {
            return Err(Error::input(
                folder,
                "",
                "no folder here",
                format!("correct {flag}, or leave it out"),
            ));
        }
    }
    let mut info = RunInfo::read(&args.run)?;
    let Some(split) = &args.split else { return Ok(()) };
    // Features that are nowhere are missed below.
    let _ = info.find_features(&args.run, &args.features);
    let features = &info.features;
    if args.run.join(split).join(PREDICTIONS).exists() || features.join(split).join(STORE_FILE).is_file() {
        return Ok(());
    }
    let what = format!("neither {} nor {} has it", args.run.display(), features.display());
    Err(Error::usage(format!("--split {split}: {what}"), "give another split, or extract this one"))
}
