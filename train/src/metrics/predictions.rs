//! Translations as `evaluate` writes them, read back.

use super::units::Units;
use serde::Deserialize;
use signclip_common::manifest::TextRules;
use signclip_common::regular_file::{self, LINES, SETTINGS};
use signclip_common::{Error, Result, checksum};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Name of the file in a split's folder of a run.
pub const PREDICTIONS: &str = "predictions.jsonl";

/// Name of the file of scores beside it.
pub const METRICS: &str = "metrics.json";

/// What every line has; others that `evaluate` writes are not needed to read one.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    pub id: String,
    pub hypothesis: String,
    pub reference: String,
}

/// What `metrics.json` says of the references.
#[derive(Debug, Deserialize)]
pub struct References {
    pub rules: TextRules,
    /// Words, where an earlier version wrote it.
    #[serde(default)]
    pub units: Units,
}

/// The lines of a file, each clip once; at least one.
pub struct Predictions {
    pub file: PathBuf,
    /// SHA-256 of the file, by which `metrics.json` names the predictions that it is of.
    pub sha256: String,
    pub lines: Vec<Line>,
}

impl Predictions {
    /// Read a `predictions.jsonl`, or that of a run's split. Errors: none there, a line that is not a prediction, a clip
    /// given twice.
    pub fn read(path: &Path, split: &str) -> Result<Self> {
        let file = if path.is_dir() { path.join(split).join(PREDICTIONS) } else { path.to_path_buf() };
        let text = regular_file::read_to_string(&file, LINES).map_err(|e| match e.kind() {
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
        Ok(Self { file, sha256: checksum::of(text.as_bytes()), lines })
    }

    /// Errors: `metrics`, the scores beside these predictions, names the checksum `of` other ones, as a kill in the middle of
    /// `evaluate` leaves them. Versions up to 0.1 wrote no checksum.
    pub fn check_scores(&self, metrics: &Path, of: Option<&str>, remedy: &str) -> Result<()> {
        match of {
            Some(sum) if sum != self.sha256 => {
                let what = format!("scores of another {PREDICTIONS} than the one beside it");
                Err(Error::input(metrics, "", what, remedy))
            }
            _ => Ok(()),
        }
    }

    /// What is known of the references, where a `metrics.json` of `evaluate` is beside the predictions. Errors: it is of others.
    pub fn references(&self) -> Result<Option<References>> {
        #[derive(Deserialize)]
        struct Metrics {
            predictions_sha256: Option<String>,
            references: References,
        }
        let file = self.file.with_file_name(METRICS);
        let text = match regular_file::read_to_string(&file, SETTINGS) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::io(&file))?,
        };
        // A file of that name that another program wrote says nothing of the rules.
        let Ok(metrics) = serde_json::from_str::<Metrics>(&text) else { return Ok(None) };
        self.check_scores(&file, metrics.predictions_sha256.as_deref(), "evaluate the run again")?;
        Ok(Some(metrics.references))
    }

    /// The lines of `other` for the clips of `self`, in its order. Errors: a clip that only one has, or that has
    /// another reference.
    pub fn partners<'a>(&self, other: &'a Self) -> Result<Vec<&'a Line>> {
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
