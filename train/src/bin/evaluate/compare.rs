//! `evaluate compare`: two runs side by side.

use serde::Serialize;
use signclip_common::Result;
use signclip_train::data::split::check_split;
use signclip_train::metrics::comparison::Comparison;
use signclip_train::metrics::final_dot::FinalDot;
use signclip_train::metrics::predictions::Predictions;
use signclip_train::metrics::published::main_dot;
use signclip_train::metrics::units::Units;
use std::path::PathBuf;

/// Compare the translations of two runs: scores, differences, paired bootstrap test
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that was evaluated, or a predictions.jsonl
    #[arg(value_name = "A")]
    a: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    b: PathBuf,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    check_split("--split", &args.split)?;
    let (a, b) = (Predictions::read(&args.a, &args.split)?, Predictions::read(&args.b, &args.split)?);
    let b_lines = a.partners(&b)?;
    // Scores of other translations beside B tell that they were not finished, whatever the rules.
    b.references()?;
    let references: Vec<&str> = a.lines.iter().map(|line| line.reference.as_str()).collect();
    let of_a: Vec<&str> = a.lines.iter().map(|line| line.hypothesis.as_str()).collect();
    let of_b: Vec<&str> = b_lines.iter().map(|line| line.hypothesis.as_str()).collect();
    let known = a.references()?;
    let dot = known.as_ref().map_or(FinalDot::AsGiven, |known| main_dot(known.rules));
    let units = args.tokenise.or(known.map(|known| known.units)).unwrap_or_default();
    let comparison = Comparison::of(&of_a, &of_b, &references, units, dot);
    let (a_file, b_file) = (a.file.display().to_string(), b.file.display().to_string());
    if args.json {
        println!("{:#}", serde_json::json!(Compared { a_file, b_file, comparison }));
    } else {
        println!("A: {a_file}\nB: {b_file}\n{}", comparison.table().trim_end());
    }
    Ok(())
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Compared {
    a_file: String,
    b_file: String,
    #[serde(flatten)]
    comparison: Comparison,
}
