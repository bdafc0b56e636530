//! Sentences and tokens.

use crate::language::folder::tokenizer_remedy;
use crate::language::tokenizer::{Encoding, Tokenizer};
use signclip_common::manifest::TextRules;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A sentence as the field trains and scores it: trimmed, with a final dot and in lower case where the data set's
/// rules say so.
pub fn prepare(sentence: &str, rules: TextRules) -> String {
    let mut text = sentence.trim().to_owned();
    if rules.final_dot && !text.ends_with('.') {
        text.push('.');
    }
    if rules.lowercase { text.to_lowercase() } else { text }
}

/// The tokenizer of a language model.
pub struct Text {
    tokenizer: Tokenizer,
    /// One more than the largest id.
    ids: usize,
    file: PathBuf,
    /// What a target ends with, where the tokenizer does not add it.
    end: Option<i64>,
}

impl Text {
    /// Reads a `tokenizer.json` or a `spiece.model`.
    pub fn load(file: &Path) -> Result<Self> {
        let bytes = regular_file::read(file, SETTINGS).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                let folder = file.parent().unwrap_or(Path::new(""));
                Error::input(file, "", "no tokenizer", tokenizer_remedy(folder))
            }
            _ => Error::io(file)(e),
        })?;
        Self::parse(&bytes, file)
    }

    /// From the content of `file` ([`Tokenizer::parse`]).
    pub fn parse(content: &[u8], file: &Path) -> Result<Self> {
        let tokenizer = Tokenizer::parse(content, file)?;
        Ok(Self { ids: tokenizer.vocabulary(), tokenizer, file: file.to_path_buf(), end: None })
    }

    /// The same for a model whose tokenizer begins texts rather than to end them: nothing is added but this token at the
    /// end of a target.
    pub fn ending_with(self, end: i64) -> Self {
        Self { end: Some(end), ..self }
    }

    /// What the tokenizer itself adds to an empty text.
    pub fn added(&self) -> Result<Vec<i64>> {
        Ok(self.tokenizer.encode("", true, &self.file)?.ids)
    }

    /// Ids a model needs embeddings for.
    pub fn vocabulary(&self) -> usize {
        self.ids
    }

    /// The same for a model that is trained from nothing. Errors: ids that no token has.
    pub fn own_vocabulary(&self) -> Result<usize> {
        self.tokenizer.check_is_dense(&self.file).map(|()| self.ids)
    }

    /// Where it was read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The token with this id.
    pub fn token(&self, id: i64) -> Option<String> {
        self.tokenizer.id_to_token(u32::try_from(id).ok()?)
    }

    /// The id that stands for what the vocabulary does not have, if there is one.
    pub fn unknown(&self) -> Option<i64> {
        self.tokenizer.token_to_id("<unk>").map(i64::from)
    }

    /// Id of a special token, which a decoded text does not show.
    pub fn special(&self, token: &str) -> Option<i64> {
        self.tokenizer.special(token).map(i64::from)
    }

    /// Ids of a target, the end token last.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        Ok(self.encoding(text)?.ids.into_iter().chain(self.end).collect())
    }

    /// Ids of a text that a target follows.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<i64>> {
        Ok(self.encoding(text)?.ids)
    }

    /// Bytes of `text` that each id of [`Self::encode`] stands for; none for the end token.
    pub fn spans(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let end = self.end.map(|_| text.len()..text.len());
        Ok(self.encoding(text)?.spans.into_iter().chain(end).collect())
    }

    fn encoding(&self, text: &str) -> Result<Encoding> {
        self.tokenizer.encode(text, self.end.is_none(), &self.file)
    }

    /// Text of ids without special tokens, spaces before punctuation removed as transformers does.
    pub fn decode(&self, ids: &[i64]) -> Result<String> {
        let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        let text = self.tokenizer.decode(&ids, &self.file)?;
        let pairs = [
            (" .", "."),
            (" ?", "?"),
            (" !", "!"),
            (" ,", ","),
            (" ' ", "'"),
            (" n't", "n't"),
            (" 'm", "'m"),
            (" 's", "'s"),
            (" 've", "'ve"),
            (" 're", "'re"),
        ];
        Ok(pairs.iter().fold(text.trim().to_owned(), |text, (spaced, tight)| text.replace(spaced, tight)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::t5::word_tokenizer;

    #[test]
    fn rules_of_the_data_set() {
        let rules = TextRules { lowercase: true, final_dot: true };
        assert_eq!(prepare(" Am Montag Regen", rules), "am montag regen.");
        assert_eq!(prepare("am montag regen.", rules), "am montag regen.");
        assert_eq!(prepare("Hi!", TextRules { lowercase: true, final_dot: false }), "hi!");
    }

    #[test]
    fn words_come_back() {
        let sentences = ["am montag regen.", "He said \"yes\", didn't he?"];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), word_tokenizer(sentences.into_iter())).unwrap();
        let text = Text::load(file.path()).unwrap();
        let ids = text.encode("am montag regen.").unwrap();
        assert_eq!(ids.len(), 5);
        assert_eq!(ids.last(), Some(&1));
        assert_eq!(text.decode(&ids).unwrap(), "am montag regen.");
        assert!(!text.encode(sentences[1]).unwrap().contains(&2), "no unknown word");
        assert_eq!(text.encode("schnee").unwrap(), [2, 1]);
    }

    #[test]
    fn damaged_json_is_an_error() {
        let json = word_tokenizer(["am montag regen."].into_iter());
        for damaged in
            [json.replace("\"decoder\": null", "\"decoder\": nul"), json[..json.len() / 2].to_owned()]
        {
            assert_ne!(damaged, json);
            let error = Text::parse(damaged.as_bytes(), Path::new("tokenizer.json")).err().expect("refused");
            assert!(error.to_string().starts_with("tokenizer.json: "), "{error}");
        }
    }

    /// What a Python program left switched on in a saved tokenizer cuts and fills nothing here.
    #[test]
    fn no_truncation_and_no_padding() {
        let json = word_tokenizer(["am montag regen."].into_iter());
        let mut saved: serde_json::Value = serde_json::from_str(&json).unwrap();
        saved["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
        });
        saved["padding"] = serde_json::json!({
            "strategy": { "Fixed": 9 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "<pad>"
        });
        let ids = |json: &str| {
            Text::parse(json.as_bytes(), Path::new("")).unwrap().encode("am montag regen.").unwrap()
        };
        assert_eq!(ids(&saved.to_string()), ids(&json));
    }
}
