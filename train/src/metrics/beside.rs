//! Translations of several runs beside each other, as in the paper's Table 4.

use super::predictions::Predictions;
use super::units::Units;
use super::word_diff::{Piece, missing, word_diff};
use signclip_common::{Error, Result};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A run under the name that a reader is told, given as NAME=RUN.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub run: PathBuf,
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some((name, run)) if !name.is_empty() && !run.is_empty() => {
                Ok(Self { name: name.to_owned(), run: Path::new(run).to_owned() })
            }
            _ => Err("give NAME=RUN, as in spatial=runs/spatial".to_owned()),
        }
    }
}

/// One clip: its reference, and the translation of each run.
#[derive(Debug)]
pub struct Translated {
    pub id: String,
    pub reference: String,
    /// What its words are.
    pub units: Units,
    /// By name, in the order given.
    pub hypotheses: Vec<(String, String)>,
}

/// The clips `ids` of a split. Errors: two runs of one name, a run without translations, of other clips or cut off while it was
/// evaluated; an id that is not there, or is there twice.
pub fn translations(runs: &[Named], split: &str, ids: &[String]) -> Result<Vec<Translated>> {
    let names: Vec<&str> = runs.iter().map(|named| named.name.as_str()).collect();
    if let Some(name) = twice(&names) {
        let what = format!("{name}: two runs have this name");
        return Err(Error::usage(what, "give each run a name of its own"));
    }
    if let Some(id) = twice(&ids.iter().map(String::as_str).collect::<Vec<_>>()) {
        return Err(Error::usage(format!("--clips {id}: given twice"), "name each clip once"));
    }
    let read: Vec<Predictions> =
        runs.iter().map(|named| Predictions::read(&named.run, split)).collect::<Result<_>>()?;
    let Some(first) = read.first() else { return Ok(Vec::new()) };
    let lines = read.iter().map(|run| first.partners(run)).collect::<Result<Vec<_>>>()?;
    let known = read.iter().map(Predictions::references).collect::<Result<Vec<_>>>()?;
    let units = known.into_iter().flatten().next().map_or(Units::Words, |references| references.units);
    let of_clip = |id: &String| {
        let place = first.lines.iter().position(|line| line.id == *id).ok_or_else(|| {
            Error::usage(format!("--clips {id}: no such clip"), "ids are in predictions.jsonl of the split")
        })?;
        let hypotheses = runs
            .iter()
            .zip(&lines)
            .map(|(named, lines)| (named.name.clone(), lines[place].hypothesis.clone()));
        let reference = first.lines[place].reference.clone();
        Ok(Translated { id: id.clone(), reference, units, hypotheses: hypotheses.collect() })
    };
    ids.iter().map(of_clip).collect()
}

/// One that is there more than once.
fn twice<'n>(names: &[&'n str]) -> Option<&'n str> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(**name)).copied()
}

/// In Markdown: words that the reference does not have are bold, and `[…]` stands where it has words and the translation none.
pub fn markdown(clips: &[Translated]) -> String {
    let mut out = "| clip | | text |\n|---|---|---|\n".to_owned();
    for Translated { id, reference, units, hypotheses } in clips {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} | reference | {} |", escaped(id), escaped(reference));
        for (name, hypothesis) in hypotheses {
            let [_, pieces] = word_diff(reference, hypothesis, *units);
            let missing = missing(reference, hypothesis, *units);
            let text = match pieces.is_empty() {
                true => "<i>(empty)</i>".to_owned(),
                false => marked(hypothesis, &pieces, &missing),
            };
            let _ = writeln!(out, "| | {} | {text} |", escaped(name));
        }
    }
    out
}

/// The pieces that differ in bold, by tags: asterisks between a letter and a punctuation mark would be shown as such.
fn marked(hypothesis: &str, pieces: &[Piece], missing: &[usize]) -> String {
    let gap = "<b>\\[…\\]</b>";
    let (mut out, mut before) = (String::new(), 0);
    for (differs, piece) in pieces {
        out += &escaped(&hypothesis[before..piece.start]);
        if missing.contains(&piece.start) {
            out += &format!("{gap} ");
        }
        let words = escaped(&hypothesis[piece.clone()]);
        out += &if *differs { format!("<b>{words}</b>") } else { words };
        before = piece.end;
    }
    if missing.contains(&hypothesis.len()) {
        out += &format!(" {gap}");
    }
    out
}

/// Text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' | '$' | ':' => {
                out.extend(['\\', letter]);
            }
            '\n' | '\r' => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_are_bold() {
        let clip = Translated {
            id: "a_1".to_owned(),
            reference: "im norden regen.".to_owned(),
            units: Units::Words,
            hypotheses: [
                ("spatial", "im norden schauer, viel."),
                ("both", "im norden regen."),
                ("mouthing", ""),
                ("short", "im regen"),
            ]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec(),
        };
        let lines = [
            "| a\\_1 | reference | im norden regen. |",
            "| | spatial | im norden <b>schauer, viel</b>. |",
            "| | both | im norden regen. |",
            "| | mouthing | <i>(empty)</i> |",
            "| | short | im <b>\\[…\\]</b> regen <b>\\[…\\]</b> |",
        ];
        assert_eq!(markdown(&[clip]).lines().skip(2).collect::<Vec<_>>(), lines);
        assert_eq!(escaped("a|b*c~d:"), "a\\|b\\*c\\~d\\:");
        let chinese = Translated {
            id: "a".to_owned(),
            reference: "今天北方有雨".to_owned(),
            units: Units::Chinese,
            hypotheses: vec![("one".to_owned(), "今天南方有雨".to_owned())],
        };
        assert!(markdown(&[chinese]).contains("| | one | 今天<b>南</b>方有雨 |"));
        assert!("spatial".parse::<Named>().is_err() && "=x".parse::<Named>().is_err());
    }
}
