//! The scores of a split, from the `metrics.json` that `evaluate` wrote.

use super::page::{missing, section};
use crate::metrics::floor::Floor;
use crate::metrics::predictions::{METRICS, Predictions, References};
use crate::metrics::sentence::Measure;
use crate::metrics::{Row, Scores};
use maud::{Markup, html};
use serde::Deserialize;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result};

/// What the report takes from `metrics.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Metrics {
    split: String,
    pub(super) clips: usize,
    predictions_sha256: Option<String>,
    pub(super) weights: Weights,
    pub(super) references: References,
    pub(super) scores: Scores,
    /// Absent in files of earlier versions.
    floor: Option<Floor>,
    scores_without_final_dot: Option<Scores>,
}

/// Which weights translated.
#[derive(Debug, Deserialize)]
pub(super) struct Weights {
    pub(super) epoch: usize,
}

impl Metrics {
    /// Those beside `predictions`. Errors: none there, another program's, or of other predictions.
    pub(super) fn beside(predictions: &Predictions, split: &str, again: &str) -> Result<Self> {
        let file = predictions.file.with_file_name(METRICS);
        let wrong = |what: String| Error::input(&file, "", what, format!("make both again with: {again}"));
        let text = regular_file::read_to_string(&file, SETTINGS).map_err(|e| wrong(e.to_string()))?;
        let metrics: Self = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if metrics.split != split {
            return Err(wrong(format!("scores of {}, beside predictions of {split}", metrics.split)));
        }
        if metrics.clips != predictions.lines.len() {
            let lines = predictions.lines.len();
            return Err(wrong(format!("scores of {} clips, beside {lines} predictions", metrics.clips)));
        }
        let remedy = format!("make both again with: {again}");
        predictions.check_scores(&file, metrics.predictions_sha256.as_deref(), &remedy)?;
        Ok(metrics)
    }
}

/// The section; `evaluate` is the command that makes scores.
pub(super) fn show(metrics: Option<&Metrics>, evaluate: &str) -> Markup {
    let body = match metrics {
        None => missing("The split was not translated yet.", evaluate),
        Some(metrics) => html! {
            div class="tiles" {
                @for (name, value, interval) in headline(&metrics.scores) {
                    div class="tile" {
                        span class="name" { (name) }
                        span class="value" { (format!("{value:.2}")) }
                        span class="interval" { (interval) }
                    }
                }
            }
            @if let Some(floor) = &metrics.floor {
                p {
                    "Floor of BLEU-4, reached without looking: " (floor.shown(Measure::Bleu4)) ". Alone the language model \
                     says " q { (floor.sentence) } "."
                }
            }
            @let ending = if metrics.references.rules.final_dot {
                "with a final full stop on both sides, as SpaMo and SignClip score"
            } else {
                "as they are"
            };
            details {
                summary { "Every score with its signature" }
                (table(&metrics.scores, &format!("References {ending}.")))
            }
            @if let Some(scores) = &metrics.scores_without_final_dot {
                details {
                    summary { "Without the final full stop" }
                    (table(scores, "Without the final full stop on either side, as the annotations are."))
                }
            }
        },
    };
    section("scores", "Scores", body)
}

/// The main figures: name, value, interval.
fn headline(scores: &Scores) -> Vec<(String, f64, String)> {
    let interval =
        |row: &Row| row.interval.map_or(String::new(), |i| format!("95 %: {:.2} to {:.2}", i.low, i.high));
    scores
        .main_rows()
        .into_iter()
        .map(|row| (interval(&row), row))
        .map(|(i, row)| (row.name, row.value, i))
        .collect()
}

fn table(scores: &Scores, caption: &str) -> Markup {
    let bootstrap = &scores.bootstrap;
    html! {
        div class="scroll" {
            table class="numbers" {
                caption { span {
                    (caption) " " (scores.sentences) " sentences; 0 to 100; interval: 95 % of " (bootstrap.resamples)
                    " bootstrap resamples, seed " (bootstrap.seed) "."
                } }
                thead { tr {
                    th scope="col" { "Score" }
                    th scope="col" class="right" { "Value" }
                    th scope="col" class="right" { "95 % interval" }
                    th scope="col" { "Signature" }
                } }
                tbody { @for row in scores.rows() { tr {
                    th scope="row" { (row.name) }
                    td class="right" { (format!("{:.2}", row.value)) }
                    td class="right" {
                        @if let Some(i) = row.interval { (format!("{:.2} to {:.2}", i.low, i.high)) }
                    }
                    td class="signature" { (row.signature) }
                } } }
            }
        }
    }
}
