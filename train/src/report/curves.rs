//! How the run learned: losses by step and scores on the validation split by epoch, from `log.jsonl`.

use super::chart::{Axis, Chart, n};
use super::page::{missing, section};
use crate::metrics::Scores;
use crate::metrics::sentence::Measure;
use crate::training::step_log::LOG;
use maud::{Markup, html};
use serde_json::Value;
use signclip_common::regular_file::{self, LINES};
use signclip_common::{Error, Result};
use std::path::Path;

/// Points of a line at the most; longer ones are drawn as means of equal stretches.
const POINTS: usize = 400;

/// Scores that are drawn.
const SHOWN: [Measure; 3] = [Measure::Bleu4, Measure::Chrf, Measure::RougeL];

/// What the log of a run says.
pub(super) struct Curves {
    /// Total loss and its parts that are not always absent, each `(step, value)`.
    losses: Vec<Line>,
    /// Scores on the validation split, 0 to 100, each `(epoch, value)`.
    scores: Vec<Line>,
    split: String,
    /// Steps that one point of a loss stands for.
    stretch: usize,
}

struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

impl Curves {
    /// Read the log of the run in `folder`; `None` where it has none. A last line without line end is the trace of a
    /// kill. Errors: a line that is not the trainer's.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(LOG);
        let text = match regular_file::read_to_string(&file, LINES) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&file)(e)),
        };
        let mut losses = ["loss", "trans", "vt", "sm"].map(|name| Line { name, points: Vec::new() });
        let mut scores = SHOWN.map(|measure| Line { name: measure.name(), points: Vec::new() });
        let mut split = String::new();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        for (number, line) in (1..).zip(lines) {
            let wrong = |what: &str| {
                let remedy = "the log is damaged: take the line out, or give another run";
                Error::input(&file, format!("line {number}"), what, remedy)
            };
            let json: Value = serde_json::from_str(line).map_err(|_| wrong("no JSON"))?;
            let step = json["step"].as_f64().ok_or_else(|| wrong("no step"))?;
            if json.get("loss").is_some() {
                for line in &mut losses {
                    line.points.extend(json[line.name].as_f64().map(|value| (step + 1.0, value)));
                }
                continue;
            }
            let epoch = json["epoch"].as_f64().ok_or_else(|| wrong("no epoch"))?;
            let validation = json.as_object().and_then(|fields| fields.iter().find(|(_, v)| v.is_object()));
            let (name, of) = validation.ok_or_else(|| wrong("neither a step nor a validation"))?;
            split.clone_from(name);
            let of: Scores = serde_json::from_value(of.clone())
                .map_err(|_| wrong("scores of another version of this tool"))?;
            for (line, measure) in scores.iter_mut().zip(SHOWN) {
                line.points.push((epoch, of.get(measure)));
            }
        }
        let stretch = losses[0].points.len().div_ceil(POINTS).max(1);
        losses.iter_mut().for_each(|line| line.points = means(&line.points, stretch));
        let drawn = |lines: Vec<Line>| lines.into_iter().filter(|line| !line.points.is_empty()).collect();
        Ok(Some(Self { losses: drawn(losses.into()), scores: drawn(scores.into()), split, stretch }))
    }
}

/// Means of every `stretch` points.
fn means(points: &[(f64, f64)], stretch: usize) -> Vec<(f64, f64)> {
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    points.chunks(stretch).map(mean).collect()
}

/// The section; `train` is the command that makes a log, `best` the epoch whose weights were kept.
pub(super) fn show(curves: Option<&Curves>, best: Option<usize>, train: &str) -> Markup {
    let body = match curves {
        None => missing("The run has no log.jsonl, so nothing is known of how it learned.", train),
        Some(curves) => html! {
            div class="charts" {
                figure {
                    (draw(&curves.losses, "Loss by step", "step", None))
                    figcaption {
                        "Loss by step: the total, and its parts translation (trans), visual-text contrast (vt) and \
                         sign-mouthing contrast (sm) before they are weighted."
                        @if curves.stretch > 1 { " Each point is the mean of " (curves.stretch) " steps." }
                    }
                }
                @if curves.scores.is_empty() {
                    (missing("The run was not validated yet: it has no scores by epoch.", train))
                } @else {
                    figure {
                        (draw(&curves.scores, &format!("Scores on {} by epoch", curves.split), "epoch", best))
                        figcaption {
                            "Scores on the split " code { (curves.split) } " by epoch (BLEU-4 13a, chrF, ROUGE-L F1 with \
                             stemmer; 0 to 100)."
                            @if let Some(epoch) = best { " The weights of epoch " (epoch) " were kept (upright line)." }
                        }
                    }
                }
            }
        },
    };
    section("curves", "Training", body)
}

fn draw(lines: &[Line], title: &str, x_name: &str, upright: Option<usize>) -> Markup {
    let values = || lines.iter().flat_map(|line| &line.points);
    let last = values().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) =
        values().fold((0.0_f64, 0.0_f64), |(low, high), point| (low.min(point.1), high.max(point.1)));
    let chart = Chart {
        left: 46.0,
        top: 12.0,
        width: 424.0,
        height: 240.0,
        x: Axis::exactly(0.0, last),
        y: Axis::around(low, high),
    };
    let ends: Vec<f64> = lines.iter().map(|line| line.points.last().map_or(0.0, |p| chart.y(p.1))).collect();
    let said =
        lines.iter().filter_map(|line| Some(format!("{} ends at {:.2}", line.name, line.points.last()?.1)));
    let label = format!("{title}: {}.", said.collect::<Vec<_>>().join(", "));
    html! {
        svg viewBox="0 0 540 300" role="img" aria-label=(label) {
            (chart.axes(x_name))
            @if let Some(epoch) = upright.map(|epoch| chart.x(epoch as f64)) {
                line class="upright" x1=(n(epoch)) x2=(n(epoch)) y1=(n(chart.top)) y2=(n(chart.top + chart.height)) {}
            }
            @for ((number, line), y) in lines.iter().enumerate().zip(apart(&ends, 14.0)) {
                path class=(format!("line c{number} d{number}")) d=(chart.path(line.points.iter().copied())) {}
                @for &(x, y) in line.points.iter().filter(|_| line.points.len() <= 40) {
                    (super::chart::mark(number, chart.x(x), chart.y(y), 3.0))
                }
                text class=(format!("name t{number}")) x=(n(chart.left + chart.width + 8.0)) y=(n(y + 4.0)) { (line.name) }
            }
        }
    }
}

/// Heights of labels moved down until they are `space` apart.
fn apart(wanted: &[f64], space: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut placed = vec![0.0; wanted.len()];
    let mut free = f64::NEG_INFINITY;
    for at in order {
        placed[at] = wanted[at].max(free);
        free = placed[at] + space;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::final_dot::FinalDot;
    use crate::metrics::units::Units;

    #[test]
    fn a_log_is_read_up_to_where_it_was_cut_off() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        assert!(Curves::read(folder.path())?.is_none());
        let file = folder.path().join(LOG);
        let write = |text: &str| std::fs::write(&file, text).map_err(Error::io(&file));
        let dev =
            Scores::of(&["am montag regnet es"], &["am montag schneit es"], Units::Words, FinalDot::AsGiven);
        let scores = serde_json::json!(dev);
        write(&format!(
            "{{\"step\":0,\"loss\":3,\"trans\":2,\"vt\":1,\"sm\":null}}\n{{\"step\":1,\"loss\":2,\"trans\":1,\"vt\":1}}\n\
             {{\"step\":2,\"epoch\":1,\"dev\":{scores}}}\n{{\"step\":2,\"lo"
        ))?;
        let curves = Curves::read(folder.path())?.expect("a log");
        let of = |lines: &[Line]| lines.iter().map(|l| (l.name, l.points.clone())).collect::<Vec<_>>();
        assert_eq!(
            of(&curves.losses),
            [
                ("loss", vec![(1.0, 3.0), (2.0, 2.0)]),
                ("trans", vec![(1.0, 2.0), (2.0, 1.0)]),
                ("vt", vec![(1.0, 1.0), (2.0, 1.0)])
            ]
        );
        let want = SHOWN.map(|measure| (measure.name(), vec![(1.0, dev.get(measure))]));
        assert_eq!((of(&curves.scores), curves.split.as_str()), (want.to_vec(), "dev"));
        // Three words of four.
        assert_eq!(curves.scores[2].points, [(1.0, 75.0)]);
        write("{\"step\":0}\n")?;
        let error = Curves::read(folder.path()).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("log.jsonl, line 1: no epoch; ")));
        Ok(())
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        assert_eq!(apart(&[50.0, 10.0, 52.0, 53.0], 14.0), [50.0, 10.0, 64.0, 78.0]);
        assert_eq!(means(&[(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)], 2), [(1.5, 3.0), (3.0, 6.0)]);
    }
}
