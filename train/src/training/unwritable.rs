//! Sentences that the model cannot write, however well it learns: with letters that its tokenizer does not have, or longer
//! than the search goes.

use crate::data::corpus::Corpus;
use crate::language::beam_search::BeamSearchConfig;
use crate::language::text::Text;
use signclip_common::Result;

/// Share of the sentences from which on it is a warning.
const MANY: f64 = 0.01;

/// Such sentences in a split.
#[derive(Debug, Default, PartialEq)]
pub struct Unwritable {
    sentences: usize,
    /// Sentences with `<unk>` in them, and how many of all tokens that is.
    unknown: usize,
    unknown_tokens: usize,
    tokens: usize,
    /// Clip, word and what in it is unknown.
    example: Option<(String, String, String)>,
    /// Sentences that are too long, the longest length among them, and its clip.
    long: usize,
    longest: usize,
    longest_clip: String,
    /// Tokens that the search writes at most.
    limit: usize,
}

impl Unwritable {
    /// Count those of `corpus`, whose sentences have been tokenised by `text`.
    pub fn of(corpus: &Corpus, text: &Text, search: &BeamSearchConfig) -> Result<Self> {
        // The start token counts in the length of a search.
        let mut found = Self { sentences: corpus.len(), limit: search.max_length - 1, ..Self::default() };
        for (clip, sentence) in corpus.texts.iter().enumerate() {
            let (ids, name) = (corpus.target(clip), &corpus.store.clips[clip].id);
            let unknown = ids.iter().filter(|id| Some(**id) == text.unknown()).count();
            found.tokens += ids.len();
            found.unknown_tokens += unknown;
            found.unknown += usize::from(unknown > 0);
            if unknown > 0 && found.example.is_none() {
                let (word, part) = unknown_word(text, sentence)?;
                found.example = Some((name.clone(), word, part));
            }
            if ids.len() > found.limit {
                found.long += 1;
                if ids.len() > found.longest {
                    (found.longest, found.longest_clip) = (ids.len(), name.clone());
                }
            }
        }
        Ok(found)
    }

    /// What to say of the split, and whether it is a warning.
    pub fn remarks(&self, split: &str) -> Vec<(bool, String)> {
        let share = |n: usize| format!("{n} of {} sentences ({:.1} %)", self.sentences, self.percent(n));
        let many = |n: usize| self.percent(n) > 100.0 * MANY;
        let mut remarks = Vec::new();
        if let Some((clip, word, part)) = &self.example {
            let tokens = 100.0 * self.unknown_tokens as f64 / self.tokens.max(1) as f64;
            let text = format!(
                "{split}: {} have what the tokenizer has no token for, {tokens:.1} % of all tokens are <unk>, as {part:?} \
                 in {word:?} (clip {clip:?}); the model cannot write these words: take a language model whose tokenizer \
                 has the letters, such as mT5 (\"tiny\" has the words of the training sentences)",
                share(self.unknown)
            );
            remarks.push((many(self.unknown), text));
        }
        if self.long > 0 {
            let text = format!(
                "{split}: {} are longer than the {} tokens that the search writes at most, the longest has {} (clip {:?}): \
                 --set decoding.max_length={} lets it write them all",
                share(self.long),
                self.limit,
                self.longest,
                self.longest_clip,
                self.longest + 1
            );
            remarks.push((many(self.long), text));
        }
        remarks
    }

    /// Log the remarks.
    pub fn tell(&self, split: &str) {
        for (warning, text) in self.remarks(split) {
            match warning {
                true => tracing::warn!("{text}"),
                false => tracing::info!("{text}"),
            }
        }
    }

    fn percent(&self, n: usize) -> f64 {
        100.0 * n as f64 / self.sentences.max(1) as f64
    }
}

/// The first word of `sentence` with something unknown in it, and what that is.
fn unknown_word(text: &Text, sentence: &str) -> Result<(String, String)> {
    let ids = text.encode(sentence)?;
    let spans = text.spans(sentence)?;
    let at = ids.iter().position(|id| Some(*id) == text.unknown());
    let span = at.and_then(|at| spans.get(at)).cloned().unwrap_or(0..sentence.len());
    let Some(part) = sentence.get(span.clone()).filter(|part| !part.trim().is_empty()) else {
        return Ok((sentence.to_owned(), sentence.to_owned()));
    };
    let space = sentence[..span.start].char_indices().rev().find(|(_, c)| c.is_whitespace());
    let begin = space.map_or(0, |(at, c)| at + c.len_utf8());
    let end = sentence[span.end..].find(char::is_whitespace).map_or(sentence.len(), |space| span.end + space);
    Ok((sentence[begin..end].trim().to_owned(), part.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::t5::word_tokenizer;
    use std::path::Path;

    fn text(vocabulary: &str) -> Result<Text> {
        Text::parse(word_tokenizer([vocabulary].into_iter()).as_bytes(), Path::new("tokenizer.json"))
    }

    #[test]
    fn the_word_is_named() -> Result<()> {
        let text = text("am montag regen.")?;
        let found = |sentence: &str| unknown_word(&text, sentence);
        assert_eq!(found("am montag schnee.")?, ("schnee.".to_owned(), "schnee".to_owned()));
        assert_eq!(found("sturm am montag")?, ("sturm".to_owned(), "sturm".to_owned()));
        Ok(())
    }

    #[test]
    fn a_hundredth_is_a_warning() {
        let example = Some(("a".to_owned(), "schnee.".to_owned(), "schnee".to_owned()));
        let found = Unwritable {
            sentences: 200,
            unknown: 2,
            unknown_tokens: 3,
            tokens: 1000,
            example,
            long: 3,
            longest: 80,
            longest_clip: "b".to_owned(),
            limit: 63,
        };
        let remarks = found.remarks("train");
        assert_eq!(remarks.iter().map(|(warning, _)| *warning).collect::<Vec<_>>(), [false, true]);
        let [(_, unknown), (_, long)] = &remarks[..] else { panic!("{remarks:?}") };
        assert!(
            unknown.starts_with("train: 2 of 200 sentences (1.0 %)") && unknown.contains("0.3 %"),
            "{unknown}"
        );
        assert!(
            long.contains("3 of 200") && long.contains("63 tokens") && long.contains("max_length=81"),
            "{long}"
        );
        assert!(Unwritable { sentences: 200, ..Unwritable::default() }.remarks("train").is_empty());
    }
}
