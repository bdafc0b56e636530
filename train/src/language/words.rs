//! The tokenizer of a language model that is trained from nothing.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What a family adds to each text.
pub(crate) enum Added {
    /// The special token with this id before it.
    Before(usize),
    /// Behind it.
    Behind(usize),
}

/// `tokenizer.json` with the tokens `special` and the words of `sentences` as vocabulary: split at white space and
/// punctuation. The last special token is that of unknown words.
pub(crate) fn word_tokenizer<'t>(
    sentences: impl Iterator<Item = &'t str>,
    special: [&str; 3],
    added: Added,
) -> String {
    let split = |sentence: &'t str| sentence.split_inclusive(|c: char| c.is_whitespace() || is_mark(c));
    let mut words = BTreeSet::new();
    for piece in sentences.flat_map(split) {
        let piece = piece.trim_end();
        let mark = piece.char_indices().next_back().filter(|(_, c)| is_mark(*c));
        let (word, mark) = mark.map_or((piece, ""), |(at, _)| piece.split_at(at));
        words.extend([word, mark].into_iter().filter(|w| !w.is_empty()));
    }
    let vocabulary: Map<String, Value> =
        special.into_iter().chain(words).enumerate().map(|(id, word)| (word.to_owned(), id.into())).collect();
    let added_tokens: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        })
        .collect();
    let (Added::Before(id) | Added::Behind(id)) = added;
    let token = special[id];
    let sequence = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let template = |id: &str| {
        let token = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        match added {
            Added::Before(_) => [token, sequence(id)],
            Added::Behind(_) => [sequence(id), token],
        }
    };
    let pair = [template("A"), template("B")].concat();
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens,
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "WhitespaceSplit" },
            { "type": "Split", "pattern": { "Regex": MARKS }, "behavior": "Isolated", "invert": false },
        ] },
        "post_processor": { "type": "TemplateProcessing", "single": template("A"),
            "pair": pair,
            "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } } },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": special[2] },
    });
    format!("{json:#}\n")
}

/// Punctuation that is a token of its own.
const MARKS: &str = "[.,!?;:\"()]";

fn is_mark(c: char) -> bool {
    ".,!?;:\"()".contains(c)
}
