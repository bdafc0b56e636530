//! Ids that a `tokenizer.json` may name: a model has one row for each, and reads beyond its table for any other.

use serde_json::Value;
use signclip_common::{Error, Result, json};
use std::path::Path;
use tokenizers::Tokenizer;

const AGAIN: &str = "copy tokenizer.json again from where it came from";

/// Refuses a token that is added behind a text and is not in the vocabulary.
pub(crate) fn check(tokenizer: &Tokenizer, file: &Path) -> Result<()> {
    if let Some(processor) = tokenizer.get_post_processor() {
        let processor = json::value(processor)?;
        check_processor(&processor, tokenizer)
            .map_err(|what| Error::input(file, "post_processor", what, AGAIN))?;
    }
    Ok(())
}

/// Refuse ids with gaps between them: the table of a model that is trained from nothing has a row for each token.
pub(crate) fn check_is_dense(tokenizer: &Tokenizer, file: &Path) -> Result<()> {
    let tokens = tokenizer.get_vocab_size(true);
    let beyond = tokenizer.get_vocab(true).into_iter().filter(|(_, id)| *id as usize >= tokens).min();
    beyond.map_or(Ok(()), |(token, id)| {
        let what =
            format!("{token:?} has the id {id}, where {tokens} tokens have the ids 0 to {}", tokens - 1);
        Err(Error::input(
            file,
            "vocabulary",
            what,
            "restore the run's own tokenizer.json, or train a new run",
        ))
    })
}

fn check_processor(processor: &Value, tokenizer: &Tokenizer) -> Result<(), String> {
    let token = |token: &Value, id: &Value| {
        let known = token.as_str().and_then(|token| tokenizer.token_to_id(token)).map(u64::from);
        match known.is_some() && known == id.as_u64() {
            true => Ok(()),
            false => {
                Err(format!("it adds the token {token} with the id {id}, which the vocabulary does not have"))
            }
        }
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    // Bert's and Roberta's.
    for field in ["sep", "cls"] {
        if let Some([text, id]) = processor[field].as_array().map(Vec::as_slice) {
            token(text, id)?;
        }
    }
    for special in processor["special_tokens"].as_object().into_iter().flat_map(|map| map.values()) {
        let (ids, tokens) = (list(&special["ids"]), list(&special["tokens"]));
        if ids.len() != tokens.len() {
            return Err(format!(
                "the special token {} has {} ids and {} tokens",
                special["id"],
                ids.len(),
                tokens.len()
            ));
        }
        tokens.iter().zip(&ids).try_for_each(|(text, id)| token(text, id))?;
    }
    for piece in ["single", "pair"].into_iter().flat_map(|template| list(&processor[template])) {
        let name = piece["SpecialToken"]["id"].as_str();
        if let Some(name) = name.filter(|name| processor["special_tokens"].get(name).is_none()) {
            return Err(format!("its template adds {name:?}, which special_tokens does not have"));
        }
    }
    list(&processor["processors"]).iter().try_for_each(|inner| check_processor(inner, tokenizer))
}

#[cfg(test)]
mod tests {
    use crate::language::t5::word_tokenizer;
    use crate::language::text::Text;
    use serde_json::{Value, json};
    use std::path::Path;

    /// What is said of the tokenizer of a sentence once `change` was at it.
    fn said(change: fn(&mut Value)) -> String {
        let mut json: Value =
            serde_json::from_str(&word_tokenizer(["am montag regen."].into_iter())).unwrap();
        change(&mut json);
        let text = Text::parse(json.to_string().as_bytes(), Path::new("a/tokenizer.json"));
        text.and_then(|text| text.own_vocabulary()).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn ids_and_tokens_that_are_not_there() {
        assert_eq!(said(|_| ()), "");
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 7] = [
            ("\"regen\" has the id 4000000000, where 7 tokens", |json| {
                json["model"]["vocab"]["regen"] = json!(4_000_000_000_u32)
            }),
            ("its template adds \"</e>\"", |json| {
                json["post_processor"]["single"][1]["SpecialToken"]["id"] = json!("</e>")
            }),
            ("its template adds \"</s>\"", |json| json["post_processor"]["special_tokens"] = json!({})),
            ("the token \"</s>\" with the id 99", |json| {
                json["post_processor"]["special_tokens"]["</s>"]["ids"] = json!([99])
            }),
            ("the token \"<e>\" with the id 1", |json| {
                json["post_processor"]["special_tokens"]["</s>"]["tokens"] = json!(["<e>"])
            }),
            ("2 ids and 1 tokens", |json| {
                json["post_processor"]["special_tokens"]["</s>"]["ids"] = json!([1, 1])
            }),
            ("the token \"[SEP]\" with the id 102", |json| {
                json["post_processor"] = json!({ "type": "Sequence", "processors": [
                    { "type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["</s>", 1] },
                ] });
            }),
        ];
        for (part, change) in cases {
            let said = said(change);
            assert!(
                said.starts_with("a/tokenizer.json, ") && said.contains(part) && said.contains("; "),
                "{part}: {said}"
            );
        }
    }
}
