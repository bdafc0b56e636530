//! `evaluate compare`: two configurations side by side.

use serde::Serialize;
use signclip_common::{Error, Result};
use signclip_train::data::split::check_split;
use signclip_train::metrics::comparison::Comparison;
use signclip_train::metrics::final_dot::FinalDot;
use signclip_train::metrics::predictions::Predictions;
use signclip_train::metrics::published::main_dot;
use signclip_train::metrics::units::Units;
use std::path::PathBuf;

/// Compare translations of two configurations: scores, differences with intervals over seeds and sentences
///
/// `compare A B` compares two runs, and knows nothing of the spread between seeds. `compare A... --with B...` compares
/// several runs of one configuration, which differ in their seed, with several of another.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folders of runs that were evaluated, or predictions.jsonl
    #[arg(value_name = "A", required = true)]
    runs: Vec<PathBuf>,
    /// What to compare them with
    #[arg(long, value_name = "B", num_args = 1..)]
    with: Vec<PathBuf>,
    /// Split, where A or B is a run's folder
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// What texts are counted in [default: as A was evaluated, else 13a]
    #[arg(long, value_name = "UNITS")]
    tokenise: Option<Units>,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn sides(&self) -> Result<[&[PathBuf]; 2]> {
        match (self.runs.as_slice(), self.with.as_slice()) {
            (runs, with) if !with.is_empty() => Ok([runs, with]),
            ([a, b], _) => Ok([std::slice::from_ref(a), std::slice::from_ref(b)]),
            (runs, _) => {
                let what = format!("which of the runs ({}) are to be compared with which?", runs.len());
                Err(Error::usage(what, "give two runs, or several a side: compare <A>... --with <B>..."))
            }
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_split("--split", &args.split)?;
    let [a, b] = args.sides()?;
    let read = |paths: &[PathBuf]| -> Result<Vec<Predictions>> {
        paths.iter().map(|path| Predictions::read(path, &args.split)).collect()
    };
    let [a, b] = [read(a)?, read(b)?];
    refuse_twice(&a, &b)?;
    let first = &a[0];
    let texts = |side: &[Predictions]| -> Result<Vec<Vec<String>>> {
        let of_run = |run: &Predictions| {
            // Scores of other translations beside a run tell that they were not finished, whatever the rules.
            run.references()?;
            Ok(first.partners(run)?.into_iter().map(|line| line.hypothesis.clone()).collect())
        };
        side.iter().map(of_run).collect()
    };
    let references: Vec<String> = first.lines.iter().map(|line| line.reference.clone()).collect();
    let known = first.references()?;
    let dot = known.as_ref().map_or(FinalDot::AsGiven, |known| main_dot(known.rules));
    let units = args.tokenise.or(known.map(|known| known.units)).unwrap_or_default();
    let comparison = Comparison::of(&texts(&a)?, &texts(&b)?, &references, units, dot);
    let files =
        |side: &[Predictions]| side.iter().map(|run| run.file.display().to_string()).collect::<Vec<_>>();
    let (a_files, b_files) = (files(&a), files(&b));
    if args.json {
        println!("{:#}", serde_json::json!(Printed { a_files, b_files, comparison }));
    } else {
        a_files.iter().for_each(|file| println!("A: {file}"));
        b_files.iter().for_each(|file| println!("B: {file}"));
        println!("{}", comparison.table().trim_end());
    }
    Ok(())
}

/// Refuse a run that is given twice, where seeds are counted: its copy would count as another one.
fn refuse_twice(a: &[Predictions], b: &[Predictions]) -> Result<()> {
    if a.len() == 1 && b.len() == 1 {
        return Ok(());
    }
    let all: Vec<&Predictions> = a.iter().chain(b).collect();
    for (place, run) in all.iter().enumerate() {
        if let Some(before) = all[..place].iter().find(|before| before.sha256 == run.sha256) {
            let what = format!("the same translations as {}", before.file.display());
            let remedy = "give each run once, on one side: runs of one configuration differ in their seed";
            return Err(Error::input(&run.file, "", what, remedy));
        }
    }
    Ok(())
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed {
    a_files: Vec<String>,
    b_files: Vec<String>,
    #[serde(flatten)]
    comparison: Comparison,
}
