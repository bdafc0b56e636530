//! The table of an ablation, from the `ablation.json` that the ablation's command wrote.

use super::page::{missing, section};
use maud::{Markup, html};
use serde::Deserialize;
use signclip_common::{Error, Result};
use std::path::Path;

/// `ablation.json`: a row for each variant. Fields that the report does not show are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Ablation {
    rows: Vec<Row>,
}

/// One variant: means over its seeds.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    /// 0 to 100.
    bleu4: f64,
    /// 0 to 1; absent where no list of ambiguous words was given.
    ambiguous_accuracy: Option<f64>,
    by_seed: Vec<Seed>,
    /// How far it is from other rows.
    #[serde(default)]
    against: Vec<Against>,
}

#[derive(Debug, Deserialize)]
struct Seed {
    seed: u64,
    bleu4: f64,
    ambiguous_accuracy: Option<f64>,
}

/// BLEU-4 of a row less that of another, and the p-value of the paired bootstrap.
#[derive(Debug, Deserialize)]
struct Against {
    row: String,
    difference: f64,
    p: f64,
}

impl Ablation {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
        let ablation: Self = serde_json::from_str(&text).map_err(|e| {
            Error::input(file, "", e.to_string(), "give an ablation.json as the ablation's command writes it")
        })?;
        if ablation.rows.is_empty() {
            return Err(Error::input(file, "rows", "no rows", "run the ablation first"));
        }
        Ok(ablation)
    }
}

pub(super) fn show(ablation: Option<&Ablation>) -> Markup {
    let body = match ablation {
        None => missing(
            "No ablation was given (each part of the model alone and together, over several seeds).",
            "just ablate CACHE\nevaluate report RUN --ablation ablation.json",
        ),
        Some(Ablation { rows }) => html! {
            @let best = |row: &Row| row.by_seed.iter().map(|seed| seed.bleu4).fold(row.bleu4, f64::max);
            @let most = rows.iter().map(best).fold(1.0, f64::max).ceil();
            div class="scroll" {
                table class="numbers" {
                    caption { span {
                    "Means over the seeds; strokes on the bar are the seeds. Ambiguous words: share of the words that only the \
                     mouth tells apart which were translated right."
                } }
                    thead { tr {
                        th scope="col" { "Variant" }
                        th scope="col" class="right" { "BLEU-4" }
                        th scope="col" { (format!("0 to {most:.0}")) }
                        th scope="col" { "by seed" }
                        th scope="col" class="right" { "Ambiguous words" }
                        th scope="col" { "by seed" }
                        th scope="col" { "Difference in BLEU-4" }
                    } }
                    tbody { @for row in rows { tr {
                        th scope="row" { (row.name) }
                        td class="right" { (format!("{:.2}", row.bleu4)) }
                        td class="bar" { (bar(row, most)) }
                        td { (list(&row.by_seed, |seed| Some(format!("{:.2}", seed.bleu4)))) }
                        td class="right" {
                            @match row.ambiguous_accuracy { Some(value) => (percent(value)), None => "–" }
                        }
                        td { (list(&row.by_seed, |seed| seed.ambiguous_accuracy.map(percent))) }
                        td { @for other in &row.against {
                            p class="against" {
                                (format!("{:+.2}", other.difference)) " to " (other.row) ", p " (format!("{:.3}", other.p))
                            }
                        } }
                    } } }
                }
            }
        },
    };
    section("ablation", "Ablation", body)
}

/// A share as it is read.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The values of the seeds.
fn list(seeds: &[Seed], value: impl Fn(&Seed) -> Option<String>) -> String {
    let values = seeds.iter().filter_map(|seed| Some(format!("{}: {}", seed.seed, value(seed)?)));
    values.collect::<Vec<_>>().join(", ")
}

/// Mean as a bar, the seeds as upright strokes on it.
fn bar(row: &Row, most: f64) -> Markup {
    let x = |value: f64| format!("{:.1}", 100.0 * value / most);
    html! {
        svg viewBox="0 0 104 14" preserveAspectRatio="none" aria-hidden="true" {
            rect class="c0" x="0" y="3" width=(x(row.bleu4)) height="8" {}
            @for seed in &row.by_seed { line x1=(x(seed.bleu4)) x2=(x(seed.bleu4)) y1="0" y2="14" {} }
        }
    }
}
