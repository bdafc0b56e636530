//! The rows of an ablation as a picture that stands alone: `ablate` writes it beside its table.

use super::chart::{Axis, Chart, mark, n};
use crate::metrics::ablation::{Ablation, Row};
use maud::{Markup, html};

/// Height of a row, and width of everything.
const ROW: f64 = 26.0;
const WIDTH: f64 = 860.0;

/// Colours are those of the report, on white; nothing of the page around it is needed.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1b1f24; } .title { font-weight: 600; } .end { text-anchor: end; } \
.middle { text-anchor: middle; } .doubt, .axes text { fill: #59636e; } line { stroke: #c8ced6; } \
.bar { fill: #0b62a4; opacity: 0.3; } .mark { fill: #0b62a4; }";

/// BLEU-4 of each row as a bar, of each seed as a dot on it, and at its right what the row adds to the one below it, in
/// grey where that is not certain. An SVG file's content.
pub fn rows_picture(ablation: &Ablation) -> String {
    let rows = &ablation.rows;
    let scores = rows.iter().flat_map(|row| row.by_seed.iter().map(|seed| seed.bleu4).chain([row.bleu4]));
    let height = ROW * rows.len() as f64;
    let chart = Chart {
        left: 140.0,
        top: 34.0,
        width: 330.0,
        height,
        x: Axis::around(0.0, scores.fold(1.0, f64::max)),
        y: Axis::exactly(0.0, rows.len() as f64),
    };
    let title = match ablation.seeds.len() {
        1 => format!("BLEU-4 on {}, one seed", ablation.split),
        seeds => format!("BLEU-4 on {}: {seeds} seeds as dots, their mean as a bar", ablation.split),
    };
    let said = rows.iter().map(|row| format!("{} {:.1}", row.name, row.bleu4)).collect::<Vec<_>>().join(", ");
    let all = chart.top + height + 44.0;
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {}", n(all))) role="img"
            aria-label=(format!("{title}: {said}.")) {
            style { (STYLE) }
            rect width=(WIDTH) height=(n(all)) fill="#fff" {}
            text class="title" x="12" y="20" { (title) }
            (chart.axis_below("BLEU-4"))
            @for (number, row) in rows.iter().enumerate() { (show(row, &chart, chart.top + ROW * (number as f64 + 0.5))) }
        }
    };
    format!("{}\n", picture.into_string())
}

/// A row, its middle at the height `y`.
fn show(row: &Row, chart: &Chart, y: f64) -> Markup {
    let text = n(y + 4.5);
    html! {
        text class="end" x=(n(chart.left - 10.0)) y=(text) { (row.name) }
        rect class="bar" x=(n(chart.left)) y=(n(y - 8.0)) width=(n(chart.x(row.bleu4) - chart.left)) height="16" {}
        @for seed in &row.by_seed { (mark(0, chart.x(seed.bleu4), y, 3.0)) }
        @let right = chart.left + chart.width + 12.0;
        text x=(n(right)) y=(text) { (format!("{:.1}", row.bleu4)) }
        @if let Some(below) = row.against.first() {
            text class=[(!below.holds).then_some("doubt")] x=(n(right + 40.0)) y=(text) {
                (below.shown()) " on " (below.row) @if !below.holds { ", not certain" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Bars and dots lie where the axis has their values, and doubt is written, not only coloured.
    #[test]
    fn a_row_is_drawn_to_scale() {
        let row = |name: &str, scores: [f64; 2], against: serde_json::Value| {
            let by_seed = scores.map(|score| json!({ "seed": 0, "bleu4": score, "rouge_l": 1.0 }));
            json!({ "name": name, "settings": [], "bleu4": (scores[0] + scores[1]) / 2.0, "rouge_l": 1.0,
                    "by_seed": by_seed, "against": against })
        };
        let against =
            json!([{ "row": "<one>", "difference": 20.0, "interval": [-1.5, 41.5], "holds": false }]);
        let ablation: Ablation = serde_json::from_value(json!({
            "features": "", "split": "test", "sentences": 9, "seeds": [0, 1], "shared": [], "signatures": ["", ""],
            "bootstrap": { "resamples": 1000, "seed": 12345 },
            "rows": [row("<one>", [10.0, 20.0], json!([])), row("two", [30.0, 40.0], against)]
        }))
        .expect("a table");
        let picture = rows_picture(&ablation);
        // The axis goes from 0 at 140 to 40 at 470.
        assert!(
            picture.contains(r#"<rect class="bar" x="140" y="39" width="123.8" height="16">"#),
            "{picture}"
        );
        assert!(
            picture.contains(r#"<rect class="bar" x="140" y="65" width="288.8" height="16">"#),
            "{picture}"
        );
        assert!(picture.contains(r#"d="M467 73a3 3"#), "{picture}");
        assert!(picture.contains("+20.00 [-1.50, +41.50] on &lt;one&gt;, not certain"), "{picture}");
        assert!(picture.contains("2 seeds as dots") && !picture.contains("<one>"), "{picture}");
    }
}
