//! SentencePiece (Kudo and Richardson 2018): the `spiece.model` of T5 and mT5, a unigram model.
//!
//! Gives the ids of the library itself. They are those of `tokenizer.json` as well, but for what a conversion leaves out:
//! bytes for characters without a piece, and rules for more than one character at a time.

mod normaliser;
mod prefixes;
mod protobuf;
#[cfg(test)]
mod tests;

use normaliser::{Normaliser, SPACE, character};
use prefixes::Prefixes;
use protobuf::{Kind, ModelProto, Piece};
use std::collections::BTreeMap;
use std::ops::Range;

/// What one character without a piece costs beyond the worst piece.
const UNKNOWN_PENALTY: f32 = 10.0;
/// Tokens that T5 has behind the pieces of its file.
const EXTRA_IDS: u32 = 100;
/// The token at the end of a sentence.
const END: &str = "</s>";

/// A unigram model.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    pieces: Vec<Piece>,
    /// Pieces that texts are cut into.
    texts: Prefixes,
    /// All others, and the extra tokens.
    special: BTreeMap<String, u32>,
    normaliser: Normaliser,
    unknown: u32,
    end: u32,
    unknown_score: f32,
    highest_score: f32,
    /// Ids of the 256 bytes, for a model that writes characters without a piece as bytes.
    bytes: Option<Vec<u32>>,
}

/// An id, and the bytes of the original text that it stands for.
type Token = (u32, Range<usize>);

impl SentencePiece {
    /// Parses a `spiece.model`. Errors: what is wrong with it, or not supported.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let ModelProto { pieces, trainer, normaliser, denormaliser } = ModelProto::parse(bytes)?;
        if trainer.model_type != 1 {
            let name = match trainer.model_type {
                2 => "BPE",
                3 => "words",
                4 => "characters",
                _ => "an unknown type",
            };
            return Err(format!("a model of {name} is not supported, but unigram models are"));
        }
        if trainer.treat_whitespace_as_suffix {
            return Err("treat_whitespace_as_suffix is set, which is not supported".to_owned());
        }
        if !denormaliser.is_empty() {
            return Err("a denormalizer_spec is not supported".to_owned());
        }
        let of = |kinds: &'static [Kind]| {
            let found = (0..).zip(&pieces).filter(|(_, piece)| kinds.contains(&piece.kind));
            found.map(|(id, piece)| (piece.text.as_str().into(), id))
        };
        if pieces.iter().any(|piece| piece.text.is_empty()) {
            return Err("a piece is empty".to_owned());
        }
        let mut special: BTreeMap<String, u32> = of(&[Kind::Unknown, Kind::Control, Kind::Byte])
            .map(|(text, id): (Box<str>, u32)| (text.into(), id))
            .collect();
        let [unknown] = of(&[Kind::Unknown]).map(|(_, id)| id).collect::<Vec<_>>()[..] else {
            return Err("not one piece for what is unknown".to_owned());
        };
        let end = special.get(END).copied().ok_or_else(|| format!("no piece {END}"))?;
        let bytes = match trainer.byte_fallback {
            true => {
                let id = |byte: u32| special.get(&format!("<0x{byte:02X}>")).copied();
                let ids: Option<Vec<u32>> = (0..256).map(id).collect();
                Some(ids.ok_or("byte_fallback is set, and a byte has no piece")?)
            }
            false => None,
        };
        // The file of mT5 has its extra tokens, that of T5 does not.
        if !pieces.iter().any(|piece| piece.text.contains("<extra_id_")) {
            let first = pieces.len() as u32;
            special.extend((0..EXTRA_IDS).map(|n| (format!("<extra_id_{n}>"), first + EXTRA_IDS - 1 - n)));
        }
        let scores = || pieces.iter().filter(|piece| piece.kind == Kind::Normal).map(|piece| piece.score);
        Ok(Self {
            texts: Prefixes::new(of(&[Kind::Normal, Kind::UserDefined, Kind::Unused]))?,
            normaliser: Normaliser::new(normaliser, Prefixes::new(of(&[Kind::UserDefined]))?)?,
            unknown_score: scores().fold(f32::MAX, f32::min) - UNKNOWN_PENALTY,
            highest_score: scores().fold(f32::MIN_POSITIVE, f32::max),
            special,
            unknown,
            end,
            bytes,
            pieces,
        })
    }

    /// One more than the largest id.
    pub(crate) fn vocabulary(&self) -> usize {
        self.special.values().map(|id| *id as usize + 1).fold(self.pieces.len(), usize::max)
    }

    pub(crate) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.special.get(token).copied().or_else(|| self.texts.id(token))
    }

    pub(crate) fn id_to_token(&self, id: u32) -> Option<&str> {
        let extra = || self.special.iter().find(|(_, other)| **other == id).map(|(token, _)| token.as_str());
        self.pieces.get(id as usize).map(|piece| piece.text.as_str()).or_else(extra)
    }

    /// Ids of a text, without and `with_end` token, and the bytes of it that each stands for: none for the end token.
    /// Special tokens that are written out in a text are text.
    pub(crate) fn encode(&self, text: &str, with_end: bool) -> Vec<Token> {
        let normalised = self.normaliser.apply(text);
        // The space before a word is not part of it.
        let span = |range: &Range<usize>| {
            let (begin, end) = (normalised.origin[range.start], normalised.origin[range.end]);
            let part = text.get(begin..end).unwrap_or_default();
            begin + part.len() - part.trim_start().len()..end
        };
        let mut tokens: Vec<Token> = Vec::new();
        let mut behind_unknown = false;
        for (id, range) in self.best_path(&normalised.text) {
            let is_unknown = id == self.unknown;
            match (&self.bytes, tokens.last_mut()) {
                (Some(bytes), _) if is_unknown => {
                    let ids = normalised.text[range.clone()].iter().map(|byte| bytes[usize::from(*byte)]);
                    tokens.extend(ids.map(|id| (id, span(&range))));
                }
                (None, Some((_, last))) if is_unknown && behind_unknown => last.end = span(&range).end,
                _ => tokens.push((id, span(&range))),
            }
            behind_unknown = is_unknown;
        }
        tokens.extend(with_end.then_some((self.end, 0..0)));
        tokens
    }

    /// The most probable pieces of a normalised text. Sums are rounded as in SentencePiece's `unigram_model.cc`, so that
    /// it takes the same one of two that are equal but for that.
    fn best_path(&self, text: &[u8]) -> Vec<(u32, Range<usize>)> {
        /// The best way to a place: its score, where its last piece begins, and the piece.
        type Way = Option<(f32, usize, u32)>;
        let mut best: Vec<Way> = vec![None; text.len() + 1];
        best[0] = Some((0.0, 0, 0));
        let mut begin = 0;
        while begin < text.len() {
            let so_far = best[begin].map_or(0.0, |(score, ..)| score);
            let first = character(&text[begin..]);
            let mut offer = |length: usize, score: f32, id: u32| {
                let way = &mut best[begin + length];
                if way.is_none_or(|(other, ..)| so_far + score > other) {
                    *way = Some((so_far + score, begin, id));
                }
            };
            let mut has_first = false;
            for (length, id) in self.texts.of(&text[begin..]) {
                let piece = &self.pieces[id as usize];
                let score = match piece.kind {
                    Kind::Unused => continue,
                    Kind::UserDefined => length as f32 * self.highest_score - 0.1,
                    _ => piece.score,
                };
                offer(length, score, id);
                has_first |= length == first;
            }
            if !has_first {
                offer(first, self.unknown_score, self.unknown);
            }
            begin += first;
        }
        let mut path = Vec::new();
        let mut end = text.len();
        while let Some((_, begin, id)) = best[end].filter(|_| end > 0) {
            path.push((id, begin..end));
            end = begin;
        }
        path.reverse();
        path
    }

    /// Text of ids, without special tokens.
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let mut text = Vec::new();
        let mut bytes = Vec::new();
        for piece in ids.iter().filter_map(|id| self.pieces.get(*id as usize)) {
            match piece.kind {
                Kind::Unknown | Kind::Control => {}
                Kind::Byte => bytes.extend(byte_of(&piece.text)),
                _ => {
                    text.push(whole_characters(&std::mem::take(&mut bytes)));
                    text.push(piece.text.replace(SPACE, " "));
                }
            }
        }
        text.push(whole_characters(&bytes));
        text.concat()
    }
}

/// The byte that a piece `<0xAB>` stands for.
fn byte_of(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// Bytes as text, a replacement character for each that is not part of a character.
fn whole_characters(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks.map(|chunk| chunk.valid().to_owned() + &"\u{FFFD}".repeat(chunk.invalid().len())).collect()
}
