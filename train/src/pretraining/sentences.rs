//! The sentences that a language model is trained on, none of which any clip of dev or test has.

use crate::language::text::prepare;
use signclip_common::manifest::TextRules;
use signclip_common::regular_file::{self, LINES};
use signclip_common::store::Store;
use signclip_common::{Error, Result, checksum};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

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
                held_out.insert(prepare(&text, of_store.0), store.folder.clone());
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
        for (number, line) in content.lines().enumerate() {
            let wrong = |what: String, remedy: &str| {
                Err(Error::input(file, format!("line {}", number + 1), what, remedy))
            };
            if line.trim().is_empty() {
                return wrong("no sentence".to_owned(), "write one sentence a line, and no empty lines");
            }
            let text = prepare(line, rules);
            if let Some(folder) = held_out.get(&text) {
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
