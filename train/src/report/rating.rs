//! A sheet for people who judge translations: frames of a few clips, and below each what some runs and the reference say, in
//! random order and without their names, to be rated from 0 to 6 (the scale of WMT's scalar quality metric, which its
//! sign-language task uses, too). The key says which is which.

use super::page::document;
use super::sheet::Sheet;
use crate::data::batching::permutation;
use crate::metrics::beside::{Named, Translated, translations};
use crate::metrics::predictions::Predictions;
use maud::html;
use serde::Serialize;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::synthetic::Random;
use signclip_common::{Error, Result, atomic, json};
use std::path::Path;

/// What the reference is called in the key.
const REFERENCE: &str = "reference";
const SCALE: std::ops::RangeInclusive<u8> = 0..=6;

/// What one text of the sheet is of.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Rated {
    sentence: usize,
    letter: char,
    clip: String,
    text: String,
    /// Several where they say the same, which is then rated once.
    systems: Vec<String>,
}

/// Writes the sheet of `sentences` random clips of a split as `html`, and its key as `key`. `seed` decides which clips, and
/// the order of the texts. Errors: runs of other clips, fewer clips than `sentences`, a clip without a contact sheet in
/// `sheets`, the key of another sheet in the place of this one's.
pub fn write(
    runs: &[Named],
    split: &str,
    sheets: &Path,
    sentences: usize,
    seed: u64,
    [html, key]: [&Path; 2],
) -> Result<()> {
    let first = runs.first().ok_or_else(|| Error::usage("no run", "give NAME=RUN"))?;
    if let Some(named) = runs.iter().find(|named| named.name == REFERENCE) {
        let what = format!("{}={}: the reference has this name", named.name, named.run.display());
        return Err(Error::usage(what, "give the run another name"));
    }
    let ids: Vec<String> =
        Predictions::read(&first.run, split)?.lines.into_iter().map(|line| line.id).collect();
    if sentences > ids.len() {
        let what = format!("--sentences {sentences}: the split has {} clips", ids.len());
        return Err(Error::usage(what, "ask for fewer"));
    }
    let order = permutation(ids.len(), &Random::new("clips to rate", seed));
    let chosen: Vec<String> = order.into_iter().take(sentences).map(|clip| ids[clip].clone()).collect();
    let clips = translations(runs, split, &chosen)?;
    let rated: Vec<Vec<Rated>> =
        (1..).zip(&clips).map(|(number, clip)| shuffled(number, clip, seed)).collect();
    let pictures = chosen.iter().map(|id| {
        Sheet::find(sheets, split, id)?.ok_or_else(|| {
            let what = format!("no contact sheet of the clip {id:?}");
            Error::input(sheets, "", what, "make it with extract --preview, or give another --sheets")
        })
    });
    let pictures: Vec<Sheet> = pictures.collect::<Result<_>>()?;
    let page = document(
        "How good are these translations?",
        html! {
            header {
                h1 { "How good are these translations?" }
                p {
                    "Each clip is shown as frames in the order of time, with the mouths below. Rate every text by itself: \
                     0 says nothing of what is signed, 2 some of it, 4 most of it, 6 all of it and nothing else. One of the texts \
                     may be by a person. Print the page with your ratings, or save it as a PDF file."
                }
            }
            main { @for (texts, sheet) in rated.iter().zip(&pictures) { article {
                h2 { "Sentence " (texts[0].sentence) }
                div class="scroll" { img alt="frames and mouths of the clip" src=(sheet.address); }
                @for rated in texts {
                    p lang="" {
                        strong { (rated.letter) } " "
                        @if rated.text.trim().is_empty() { em { "(empty)" } } @else { (rated.text) }
                    }
                    p { @for rating in SCALE { label {
                        input type="radio" name=(format!("{}{}", rated.sentence, rated.letter)) value=(rating);
                        (rating) " "
                    } } }
                }
            } } }
        },
    );
    let names = json::pretty(&rated.into_iter().flatten().collect::<Vec<_>>())?;
    if regular_file::read(key, SETTINGS).is_ok_and(|there| there != names.as_bytes()) {
        let what = "the key of another sheet, without which its ratings would be lost";
        return Err(Error::input(key, "", what, "give another --out, or remove both"));
    }
    // The key first: a sheet without one is of no use.
    atomic::write(key, names.as_bytes())?;
    atomic::write(html, page.as_bytes())
}

/// The different texts of a clip in random order.
fn shuffled(sentence: usize, clip: &Translated, seed: u64) -> Vec<Rated> {
    let reference = (REFERENCE.to_owned(), clip.reference.clone());
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    for (name, text) in clip.hypotheses.iter().chain([&reference]) {
        match texts.iter_mut().find(|(other, _)| other == text) {
            Some((_, systems)) => systems.push(name.clone()),
            None => texts.push((text.clone(), vec![name.clone()])),
        }
    }
    let order = permutation(texts.len(), &Random::new(&format!("texts of {}", clip.id), seed));
    let rated = |(letter, place): (char, usize)| {
        let (text, systems) = texts[place].clone();
        Rated { sentence, letter, clip: clip.id.clone(), text, systems }
    };
    ('A'..).zip(order).map(rated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::units::Units;

    /// Every system is there once, under a letter that says nothing of it.
    #[test]
    fn no_order_and_no_names() {
        let texts = ["regen", "schnee", "regen", "sonne"];
        let names = ["spatial", "mouthing", "both", "control"];
        let hypotheses =
            names.iter().zip(texts).map(|(name, text)| ((*name).to_owned(), text.to_owned())).collect();
        let clip = |id: usize| Translated {
            id: id.to_string(),
            reference: "wind".to_owned(),
            units: Units::Words,
            hypotheses,
        };
        let clip = clip(7);
        let rated = shuffled(1, &clip, 0);
        let letters: String = rated.iter().map(|rated| rated.letter).collect();
        assert_eq!(letters, "ABCD");
        let of =
            |text: &str| rated.iter().find(|rated| rated.text == text).map(|rated| rated.systems.clone());
        assert_eq!(of("regen").expect("rated"), ["spatial", "both"]);
        assert_eq!(of("wind").expect("rated"), [REFERENCE]);
        let orders: std::collections::BTreeSet<Vec<String>> = (0..20)
            .map(|seed| shuffled(1, &clip, seed).into_iter().map(|rated| rated.text).collect())
            .collect();
        assert!(orders.len() > 5, "{orders:?}");
    }
}
