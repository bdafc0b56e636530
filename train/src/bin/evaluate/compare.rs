//! `evaluate compare`: two runs side by side.

use crate::run::check_split;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};
use signclip_train::metrics::comparison::Comparison;
use signclip_train::metrics::final_dot::FinalDot;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

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
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_split(&args.split)?;
    let (a, b) = (Predictions::read(&args.a, &args.split)?, Predictions::read(&args.b, &args.split)?);
    let b_lines = a.partners(&b)?;
    let references: Vec<&str> = a.lines.iter().map(|line| line.reference.as_str()).collect();
    let of_a: Vec<&str> = a.lines.iter().map(|line| line.hypothesis.as_str()).collect();
    let of_b: Vec<&str> = b_lines.iter().map(|line| line.hypothesis.as_str()).collect();
    let comparison = Comparison::of(&of_a, &of_b, &references, FinalDot::AsGiven);
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

/// What a comparison needs of a line of `predictions.jsonl`.
#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    hypothesis: String,
    reference: String,
}

struct Predictions {
    file: PathBuf,
    lines: Vec<Line>,
}

impl Predictions {
    /// Read a `predictions.jsonl`, or that of a run's split. Errors: none there, a line that is no prediction, a clip
    /// given twice.
    fn read(path: &Path, split: &str) -> Result<Self> {
        let file =
            if path.is_dir() { path.join(split).join("predictions.jsonl") } else { path.to_path_buf() };
        let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound if path.is_dir() => {
                let remedy = format!("make them with: evaluate --run {} --split {split}", path.display());
                Error::input(&file, "", "no predictions here", remedy)
            }
            _ => Error::Io { file: file.clone(), source: e },
        })?;
        let mut lines = Vec::new();
        let mut ids = HashSet::new();
        for (number, text) in (1..).zip(text.lines()) {
            let wrong = |what: String| {
                let remedy =
                    "give a predictions.jsonl as evaluate writes it: id, hypothesis, reference on each line";
                Error::input(&file, format!("line {number}"), what, remedy)
            };
            let line: Line = serde_json::from_str(text)
                .map_err(|e| wrong(e.to_string().replace(" at line 1 column ", ", column ")))?;
            if !ids.insert(line.id.clone()) {
                return Err(wrong(format!("the clip {:?} a second time", line.id)));
            }
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(Error::input(&file, "", "no predictions in the file", "evaluate the run again"));
        }
        Ok(Self { file, lines })
    }

    /// The lines of `other` for the clips of `self`, in its order. Errors: a clip that only one has, or that has
    /// another reference.
    fn partners<'a>(&self, other: &'a Self) -> Result<Vec<&'a Line>> {
        let remedy = "evaluate both runs on the same split of the same features";
        let missing = |file: &Path, id: &str, there: &Path| {
            let what = format!("no clip {id:?}, which {} has", there.display());
            Error::input(file, "", what, remedy)
        };
        let by_id: HashMap<&str, &Line> = other.lines.iter().map(|line| (line.id.as_str(), line)).collect();
        let mut partners = Vec::new();
        for line in &self.lines {
            let partner =
                by_id.get(line.id.as_str()).ok_or_else(|| missing(&other.file, &line.id, &self.file))?;
            if partner.reference != line.reference {
                let what = format!("its reference is not that of {}", self.file.display());
                return Err(Error::input(&other.file, format!("clip {:?}", line.id), what, remedy));
            }
            partners.push(*partner);
        }
        let ids: HashSet<&str> = self.lines.iter().map(|line| line.id.as_str()).collect();
        match other.lines.iter().find(|line| !ids.contains(line.id.as_str())) {
            Some(line) => Err(missing(&self.file, &line.id, &other.file)),
            None => Ok(partners),
        }
    }
}
