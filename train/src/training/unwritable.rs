//! Sentences that the model cannot write, however well it learns: with letters that its tokenizer does not have, or longer
//! than the search goes.

use crate::data::corpus::Corpus;
use crate::language::beam_search::BeamSearchConfig;
use crate::language::text::Text;
use signclip_common::{Error, Result};
use std::ops::Range;

/// Share of the words, or of the sentences that are too long, above which it is a warning.
const MANY: f64 = 0.01;
/// Share of the words above which nobody wants to train, in percent.
const TOO_MANY: f64 = 20.0;

/// What to do about it.
const OTHER_MODEL: &str = "take a language model whose tokenizer has the letters, such as mT5 (\"tiny\" has the words of the \
    training sentences)";

/// Such sentences in a split.
#[derive(Debug, Default, PartialEq)]
pub struct Unwritable {
    sentences: usize,
    /// Sentences with `<unk>` in them, how many of all words, and how many of all tokens that is.
    unknown: usize,
    unknown_words: usize,
    words: usize,
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
            found.words += sentence.split_whitespace().count();
            if unknown > 0 {
                let words = unknown_words(text, sentence)?;
                found.unknown_words += words.len();
                let example = words.into_iter().next();
                found.example = found.example.or(example.map(|(word, part)| (name.clone(), word, part)));
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
        let many = |share: f64| share > 100.0 * MANY;
        let mut remarks = Vec::new();
        if let Some(unknown) = self.unknown_words() {
            let tokens = 100.0 * self.unknown_tokens as f64 / self.tokens.max(1) as f64;
            let text = format!(
                "{split}: {} have what the tokenizer has no token for, {unknown}; {tokens:.1} % of all tokens are <unk>; the \
                 model cannot write these words: {OTHER_MODEL}",
                share(self.unknown)
            );
            remarks.push((many(self.percent_of_words()), text));
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
            remarks.push((many(self.percent(self.long)), text));
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

    /// Refuses a split most of whose sentences the model could never write; `allowed` by the settings.
    pub fn check(&self, corpus: &Corpus, allowed: bool) -> Result<()> {
        match self.unknown_words().filter(|_| self.percent_of_words() > TOO_MANY && !allowed) {
            Some(unknown) => {
                let what = format!("the tokenizer has no token for what is in {unknown}");
                let remedy =
                    format!("{OTHER_MODEL}; or train nevertheless: --set text.allow_unknown_words=true");
                Err(Error::input(&corpus.store.folder, "", what, remedy))
            }
            None => Ok(()),
        }
    }

    /// How many words have something unknown in them, with an example.
    fn unknown_words(&self) -> Option<String> {
        let (clip, word, part) = self.example.as_ref()?;
        let (unknown, words, percent) = (self.unknown_words, self.words, self.percent_of_words());
        Some(format!("{unknown} of {words} words ({percent:.1} %), as {part:?} in {word:?} (clip {clip:?})"))
    }

    fn percent_of_words(&self) -> f64 {
        100.0 * self.unknown_words as f64 / self.words.max(1) as f64
    }

    fn percent(&self, n: usize) -> f64 {
        100.0 * n as f64 / self.sentences.max(1) as f64
    }
}

/// The words of `sentence`, which has something unknown in it, that have it, and what that is.
fn unknown_words(text: &Text, sentence: &str) -> Result<Vec<(String, String)>> {
    let (ids, spans) = (text.encode(sentence)?, text.spans(sentence)?);
    let unknown = ids.iter().zip(&spans).filter(|(id, _)| Some(**id) == text.unknown());
    let unknown: Vec<&Range<usize>> = unknown.map(|(_, span)| span).collect();
    let mut words = Vec::new();
    for word in sentence.split_whitespace() {
        let begin = word.as_ptr() as usize - sentence.as_ptr() as usize;
        let end = begin + word.len();
        if let Some(span) = unknown.iter().find(|span| span.start < end && begin < span.end) {
            let part = sentence.get(span.start.max(begin)..span.end.min(end)).unwrap_or(word);
            words.push((word.to_owned(), part.to_owned()));
        }
    }
    if words.is_empty() {
        // A tokenizer that does not say where its tokens are from.
        words.push((sentence.to_owned(), sentence.to_owned()));
    }
    Ok(words)
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
        let found = |sentence: &str| unknown_words(&text, sentence);
        let word = |word: &str, part: &str| (word.to_owned(), part.to_owned());
        assert_eq!(found("am montag schnee.")?, [word("schnee.", "schnee")]);
        assert_eq!(
            found("sturm am  montag,  ja")?,
            [word("sturm", "sturm"), word("montag,", ","), word("ja", "ja")]
        );
        Ok(())
    }

    #[test]
    fn a_hundredth_is_a_warning() {
        let example = Some(("a".to_owned(), "schnee.".to_owned(), "schnee".to_owned()));
        let found = Unwritable {
            sentences: 200,
            unknown: 2,
            unknown_words: 10,
            words: 1000,
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
            unknown.starts_with("train: 2 of 200 sentences (1.0 %)")
                && unknown.contains("10 of 1000 words (1.0 %), as \"schnee\" in \"schnee.\" (clip \"a\")")
                && unknown.contains("0.3 %"),
            "{unknown}"
        );
        assert!(
            long.contains("3 of 200") && long.contains("63 tokens") && long.contains("max_length=81"),
            "{long}"
        );
        assert!(Unwritable { unknown_words: 11, ..found }.remarks("train")[0].0);
        assert!(Unwritable { sentences: 200, ..Unwritable::default() }.remarks("train").is_empty());
    }
}
