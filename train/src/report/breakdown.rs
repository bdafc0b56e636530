//! Where the score comes from: groups of clips by length, by face coverage, by signer, and by ambiguous words.

use super::clip::Clip;
use super::page::{missing, section};
use crate::metrics::Scores;
use crate::metrics::ambiguous::{AmbiguousWords, Cases};
use crate::metrics::final_dot::FinalDot;
use crate::metrics::sentence::{Measure, SentenceCounts};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Signers at the most that get a row each.
const SIGNERS: usize = 20;

/// A way to divide the clips.
struct Division<'r> {
    title: &'static str,
    note: &'static str,
    groups: Vec<(String, Vec<&'r Clip>)>,
}

/// The section. `stores`: whether the features were there, which know length and faces.
pub(super) fn show(
    clips: &[Clip],
    pairs: Option<&AmbiguousWords>,
    dot: FinalDot,
    evaluate: &str,
    stores: Option<&str>,
) -> Markup {
    let body = if clips.is_empty() {
        missing("The split was not translated yet.", evaluate)
    } else {
        html! {
            p {
                "BLEU-4 of each group as a corpus of its own, with the 95 % interval of its bootstrap. The smaller a group, \
                 the wider its interval; groups whose intervals overlap widely show nothing."
            }
            @if let Some(extract) = stores {
                (missing("The features are not there, which know how long clips are and where faces were found.", extract))
            }
            @for division in divisions(clips, pairs) { (table(&division, dot)) }
            @match pairs {
                Some(pairs) => (choices(clips, pairs)),
                None => (missing(
                    "No list of ambiguous words was given.",
                    "evaluate report RUN --ambiguous FILE, a JSON file {\"pairs\": [[\"one word\", \"the other\"]]}",
                )),
            }
        }
    };
    section("breakdown", "Breakdown", body)
}

fn divisions<'r>(clips: &'r [Clip], pairs: Option<&AmbiguousWords>) -> Vec<Division<'r>> {
    let mut divisions = vec![
        Division {
            title: "Clip length",
            note: "Quarters of the clips, by frames.",
            groups: by_length(clips),
        },
        Division {
            title: "Face coverage",
            note: "Share of a clip's frames in which a face was found.",
            groups: by_coverage(clips),
        },
        Division { title: "Signer", note: "", groups: by_signer(clips) },
    ];
    if let Some(pairs) = pairs {
        let (with, without) =
            clips.iter().partition(|clip| pairs.cases(&clip.hypothesis, &clip.reference).all > 0);
        let groups = vec![("with".to_owned(), with), ("without".to_owned(), without)];
        divisions.push(Division { title: "Ambiguous words", note: "In the reference.", groups });
    }
    for division in &mut divisions {
        division.groups.retain(|(_, clips)| !clips.is_empty());
    }
    divisions.retain(|division| !division.groups.is_empty());
    divisions
}

fn by_length(clips: &[Clip]) -> Vec<(String, Vec<&Clip>)> {
    let frames = |clip: &Clip| clip.facts.as_ref().map(|facts| facts.frames);
    let mut known: Vec<&Clip> = clips.iter().filter(|clip| frames(clip).is_some()).collect();
    known.sort_by_key(|clip| frames(clip));
    let quarter = known.len().div_ceil(4).max(1);
    let name = |group: &[&Clip]| {
        let ends = group.first().and_then(|c| frames(c)).zip(group.last().and_then(|c| frames(c)));
        ends.map_or(String::new(), |(first, last)| format!("{first} to {last} frames"))
    };
    known.chunks(quarter).map(|group| (name(group), group.to_vec())).collect()
}

fn by_coverage(clips: &[Clip]) -> Vec<(String, Vec<&Clip>)> {
    let group = |name: &str, holds: fn(f64) -> bool| {
        let coverage = |clip: &Clip| clip.facts.as_ref().and_then(|facts| facts.face_coverage);
        (name.to_owned(), clips.iter().filter(|clip| coverage(clip).is_some_and(holds)).collect())
    };
    vec![
        group("no face", |c| c == 0.0),
        group("up to 50 %", |c| 0.0 < c && c <= 0.5),
        group("50 to 90 %", |c| 0.5 < c && c <= 0.9),
        group("90 to 100 %", |c| 0.9 < c && c < 1.0),
        group("every frame", |c| c >= 1.0),
    ]
}

fn by_signer(clips: &[Clip]) -> Vec<(String, Vec<&Clip>)> {
    let mut signers: BTreeMap<&str, Vec<&Clip>> = BTreeMap::new();
    for clip in clips {
        if let Some(signer) = clip.facts.as_ref().and_then(|facts| facts.signer.as_deref()) {
            signers.entry(signer).or_default().push(clip);
        }
    }
    if signers.len() > SIGNERS {
        return Vec::new();
    }
    signers.into_iter().map(|(signer, clips)| (signer.to_owned(), clips)).collect()
}

fn table(division: &Division, dot: FinalDot) -> Markup {
    let scored = |(name, clips): &(String, Vec<&Clip>)| {
        let counts: Vec<SentenceCounts> = clips.iter().map(|clip| clip.counts).collect();
        (name.clone(), Scores::of_sentences(&counts, dot))
    };
    let rows: Vec<(String, Scores)> = division.groups.iter().map(scored).collect();
    let most =
        rows.iter().map(|(_, scores)| scores.bootstrap.intervals.bleu4.high).fold(1.0, f64::max).ceil();
    html! {
        div class="scroll" { table class="numbers bars" {
            caption { strong { (division.title) } @if !division.note.is_empty() { ". " (division.note) } }
            thead { tr {
                th scope="col" { "Group" }
                th scope="col" class="right" { "Clips" }
                th scope="col" class="right" { "BLEU-4" }
                th scope="col" class="right" { "95 % interval" }
                th scope="col" { (format!("0 to {most:.0}")) }
            } }
            tbody { @for (name, scores) in &rows { (row(name, scores, most)) } }
        } }
    }
}

fn row(name: &str, scores: &Scores, most: f64) -> Markup {
    let x = |value: f64| format!("{:.1}", 100.0 * value / most);
    let (value, interval) = (scores.get(Measure::Bleu4), scores.bootstrap.intervals.bleu4);
    html! {
        tr {
            th scope="row" { (name) }
            td class="right" { (scores.sentences) }
            td class="right" { (format!("{value:.2}")) }
            td class="right" { (format!("{:.2} to {:.2}", interval.low, interval.high)) }
            td class="bar" {
                svg viewBox="0 0 104 14" preserveAspectRatio="none" aria-hidden="true" {
                    rect class="c0" x="0" y="3" width=(x(value)) height="8" {}
                    line x1=(x(interval.low)) x2=(x(interval.high)) y1="7" y2="7" {}
                    @for end in [interval.low, interval.high] {
                        line x1=(x(end)) x2=(x(end)) y1="3" y2="11" {}
                    }
                }
            }
        }
    }
}

/// Of the ambiguous words: taken right, taken for their partner, or not translated at all.
fn choices(clips: &[Clip], pairs: &AmbiguousWords) -> Markup {
    let mut sum = Cases::default();
    clips.iter().for_each(|clip| sum += pairs.cases(&clip.hypothesis, &clip.reference));
    let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / sum.all.max(1) as f64);
    let neither = sum.all - sum.right - sum.swapped;
    html! {
        table class="numbers" {
            caption {
                strong { "Which of two words. " }
                "Each time a reference has a word that looks like another one on the hands: whether the translation has it, \
                 the other one instead, or neither."
            }
            thead { tr {
                th scope="col" { "Translation has" }
                th scope="col" class="right" { "Times" }
                th scope="col" class="right" { "Share" }
            } }
            tbody {
                @for (name, count) in
                    [("the word", sum.right), ("the other one", sum.swapped), ("neither", neither)] {
                    tr {
                        th scope="row" { (name) }
                        td class="right" { (count) }
                        td class="right" { (percent(count)) }
                    }
                }
            }
        }
    }
}
