//! `ablate`: the paper's ablation and its open readings, measured: trains and evaluates every row of a table with
//! several seeds and writes the table.

#![allow(clippy::print_stdout)]

mod models;
mod rows;
mod runs;
mod summary;

use clap::Parser;
use rows::{Row, Table};
use runs::Run;
use signclip_common::panics::program;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, atomic, command_line, commit, json, lock};
use signclip_train::children;
use signclip_train::config::TrainConfig;
use signclip_train::data::corpus::Corpus;
use signclip_train::data::split::check_split;
use signclip_train::language::settings::language_model_folder;
use signclip_train::metrics::ablation::Best;
use signclip_train::metrics::ambiguous::AmbiguousWords;
use signclip_train::metrics::paper_models::PaperModels;
use signclip_train::report::rows_picture::rows_picture;
use signclip_train::training::run::RunInfo;
use signclip_train::training::setting_flags::SettingFlags;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  ablate --features cache/phoenix                     the paper's Table 5, three seeds each row
  ablate --features cache/own --ambiguous pairs.json  accuracy on words that look alike, too
  ablate --features cache/phoenix --seeds 1           one seed; --seeds 3 later keeps it, adds two
  ablate --features cache/phoenix --table readings    what the paper leaves open, a choice a row
  ablate --features cache/phoenix --table models      the paper's Table 6: each language model in weights/
  ablate --features demo/cache --preset tiny --table models    small ones, trained from nothing
  ablate --features cache/phoenix --set optimiser.epochs=10 --gpus 0

Writes <out>/ablation.md, ablation.json and ablation.svg (readings, control, models, recipe, study: likewise) and
keeps each run in <out>/<row>/seed-<n>. The same command resumes where it was interrupted; a run that is done is not
done again. All rows have the same settings, data and number of steps but for what the row is about.

Exit codes: 0 done; 2 could not run; 130 interrupted by Ctrl-C or SIGTERM, with the runs in flight.";

/// Train and evaluate every row of an ablation table with several seeds
#[derive(Debug, Parser)]
#[command(name = "ablate", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder that extract wrote
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) features: Vec<PathBuf>,
    /// Folder of the table and its runs [default: runs/ablation-<name of the features folder>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Which rows
    #[arg(long, value_enum, default_value = "components")]
    pub(crate) table: Table,
    /// Rows of the table [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    rows: Vec<String>,
    /// Runs of each row, with the seeds 0, 1, 2, ...
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Split to evaluate on
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub(crate) split: String,
    /// Pairs of words that look the same on the hands: {"pairs": [["one", "other"]]}; the accuracy on them is a column
    #[arg(long, value_name = "FILE")]
    ambiguous: Option<PathBuf>,
    /// best.json of a rendered corpus: what it allows at most stands below the table
    #[arg(long, value_name = "FILE")]
    best: Option<PathBuf>,
    /// Runs at a time; they share the CPU cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = jobs)]
    pub(crate) jobs: usize,
    /// Settings of all rows.
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,
    /// Folder of the language model, where it is not below the weights folder
    #[arg(long, value_name = "DIR")]
    pub(crate) language_model: Option<PathBuf>,
    /// Devices of each run: CUDA numbers or cpu, as in 0,1 [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "LIST")]
    pub(crate) gpus: Option<String>,
}

fn jobs(text: &str) -> std::result::Result<usize, String> {
    text.parse()
        .ok()
        .filter(|jobs| (1..=64).contains(jobs))
        .ok_or_else(|| "give a number from 1 to 64".to_owned())
}

impl Args {
    /// What every run of `train` is given.
    pub(crate) fn shared_arguments(&self) -> Vec<String> {
        let SettingFlags { preset, config, set, allow_missing } = &self.settings;
        let (preset, path) = (preset.name(), |path: &Path| path.display().to_string());
        let mut line = vec!["--preset".to_owned(), preset.to_owned()];
        line.extend(self.features.iter().flat_map(|folder| ["--features".to_owned(), path(folder)]));
        let mut option = |name: &str, value: Option<String>| {
            line.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        option("--config", config.as_deref().map(path));
        option("--weights", self.weights.as_deref().map(path));
        option("--language-model", self.language_model.as_deref().map(path));
        option("--gpus", self.gpus.clone());
        set.iter().for_each(|setting| option("--set", Some(setting.clone())));
        line.extend(allow_missing.then(|| "--allow-missing".to_owned()));
        line
    }
}

fn main() -> ExitCode {
    let (args, _) = command_line::read::<Args>(commit!(), &[]);
    program(|| run(&args).map(|()| ExitCode::SUCCESS).map_err(|e| vec![e]))
}

fn run(args: &Args) -> Result<()> {
    start_log(None)?;
    // What can be wrong is found before hours of training.
    let base = args.settings.effective()?;
    let paper = PaperModels::here()?;
    let rows = match args.table {
        Table::Models => models::rows(args, paper.as_ref())?,
        table => table.fixed(base.optimiser.epochs),
    };
    let rows = Table::chosen(rows, &args.rows)?;
    args.table.check(&rows, &base, &args.settings.preset.settings())?;
    let ambiguous = args.ambiguous.as_deref().map(AmbiguousWords::read).transpose()?;
    let best = args.best.as_deref().map(Best::read).transpose()?;
    let name = args.features[0].file_name().unwrap_or_default().to_string_lossy();
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("ablation-{name}")));
    let (planned, evaluated) = open_everything(args, &rows, &base)?;
    if let (Some(words), Some(file)) = (&ambiguous, &args.ambiguous) {
        words.check(file, &args.split, evaluated.texts.iter().map(String::as_str))?;
    }
    // Seed by seed, so that a table with fewer seeds is there early.
    let runs: Vec<Run> = (0..args.seeds)
        .flat_map(|seed| rows.iter().zip(&planned).map(move |(row, planned)| (row, planned, seed)))
        .map(|(row, (info, steps), seed)| Run::new(&out, row, info, seed, *steps))
        .collect();
    runs.iter().try_for_each(Run::check)?;
    std::fs::create_dir_all(&out).map_err(Error::io(&out))?;
    let lock = lock::alone(&out.join(".lock"), "another ablate is at work in this folder")?;
    children::end_on_interrupt(|| {})?;
    runs::finish(&runs, args)?;
    let mut ablation = summary::summarise(&runs, &rows, args, &evaluated, ambiguous.as_ref())?;
    ablation.best = best;
    if let (Table::Models, Some(paper)) = (args.table, paper) {
        ablation.beside(&paper);
    }
    let file = |ending: &str| out.join(format!("{}.{ending}", args.table.file()));
    atomic::write(&file("json"), json::pretty(&ablation)?.as_bytes())?;
    let markdown = summary::markdown(&ablation);
    atomic::write(&file("md"), markdown.as_bytes())?;
    atomic::write(&file("svg"), rows_picture(&ablation).as_bytes())?;
    let [md, json, svg] = ["md", "json", "svg"].map(|ending| file(ending).display().to_string());
    println!("{markdown}\ntable: {md}, {json}, {svg}");
    drop(lock);
    Ok(())
}

/// What the runs of each row will be, with their number of steps, and the split that they will be scored on. Errors:
/// features that are not there or not all made alike, a stream that a row needs.
fn open_everything(args: &Args, rows: &[Row], base: &TrainConfig) -> Result<(Vec<(RunInfo, u64)>, Corpus)> {
    check_split("--split", &args.split)?;
    let mut planned: Vec<(RunInfo, u64)> = Vec::new();
    for row in rows {
        let settings = base.clone().with(None, &row.settings)?;
        let open = |split: &str| Corpus::open(&args.features, split, &settings);
        let (train, dev) = (open("train")?, open(&settings.validation_split)?);
        let (weights, allowed) = (args.weights.as_deref(), args.settings.allow_missing);
        let model =
            language_model_folder(&settings.language_model.path, weights, args.language_model.as_deref())?;
        let info = RunInfo::new(&args.features, settings.clone(), model.as_deref(), [&train, &dev], allowed)?;
        let scored = open(&args.split)?;
        scored.missing(allowed)?;
        info.check_features(scored.descriptions())?;
        planned.push((info, settings.optimiser.total_steps(train.len())));
    }
    let evaluated = Corpus::open(&args.features, &args.split, &planned[0].0.settings)?;
    Ok((planned, evaluated))
}
