//! The sentences that a language model is trained on, none of which any clip of dev or test has.

use crate::language::text::prepare;
use signclip_common::manifest::TextRules;
use signclip_common::regular_file::{self, LINES};
use signclip_common::store::Store;
use signclip_common::{Error, Result, checksum};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// Splits whose sentences are scored.
const HELD_OUT: [&str; 2] = ["dev", "test"];

/// Sentences of one language.
pub struct Sentences {
    /// As the field trains and scores them.
    pub texts: Vec<String>,
    /// Of the file.
    pub sha256: String,
    /// What the data sets say.
    pub language: Option<String>,
}

impl Sentences {
    /// Reads `file`, a sentence a line, and applies the text rules of the stores in `features`. Errors: no sentence, an empty
    /// line, a sentence of dev or test of any store, stores whose rules or languages differ.
    pub fn read(file: &Path, features: &[PathBuf]) -> Result<Self> {
        let mut known: Option<(TextRules, Option<String>)> = None;
        let mut held_out = HashMap::new();
        for (folder, split) in features.iter().flat_map(|folder| HELD_OUT.map(|split| (folder, split))) {
            let store = Store::open(&folder.join(split))?;
            let of_store = (store.info.text, store.info.language.clone());
            if *known.get_or_insert_with(|| of_store.clone()) != of_store {
                let what = "another language or other text rules than in the first folder of --features";
                return Err(Error::input(&store.folder, "store.json", what, "give features of one data set"));
            }
            let text = |clip: &signclip_common::store::ClipRecord| clip.facts.text.clone();
            for text in store.clips.iter().filter_map(text) {
                held_out.insert(bare(&text), store.folder.clone());
            }
        }
        let Some((rules, language)) = known else {
            return Err(Error::usage(
                "no --features",
                "give the folder whose dev and test are not to be seen",
            ));
        };
        let content = regular_file::read_to_string(file, LINES).map_err(Error::io(file))?;
        let mut texts = Vec::new();
        let begun = content.strip_prefix('\u{feff}').unwrap_or(&content);
        for (number, line) in begun.lines().enumerate() {
            let wrong = |what: String, remedy: &str| {
                Err(Error::input(file, format!("line {}", number + 1), what, remedy))
            };
            if line.trim().is_empty() {
                return wrong("no sentence".to_owned(), "write one sentence a line, and no empty lines");
            }
            if line.contains('\r') {
                return wrong("a line end of another kind in it".to_owned(), "end lines with a line feed");
            }
            let text = prepare(line, rules);
            if let Some(folder) = held_out.get(&bare(&text)) {
                let what =
                    format!("{text:?} is a sentence of {}, which the model is not to see", folder.display());
                return wrong(what, "leave such sentences out (render-corpus --sentences does)");
            }
            texts.push(text);
        }
        if texts.is_empty() {
            return Err(Error::input(file, "", "no sentence", "write one sentence a line"));
        }
        Ok(Self { texts, sha256: checksum::of(content.as_bytes()), language })
    }
}

/// A sentence without what may be written in two ways: case, white space, punctuation, and accents that are letters of their
/// own.
fn bare(text: &str) -> String {
    let composed: String = text.nfc().flat_map(char::to_lowercase).collect();
    let words = composed.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sentence_written_in_other_ways() {
        let sentence = bare("am dienstag k\u{fc}hl im s\u{fc}den.");
        for other in [
            "am dienstag  kühl im süden.",
            "am\tdienstag kühl im süden .",
            "Am Dienstag kühl, im Süden",
            "am dienstag ku\u{308}hl im su\u{308}den.",
        ] {
            assert_eq!(bare(other), sentence, "{other}");
        }
        assert_ne!(bare("am dienstag kühl im norden."), sentence);
        assert_ne!(bare("今天南方有雨"), bare("今天北方有雨"));
    }
}
