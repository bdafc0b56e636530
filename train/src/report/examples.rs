//! The gate over time of some clips, above the frames and mouths it belongs to.

use super::chart::{Axis, Chart, n};
use super::clip::Clip;
use super::page::{missing, section};
use super::sheet::Sheet;
use super::translations::pair;
use crate::report::gate_track::GateTrack;
use maud::{Markup, html};
use signclip_common::{Error, Result};

/// One clip with what there is of it.
pub(super) struct Example<'r> {
    pub(super) clip: &'r Clip,
    /// Why it is shown.
    pub(super) why: &'static str,
    pub(super) track: Option<&'r GateTrack>,
    pub(super) sheet: Option<Sheet>,
}

/// The clips `ids`, else those with the best, the median and the worst translation (by BLEU-4 of the sentence, then
/// chrF). Errors: an id that is not there.
pub(super) fn choose<'r>(clips: &'r [Clip], ids: &[String]) -> Result<Vec<(&'r Clip, &'static str)>> {
    if !ids.is_empty() {
        let find = |id: &String| {
            clips.iter().find(|clip| clip.id == *id).map(|clip| (clip, "chosen")).ok_or_else(|| {
                Error::usage(
                    format!("--clips {id}: no such clip"),
                    "ids are in predictions.jsonl of the split",
                )
            })
        };
        return ids.iter().map(find).collect();
    }
    let mut order: Vec<&Clip> = clips.iter().collect();
    let score = |clip: &Clip| (clip.scores.bleu4, clip.scores.chrf);
    order.sort_by(|a, b| score(b).partial_cmp(&score(a)).unwrap_or(std::cmp::Ordering::Equal));
    let Some(last) = order.len().checked_sub(1) else { return Ok(Vec::new()) };
    let mut places = vec![(0, "best"), (last / 2, "median"), (last, "worst")];
    places.dedup_by_key(|(place, _)| *place);
    Ok(places.into_iter().map(|(place, why)| (order[place], why)).collect())
}

/// What the section needs besides the clips.
pub(super) struct Context<'r> {
    /// Frames per second.
    pub(super) fps: f64,
    /// What is not there, with the command that makes it.
    pub(super) missing: Vec<(&'r str, &'r str)>,
    /// Mean of the gate over all frames of the split.
    pub(super) overall: Option<f32>,
}

pub(super) fn show(examples: &[Example], context: &Context) -> Markup {
    // One range for all clips, so that they can be compared; half of the way is always in it.
    let bands = || {
        examples
            .iter()
            .filter_map(|example| example.track)
            .flat_map(|track| track.low.iter().chain(&track.high))
    };
    let (low, high) =
        bands().fold((0.5_f64, 0.5_f64), |(low, high), &g| (low.min(g.into()), high.max(g.into())));
    let range = Axis::around(low, high);
    let body = html! {
        @if let Some(overall) = context.overall {
            p {
                "The gate g weighs hands against mouth in each channel of each frame: Z" sub { "fused" } " = g ⊙ Z'"
                sub { "s" } " + (1 − g) ⊙ Z'" sub { "m" } ". 1 is hands alone, 0 mouth \
                alone. The line is its mean over the channels, the band holds the middle half of the channels."
                " The scale is that of the clips shown. Over all frames of the split the mean is "
                strong { (format!("{overall:.3}")) } "."
            }
        }
        @for (what, command) in &context.missing { (missing(what, command)) }
        @for (number, example) in examples.iter().enumerate() {
            article class="example" {
                h3 { (example.why) ": " (example.clip.id) }
                p class="facts" {
                    "BLEU-4 " (format!("{:.1}", example.clip.scores.bleu4)) ", chrF "
                    (format!("{:.1}", example.clip.scores.chrf))
                    @if let Some(facts) = &example.clip.facts {
                        ", " (facts.frames) " frames"
                        @if let Some(signer) = &facts.signer { ", signer " (signer) }
                        @if let Some(face) = facts.face_coverage { ", face in " (format!("{:.0}", 100.0 * face)) " %" }
                    }
                }
                (pair(&example.clip.reference, &example.clip.hypothesis, example.clip.counts.units))
                (draw(example, number, context.fps, range))
            }
        }
    };
    section("gate", "Gate over time", body)
}

/// Gate, frames and mouths along one axis of time; nothing where there is neither gate nor sheet.
fn draw(example: &Example, number: usize, fps: f64, range: Axis) -> Markup {
    const WIDTH: f64 = 900.0;
    let (left, width) = (92.0, WIDTH - 92.0 - 16.0);
    let Some(facts) = &example.clip.facts else { return html! {} };
    if example.track.is_none() && example.sheet.is_none() {
        return html! {};
    }
    let time = Axis::exactly(0.0, facts.frames as f64 / fps);
    let gate_height = if example.track.is_some() { 130.0 } else { 0.0 };
    let chart = Chart { left, top: 8.0, width, height: gate_height, x: time, y: range };
    let strip = example.sheet.as_ref().map(|sheet| Strip::new(sheet, &chart, fps, gate_height));
    let height = strip.as_ref().map_or(chart.top + gate_height + 42.0, |strip| strip.bottom + 8.0);
    let right = strip.as_ref().map_or(WIDTH, |strip| WIDTH.max(strip.right));
    html! {
        div class="scroll" {
            svg class="timeline" viewBox=(format!("0 0 {} {}", n(right), n(height))) role="img"
                aria-label=(describe(example)) {
                @if let Some(track) = example.track { (gate(track, &chart, fps)) }
                @if let (Some(strip), Some(sheet)) = (&strip, &example.sheet) { (strip.draw(sheet, number)) }
            }
        }
    }
}

/// What the drawing shows, in words.
fn describe(example: &Example) -> String {
    let gate = example.track.map_or(String::new(), |track| {
        let ends = track.mean.iter().fold((1.0_f32, 0.0_f32), |(low, high), &g| (low.min(g), high.max(g)));
        format!(
            "gate from {:.2} to {:.2}, mean {:.2} (1: hands, 0: mouth). ",
            ends.0,
            ends.1,
            track.overall()
        )
    });
    let pictures = example.sheet.as_ref().map_or(String::new(), |sheet| {
        let mouths = sheet.columns.iter().filter(|column| column.mouth.is_some()).count();
        format!("{} frames of the signer, {mouths} crops of the mouth.", sheet.columns.len())
    });
    format!("Clip {} over time: {gate}{pictures}", example.clip.id)
}

fn gate(track: &GateTrack, chart: &Chart, fps: f64) -> Markup {
    let time = |frame: usize| (track.first_frame as f64 + frame as f64 + 0.5) / fps;
    let along = |values: &[f32]| -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(frame, &value)| (time(frame), f64::from(value))).collect()
    };
    let band: Vec<(f64, f64)> =
        along(&track.high).into_iter().chain(along(&track.low).into_iter().rev()).collect();
    html! {
        (chart.axes("seconds"))
        text class="side" x="0" y=(n(chart.top + 4.0)) { "hands ↑" }
        text class="side" x="0" y=(n(chart.top + chart.height + 4.0)) { "mouth ↓" }
        line class="half" x1=(n(chart.left)) x2=(n(chart.left + chart.width)) y1=(n(chart.y(0.5))) y2=(n(chart.y(0.5))) {}
        path class="band c0" d=(format!("{}Z", chart.path(band))) {}
        path class="line c0" d=(chart.path(along(&track.mean))) {}
    }
}

/// Frames, and mouths below them, each where its moment is.
struct Strip {
    /// Units of the drawing for a pixel of the sheet, and for one of a mouth's.
    scale: f64,
    mouth_scale: f64,
    top: f64,
    mouth_top: f64,
    bottom: f64,
    right: f64,
    /// Left end of each column.
    places: Vec<f64>,
}

impl Strip {
    fn new(sheet: &Sheet, chart: &Chart, fps: f64, above: f64) -> Self {
        let places: Vec<f64> =
            sheet.columns.iter().map(|column| chart.x(column.frame as f64 / fps)).collect();
        let end = chart.left + chart.width;
        let rights = places.iter().skip(1).copied().chain([end]);
        // The last column may have less room than the others: it reaches over the end of the axis instead.
        let room = places.iter().zip(rights).take(places.len().max(2) - 1).map(|(left, right)| right - left);
        let room = room.fold(chart.width, f64::min).clamp(12.0, 150.0) - 4.0;
        let widest =
            |width: fn(&super::sheet::Column) -> f64| sheet.columns.iter().map(width).fold(1.0, f64::max);
        let tallest = widest(|column| column.picture[3]);
        let scale = room / widest(|column| column.picture[2]);
        let mouth_scale = room / widest(|column| column.mouth.map_or(1.0, |mouth| mouth[2]));
        let top = chart.top + above + if above > 0.0 { 44.0 } else { 0.0 };
        let mouth_top = top + tallest * scale + 4.0;
        let mouths = widest(|column| column.mouth.map_or(0.0, |mouth| mouth[3])) * mouth_scale;
        let right = places.last().copied().unwrap_or(end) + room;
        Self { scale, mouth_scale, top, mouth_top, bottom: mouth_top + mouths, right, places }
    }

    fn draw(&self, sheet: &Sheet, number: usize) -> Markup {
        let id = format!("sheet-{number}");
        let [width, height] = [sheet.width, sheet.height];
        // A part of the sheet, which is in the page once.
        let part = |[x, y, w, h]: [f64; 4], left: f64, top: f64, scale: f64| {
            html! {
                svg x=(n(left)) y=(n(top)) width=(n(w * scale)) height=(n(h * scale))
                    viewBox=(format!("{} {} {} {}", n(x), n(y), n(w), n(h))) {
                    use href=(format!("#{id}")) {}
                }
            }
        };
        html! {
            defs { image id=(id) width=(width) height=(height) href=(sheet.address) {} }
            text class="side" x="0" y=(n(self.top + 14.0)) { "frames" }
            text class="side" x="0" y=(n(self.mouth_top + 14.0)) { "mouths" }
            @for (column, &left) in sheet.columns.iter().zip(&self.places) {
                (part(column.picture, left, self.top, self.scale))
                @if let Some(mouth) = column.mouth { (part(mouth, left, self.mouth_top, self.mouth_scale)) }
            }
        }
    }
}
