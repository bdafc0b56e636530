//! The tokenizer of a T5 that is trained from nothing.

use std::collections::BTreeSet;

/// `tokenizer.json` with the words of `sentences` as vocabulary: split at white space and punctuation, T5's special
/// ids.
pub fn word_tokenizer<'t>(sentences: impl Iterator<Item = &'t str>) -> String {
    let split = |sentence: &'t str| sentence.split_inclusive(|c: char| c.is_whitespace() || is_mark(c));
    let mut words = BTreeSet::new();
    for piece in sentences.flat_map(split) {
        let piece = piece.trim_end();
        let mark = piece.char_indices().next_back().filter(|(_, c)| is_mark(*c));
        let (word, mark) = mark.map_or((piece, ""), |(at, _)| piece.split_at(at));
        words.extend([word, mark].into_iter().filter(|w| !w.is_empty()));
    }
    let special = ["<pad>", "</s>", "<unk>"];
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        special.into_iter().chain(words).enumerate().map(|(id, word)| (word.to_owned(), id.into())).collect();
    let added: Vec<serde_json::Value> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            serde_json::json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        })
        .collect();
    let end = serde_json::json!({ "</s>": { "id": "</s>", "ids": [1], "tokens": ["</s>"] } });
    let sequence = |id: &str| serde_json::json!({ "Sequence": { "id": id, "type_id": 0 } });
    let stop = serde_json::json!({ "SpecialToken": { "id": "</s>", "type_id": 0 } });
    let json = serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "WhitespaceSplit" },
            { "type": "Split", "pattern": { "Regex": MARKS }, "behavior": "Isolated", "invert": false },
        ] },
        "post_processor": { "type": "TemplateProcessing", "single": [sequence("A"), stop.clone()],
            "pair": [sequence("A"), stop.clone(), sequence("B"), stop], "special_tokens": end },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    });
    format!("{json:#}\n")
}

/// Punctuation that is a token of its own.
const MARKS: &str = "[.,!?;:\"()]";

fn is_mark(c: char) -> bool {
    ".,!?;:\"()".contains(c)
}
