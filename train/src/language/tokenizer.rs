//! A tokenizer in either format that language models come with.

use crate::language::sentencepiece::SentencePiece;
use crate::language::vocabulary;
use signclip_common::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// Hugging Face's `tokenizer.json`, or SentencePiece's `spiece.model`.
pub(crate) enum Tokenizer {
    Json(Box<tokenizers::Tokenizer>),
    SentencePiece(Box<SentencePiece>),
}

/// Ids of a text, and the bytes of it that each stands for: none for an id that is added to it.
pub(crate) struct Encoding {
    pub(crate) ids: Vec<i64>,
    pub(crate) spans: Vec<Range<usize>>,
}

impl Tokenizer {
    /// From the content of `file`, whose name ends in `.model` where it is SentencePiece's. Errors: what is wrong with it.
    /// Truncation and padding that are set in a `tokenizer.json` are left out, as transformers does when it is not asked
    /// for them.
    pub(crate) fn parse(bytes: &[u8], file: &Path) -> Result<Self> {
        if file.extension().is_some_and(|ending| ending == "model") {
            let refuse = |what| {
                let remedy = "download it again, or put the model's tokenizer.json beside it";
                Error::input(file, "", what, remedy)
            };
            return Ok(Self::SentencePiece(Box::new(SentencePiece::parse(bytes).map_err(refuse)?)));
        }
        let refuse = |e: tokenizers::Error| wrong(file, &e);
        // The library panics over a decoder that is not JSON.
        serde_json::from_slice::<serde_json::Value>(bytes).map_err(|e| refuse(e.into()))?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes).map_err(refuse)?;
        tokenizer.with_truncation(None).map_err(refuse)?.with_padding(None);
        vocabulary::check(&tokenizer, file)?;
        Ok(Self::Json(Box::new(tokenizer)))
    }

    /// One more than the largest id.
    pub(crate) fn vocabulary(&self) -> usize {
        match self {
            Self::Json(json) => json.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1),
            Self::SentencePiece(model) => model.vocabulary(),
        }
    }

    /// Refuses ids that no token has.
    pub(crate) fn check_is_dense(&self, file: &Path) -> Result<()> {
        match self {
            Self::Json(json) => vocabulary::check_is_dense(json, file),
            Self::SentencePiece(_) => Ok(()),
        }
    }

    pub(crate) fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Json(json) => json.token_to_id(token),
            Self::SentencePiece(model) => model.token_to_id(token),
        }
    }

    /// Id of a special token, which a decoded text does not show.
    pub(crate) fn special(&self, token: &str) -> Option<u32> {
        match self {
            Self::Json(json) => {
                let id = json.token_to_id(token)?;
                json.get_added_tokens_decoder().get(&id)?.special.then_some(id)
            }
            Self::SentencePiece(_) => None,
        }
    }

    pub(crate) fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Self::Json(json) => json.id_to_token(id),
            Self::SentencePiece(model) => model.id_to_token(id).map(str::to_owned),
        }
    }

    /// `with_special`: with the ids that it adds to a text.
    pub(crate) fn encode(&self, text: &str, with_special: bool, file: &Path) -> Result<Encoding> {
        let tokens: Vec<(u32, Range<usize>)> = match self {
            Self::Json(json) => {
                let encoding = json.encode(text, with_special).map_err(|e| wrong(file, &e))?;
                let spans = encoding.get_offsets().iter().map(|&(begin, end)| begin..end);
                encoding.get_ids().iter().copied().zip(spans).collect()
            }
            Self::SentencePiece(model) => model.encode(text, with_special),
        };
        let (ids, spans) = tokens.into_iter().map(|(id, span)| (i64::from(id), span)).unzip();
        Ok(Encoding { ids, spans })
    }

    /// Text of ids without special tokens.
    pub(crate) fn decode(&self, ids: &[u32], file: &Path) -> Result<String> {
        match self {
            Self::Json(json) => json.decode(ids, true).map_err(|e| wrong(file, &e)),
            Self::SentencePiece(model) => Ok(model.decode(ids)),
        }
    }
}

fn wrong(file: &Path, e: &tokenizers::Error) -> Error {
    Error::input(file, "", e.to_string(), "download tokenizer.json again")
}
