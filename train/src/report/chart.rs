//! What the report's drawings share: axes with round ticks, lines, and marks that differ in shape as well as in colour.
//!
//! Drawings are SVG in units of their own; the page scales them to its width.

use maud::{Markup, html};
use std::fmt::Write;

/// A range of values along one side of a chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    step: f64,
}

impl Axis {
    /// From and to round numbers around `low` and `high`, with some five steps between them.
    pub(super) fn around(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { 1.0 };
        let rough = span / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(power);
        let from = (low / step + 1e-9).floor() * step;
        Self { from, to: ((low + span) / step - 1e-9).ceil() * step, step }
    }

    /// Exactly from `low` to `high`, ticks at round numbers between them.
    pub(super) fn exactly(low: f64, high: f64) -> Self {
        Self { from: low, to: high, ..Self::around(low, high) }
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.from / self.step - 1e-9).ceil();
        let last = (self.to / self.step + 1e-9).floor();
        (0..=(last - first).max(0.0) as usize).map(|i| (first + i as f64) * self.step).collect()
    }

    fn label(&self, tick: f64) -> String {
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        // No "-0".
        format!("{:.decimals$}", if tick.abs() < self.step / 2.0 { 0.0 } else { tick })
    }
}

/// A rectangle with axes at its left and lower side.
pub(super) struct Chart {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Chart {
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + (value - self.x.from) / (self.x.to - self.x.from) * self.width
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.top + self.height - (value - self.y.from) / (self.y.to - self.y.from) * self.height
    }

    /// Grid, ticks and the name of what lies along the lower side.
    pub(super) fn axes(&self, x_name: &str) -> Markup {
        let right = self.left + self.width;
        html! {
            g class="axes" {
                @for tick in self.y.ticks() {
                    line class="grid" x1=(n(self.left)) x2=(n(right)) y1=(n(self.y(tick))) y2=(n(self.y(tick))) {}
                    text class="end" x=(n(self.left - 6.0)) y=(n(self.y(tick) + 4.0)) { (self.y.label(tick)) }
                }
            }
            (self.axis_below(x_name))
        }
    }

    /// The lower side alone, with its ticks and its name.
    pub(super) fn axis_below(&self, x_name: &str) -> Markup {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        html! {
            g class="axes" {
                @for tick in self.x.ticks() {
                    line x1=(n(self.x(tick))) x2=(n(self.x(tick))) y1=(n(bottom)) y2=(n(bottom + 4.0)) {}
                    text class="middle" x=(n(self.x(tick))) y=(n(bottom + 17.0)) { (self.x.label(tick)) }
                }
                line x1=(n(self.left)) x2=(n(right)) y1=(n(bottom)) y2=(n(bottom)) {}
                text class="middle" x=(n(self.left + self.width / 2.0)) y=(n(bottom + 34.0)) { (x_name) }
            }
        }
    }

    /// The `d` of a path through `points`.
    pub(super) fn path(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut d = String::new();
        for (x, y) in points {
            let pen = if d.is_empty() { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(d, "{pen}{} {}", n(self.x(x)), n(self.y(y)));
        }
        d
    }
}

/// A number of a drawing, to a tenth of its unit.
pub(super) fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Colours that there are; more kinds of things share them and differ in shape.
pub(super) const COLOURS: usize = 6;
/// Kinds of marks that can be told apart without colour: six shapes, full and hollow.
pub(super) const MARKS: usize = 12;

/// Mark number `kind` (below [`MARKS`]) at a point, `r` its radius.
pub(super) fn mark(kind: usize, x: f64, y: f64, r: f64) -> Markup {
    let corner = |angle: f64, radius: f64| {
        let (sin, cos) = angle.to_radians().sin_cos();
        format!("{} {}", n(x + radius * cos), n(y + radius * sin))
    };
    let polygon = |corners: &[(f64, f64)]| {
        let points: Vec<String> = corners.iter().map(|&(angle, radius)| corner(angle, radius * r)).collect();
        format!("M{}Z", points.join("L"))
    };
    let d = match kind % COLOURS {
        0 => format!("M{} {y}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0Z", n(x - r), 2.0 * r, 2.0 * r, y = n(y)),
        1 => polygon(&[(45.0, 1.2), (135.0, 1.2), (225.0, 1.2), (315.0, 1.2)]),
        2 => polygon(&[(-90.0, 1.3), (30.0, 1.3), (150.0, 1.3)]),
        3 => polygon(&[(0.0, 1.3), (90.0, 1.3), (180.0, 1.3), (270.0, 1.3)]),
        4 => polygon(&[(90.0, 1.3), (210.0, 1.3), (330.0, 1.3)]),
        _ => {
            let star: Vec<(f64, f64)> =
                (0..10).map(|i| (f64::from(i) * 36.0 - 90.0, if i % 2 == 0 { 1.5 } else { 0.6 })).collect();
            polygon(&star)
        }
    };
    let fill = if kind < COLOURS { "full" } else { "hollow" };
    html! { path class=(format!("mark {fill} c{}", kind % COLOURS)) d=(d) {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let labels = |axis: Axis| axis.ticks().iter().map(|t| axis.label(*t)).collect::<Vec<_>>();
        assert_eq!(labels(Axis::around(0.0, 23.7)), ["0", "5", "10", "15", "20", "25"]);
        assert_eq!(labels(Axis::around(0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::exactly(0.0, 7.3)), ["0", "2", "4", "6"]);
        // One value only, and a range below zero.
        assert_eq!(labels(Axis::around(3.0, 3.0)).first().map(String::as_str), Some("3.0"));
        assert_eq!(labels(Axis::around(-2.0, 2.0)), ["-2", "-1", "0", "1", "2"]);
    }

    #[test]
    fn paths_turn_the_axis_round() {
        let [x, y] = [Axis::around(0.0, 10.0), Axis::around(0.0, 1.0)];
        let chart = Chart { left: 10.0, top: 5.0, width: 100.0, height: 50.0, x, y };
        assert_eq!(chart.path([(0.0, 0.0), (5.0, 1.0), (10.0, 0.5)]), "M10 55L60 5L110 30");
    }
}
