//! The table of an ablation.

use super::page::{missing, section};
use crate::metrics::ablation::{Ablation, Row, Seed};
use maud::{Markup, html};

pub(super) fn show(ablation: Option<&Ablation>) -> Markup {
    let body = match ablation {
        None => missing(
            "No ablation was given (each part of the model alone and together, over several seeds).",
            "just ablate CACHE\nevaluate report RUN --ablation ablation.json",
        ),
        Some(ablation @ Ablation { rows, .. }) => html! {
            @let best = |row: &Row| row.by_seed.iter().map(|seed| seed.bleu4).fold(row.bleu4, f64::max);
            @let seed_list = ablation.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            @let most = rows.iter().map(best).fold(1.0, f64::max).ceil();
            div class="scroll" {
                table class="numbers" {
                    caption { span {
                    "Means over the seeds; below them, and as strokes on the bar, seed by seed (" (seed_list) "). \
                     Ambiguous words: share of the words that only the mouth tells apart which were translated right. \
                     In brackets: 95 % interval over seeds and sentences; certain is what remains after Holm's correction \
                     for the number of differences."
                } }
                    thead { tr {
                        th scope="col" { "Variant" }
                        th scope="col" class="right" { "BLEU-4" }
                        th scope="col" { (format!("0 to {most:.0}")) }
                        th scope="col" class="right" { "Ambiguous words" }
                        th scope="col" { "Difference in BLEU-4" }
                    } }
                    tbody { @for row in rows { tr {
                        th scope="row" { (row.name) }
                        td class="right" {
                            (format!("{:.2}", row.bleu4))
                            (seeds(&row.by_seed, |seed| Some(format!("{:.2}", seed.bleu4))))
                        }
                        td class="bar" { (bar(row, most)) }
                        td class="right" {
                            @match row.ambiguous_accuracy { Some(value) => (percent(value)), None => "–" }
                            @if let Some([low, high]) = row.ambiguous_interval { " [" (percent(low)) ", " (percent(high)) "]" }
                            (seeds(&row.by_seed, |seed| seed.ambiguous_accuracy.map(percent)))
                        }
                        td { @for other in &row.against {
                            p class="against" {
                                (other.shown()) " to " (other.row)
                                @if !other.holds { ", not certain" }
                                @if let Some(paper) = other.paper { "; paper " (format!("{paper:+.2}")) }
                            }
                        } }
                    } } }
                }
            }
            @match ablation.not_reproduced().as_deref() {
                None => {}
                Some([]) => p {
                    "Every difference of the paper's Table " (ablation.paper_table) " is here too (same sign, and certain)."
                }
                Some(missed) => {
                    p { "Of the paper's Table " (ablation.paper_table) " these runs do not show (other sign, or not certain):" }
                    ul { @for line in missed { li { (line) } } }
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

/// The values of the seeds, in their order.
fn seeds(seeds: &[Seed], value: impl Fn(&Seed) -> Option<String>) -> Markup {
    html! { @for value in seeds.iter().filter_map(value) { span class="seed" { (value) } } }
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
