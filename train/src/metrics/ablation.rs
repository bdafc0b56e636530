//! What an ablation found: the content of `ablation.json`, which `ablate` writes and `evaluate report` shows.

use crate::metrics::paper_models::{PaperModels, PaperScores};
use serde::{Deserialize, Serialize};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result};
use std::path::Path;

/// A table of runs. It has no times and no names of machines: the same runs give the same file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ablation {
    pub features: String,
    pub split: String,
    pub sentences: usize,
    pub seeds: Vec<u64>,
    /// What all rows were trained with.
    pub shared: Vec<String>,
    /// How BLEU-4 and ROUGE-L were computed.
    pub signatures: [String; 2],
    pub bootstrap: Resampling,
    /// Words of pairs in the references; null where no list was given.
    pub ambiguous_cases: Option<usize>,
    /// Number of the paper's table that the rows are beside.
    #[serde(default = "components_table")]
    pub paper_table: u32,
    /// What is to be known of the paper's rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
    /// The best that a rendered corpus allows, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// What a rendered corpus allows at most, computed from its generator: the content of `best.json` in its folder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Best {
    pub hands_and_mouth: BestScores,
    pub hands_alone: BestScores,
}

/// Shares, 0 to 1.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct BestScores {
    pub ambiguous_accuracy: f64,
    pub exact_sentences: f64,
}

impl Best {
    /// Errors: not a `best.json`.
    pub fn read(file: &Path) -> Result<Self> {
        let text = regular_file::read_to_string(file, SETTINGS).map_err(Error::io(file))?;
        serde_json::from_str(&text).map_err(|e| {
            Error::input(file, "", e.to_string(), "give the best.json that render-corpus writes")
        })
    }
}

/// The paper's table of the parts of its model.
pub const COMPONENTS_TABLE: u32 = 5;

fn components_table() -> u32 {
    COMPONENTS_TABLE
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resampling {
    pub resamples: usize,
    pub seed: u64,
}

/// One variant of the model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub settings: Vec<String>,
    /// The paper's scores with this language model, in the table of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperScores>,
    /// Means over the seeds, 0 to 100.
    pub bleu4: f64,
    pub rouge_l: f64,
    /// Mean over the seeds of the share of right words, 0 to 1; null where no list was given.
    pub ambiguous_accuracy: Option<f64>,
    /// 95 % interval of it over seeds and sentences; absent in tables of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambiguous_interval: Option<[f64; 2]>,
    /// Mean share of cases in which the partner was said instead, 0 to 1.
    pub ambiguous_swapped: Option<f64>,
    /// Mean share of translations that are their reference to the letter, 0 to 1; absent in tables of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<f64>,
    /// Mean BLEU-4 where each clip has the translation of another one: what a score is worth without looking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bleu4_of_others: Option<f64>,
    /// Standard deviations over the seeds; null with one seed.
    pub bleu4_deviation: Option<f64>,
    pub ambiguous_accuracy_deviation: Option<f64>,
    pub by_seed: Vec<Seed>,
    pub against: Vec<Against>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seed {
    pub seed: u64,
    pub bleu4: f64,
    pub rouge_l: f64,
    pub ambiguous_accuracy: Option<f64>,
}

/// BLEU-4 of this row less that of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Against {
    pub row: String,
    pub difference: f64,
    /// 95 %, over seeds and sentences (see [`Difference`](crate::metrics::difference::Difference)); absent in tables of
    /// versions that had a p-value of the sentences alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Whether it is called a difference: by Holm's correction for all differences of the table.
    #[serde(default)]
    pub holds: bool,
    /// Whether the interval knows how seeds vary.
    #[serde(default)]
    pub seeds_known: bool,
    /// Probability of so large a difference where there is none, for a correction over several tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// The same difference in the paper's table (PHOENIX14T); null for rows that are not in it.
    pub paper: Option<f64>,
}

impl Against {
    /// Whether the paper's difference is here too: of the same sign, and one that holds. `None` where the paper has none.
    pub fn reproduced(&self) -> Option<bool> {
        self.paper.map(|paper| self.difference * paper > 0.0 && self.holds)
    }

    /// The difference with its interval.
    pub fn shown(&self) -> String {
        let interval = self
            .interval
            .map_or(", no interval".to_owned(), |[low, high]| format!(" [{low:+.2}, {high:+.2}]"));
        format!("{:+.2}{interval}", self.difference)
    }
}

impl Ablation {
    /// Errors: not an `ablation.json`, no rows.
    pub fn read(file: &Path) -> Result<Self> {
        let text = regular_file::read_to_string(file, SETTINGS).map_err(Error::io(file))?;
        let ablation: Self = serde_json::from_str(&text).map_err(|e| {
            Error::input(file, "", e.to_string(), "give an ablation.json as the ablation's command writes it")
        })?;
        if ablation.rows.is_empty() {
            return Err(Error::input(file, "rows", "no rows", "run the ablation first"));
        }
        for row in &ablation.rows {
            let turned = row.against.iter().filter_map(|other| other.interval).find(|[low, high]| low > high);
            if let Some([low, high]) = turned {
                let what = format!("the row {} has an interval from {low} to {high}", row.name);
                return Err(Error::input(file, "interval", what, "make the table again with ablate"));
            }
        }
        Ok(ablation)
    }

    /// Put the paper's scores beside rows that each have a language model.
    pub fn beside(&mut self, paper: &PaperModels) {
        self.paper_table = paper.table;
        self.rows.iter_mut().for_each(|row| row.paper = paper.of(&row.name));
        if self.rows.iter().any(|row| row.paper.is_some()) {
            self.notes.clone_from(&paper.notes);
        }
    }

    /// What of the paper's table these runs do not show, a line each, and whether there is anything to compare.
    pub fn not_reproduced(&self) -> Option<Vec<String>> {
        let compared = || self.rows.iter().flat_map(|row| row.against.iter().map(move |other| (row, other)));
        let missed = compared().filter(|(_, other)| other.reproduced() == Some(false));
        let line = |(row, other): (&Row, &Against)| {
            let paper = other.paper.unwrap_or_default();
            format!("{} on {}: {}; the paper has {paper:+.2}", row.name, other.row, other.shown())
        };
        compared().any(|(_, other)| other.paper.is_some()).then(|| missed.map(line).collect())
    }
}
