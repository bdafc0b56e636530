//! Translations beside their references, the words in which they differ marked.

use super::clip::Clip;
use super::page::{missing, section};
use crate::metrics::units::Units;
use crate::metrics::word_diff::word_diff;
use maud::{Markup, html};
use std::ops::Range;

/// Columns that the table can be sorted by: heading, and the value of a clip (absent values come last).
type Column = (&'static str, fn(&Clip) -> Option<f64>, usize);
const COLUMNS: [Column; 5] = [
    ("BLEU-4", |clip| Some(clip.scores.bleu4), 1),
    ("chrF", |clip| Some(clip.scores.chrf), 1),
    ("ROUGE-L", |clip| Some(clip.scores.rouge_l), 1),
    ("Frames", |clip| Some(clip.facts.as_ref()?.frames as f64), 0),
    ("Face", |clip| Some(100.0 * clip.facts.as_ref()?.face_coverage?), 0),
];

/// The section; `evaluate` is the command that makes translations.
pub(super) fn show(clips: &[Clip], evaluate: &str) -> Markup {
    let body =
        if clips.is_empty() { missing("The split was not translated yet.", evaluate) } else { table(clips) };
    section("translations", "Translations", body)
}

fn table(clips: &[Clip]) -> Markup {
    html! {
        p class="legend" {
            "A word of the reference that is missing in the translation is " del { "dotted" } "; a word of the translation that the \
             reference does not have is " ins { "underlined" } ". Scores are of the sentence alone; face: share of frames with a \
             detected face, in percent. The buttons sort, up and down in turn."
        }
        table class="translations sortable" {
            caption { (clips.len()) " clips, in the order of the split." }
            thead { tr {
                th scope="col" aria-sort="none" { button type="button" data-column="0" { "Clip" } }
                @for (number, (name, ..)) in (1..).zip(COLUMNS) {
                    th scope="col" aria-sort="none" { button type="button" data-column=(number) { (name) } }
                }
                th scope="col" class="texts" { "Reference and translation" }
            } }
            tbody { @for (number, clip) in clips.iter().enumerate() { tr {
                th scope="row" data-value=(number) { (clip.id) }
                @for (name, value, decimals) in COLUMNS {
                    @let value = value(clip);
                    td class="right" data-name=(name) data-value=[value] {
                        @match value { Some(value) => (format!("{value:.decimals$}")), None => "–" }
                    }
                }
                td class="texts" { (pair(&clip.reference, &clip.hypothesis, clip.counts.units)) }
            } } }
        }
    }
}

/// A reference above its translation.
pub(super) fn pair(reference: &str, hypothesis: &str, units: Units) -> Markup {
    let [old, new] = word_diff(reference, hypothesis, units);
    let side = |text: &str, pieces: &[(bool, Range<usize>)], lacking: fn(&str) -> Markup| {
        let ends = [0].into_iter().chain(pieces.iter().map(|(_, piece)| piece.end));
        html! {
            @for (before, (differs, piece)) in ends.zip(pieces) {
                (text[before..piece.start])
                @if *differs { (lacking(&text[piece.clone()])) } @else { (text[piece.clone()]) }
            }
        }
    };
    html! {
        p class="reference" lang="" {
            span class="side" { "reference" }
            bdi { (side(reference, &old, |words| html! { del { (words) } })) }
        }
        p class="hypothesis" lang="" {
            span class="side" { "translation" }
            bdi { (side(hypothesis, &new, |words| html! { ins { (words) } })) }
            @if new.is_empty() { em { "(empty)" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(reference: &str, hypothesis: &str) -> [String; 2] {
        let html = pair(reference, hypothesis, Units::Words).into_string();
        let mut sides =
            html.split("</p>").filter_map(|p| p.rsplit_once("</span>").map(|(_, text)| text.to_owned()));
        [sides.next().expect("a reference"), sides.next().expect("a translation")]
    }

    #[test]
    fn words_that_differ_are_marked_on_their_side() {
        assert_eq!(
            texts("am montag regnet es.", "am dienstag regnet es viel."),
            [
                "<bdi>am <del>montag</del> regnet es.</bdi>",
                "<bdi>am <ins>dienstag</ins> regnet es <ins>viel</ins>.</bdi>"
            ]
        );
        assert_eq!(
            texts("eins zwei", ""),
            ["<bdi><del>eins zwei</del></bdi>", "<bdi></bdi><em>(empty)</em>"]
        );
        assert_eq!(texts("gleich, ja!", "gleich, ja!"), ["<bdi>gleich, ja!</bdi>"; 2]);
    }

    #[test]
    fn texts_are_texts() {
        let [reference, hypothesis] = texts("<script>alert(\"1\")</script>", "<b>'x'</b> &amp;");
        assert!(!reference.contains("<script") && !hypothesis.contains("<b>"), "{reference} {hypothesis}");
        assert!(reference.contains("&lt;") && reference.contains("&quot;"), "{reference}");
    }
}
