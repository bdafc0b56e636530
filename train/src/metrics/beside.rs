//! Translations of several runs beside each other, as in the paper's Table 4.

use super::predictions::Predictions;
use super::word_diff::word_diff;
use signclip_common::{Error, Result};
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
    /// By name, in the order given.
    pub hypotheses: Vec<(String, String)>,
}

/// The clips `ids` of a split. Errors: a run without translations or of other clips, an id that is not there.
pub fn translations(runs: &[Named], split: &str, ids: &[String]) -> Result<Vec<Translated>> {
    let read: Vec<Predictions> =
        runs.iter().map(|named| Predictions::read(&named.run, split)).collect::<Result<_>>()?;
    let Some(first) = read.first() else { return Ok(Vec::new()) };
    let lines = read.iter().map(|run| first.partners(run)).collect::<Result<Vec<_>>>()?;
    let of_clip = |id: &String| {
        let place = first.lines.iter().position(|line| line.id == *id).ok_or_else(|| {
            Error::usage(format!("--clips {id}: no such clip"), "ids are in predictions.jsonl of the split")
        })?;
        let hypotheses = runs
            .iter()
            .zip(&lines)
            .map(|(named, lines)| (named.name.clone(), lines[place].hypothesis.clone()));
        let reference = first.lines[place].reference.clone();
        Ok(Translated { id: id.clone(), reference, hypotheses: hypotheses.collect() })
    };
    ids.iter().map(of_clip).collect()
}

/// In Markdown: words that the reference does not have are bold.
pub fn markdown(clips: &[Translated]) -> String {
    let mut out = "| clip | | text |\n|---|---|---|\n".to_owned();
    for Translated { id, reference, hypotheses } in clips {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} | reference | {} |", escaped(id), escaped(reference));
        for (name, hypothesis) in hypotheses {
            let [_, pieces] = word_diff(reference, hypothesis);
            let marked = |(differs, piece): &(bool, std::ops::Range<usize>)| {
                let words = escaped(&hypothesis[piece.clone()]);
                if *differs { format!("**{words}**") } else { words }
            };
            let mut before = 0;
            let mut text = String::new();
            for piece in &pieces {
                text += &escaped(&hypothesis[before..piece.1.start]);
                text += &marked(piece);
                before = piece.1.end;
            }
            let text = if pieces.is_empty() { "*(empty)*".to_owned() } else { text };
            let _ = writeln!(out, "| | {} | {text} |", escaped(name));
        }
    }
    out
}

/// Text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' => out.extend(['\\', letter]),
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
            hypotheses: [("spatial", "im norden schauer."), ("both", "im norden regen."), ("mouthing", "")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .to_vec(),
        };
        let lines = [
            "| a\\_1 | reference | im norden regen. |",
            "| | spatial | im norden **schauer**. |",
            "| | both | im norden regen. |",
            "| | mouthing | *(empty)* |",
        ];
        assert_eq!(markdown(&[clip]).lines().skip(2).collect::<Vec<_>>(), lines);
        assert_eq!(escaped("a|b*c"), "a\\|b\\*c");
        assert!("spatial".parse::<Named>().is_err() && "=x".parse::<Named>().is_err());
    }
}
