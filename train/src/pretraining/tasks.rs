//! What the model learns from a sentence: one of two tasks.
//!
//! * Span denoising, T5's own objective (Raffel et al. 2020, 3.1.4 and 3.3.3; `random_spans_noise_mask` and
//!   `noise_span_to_unique_sentinel` in `t5/data/preprocessors.py`): spans of the sentence are each replaced by a sentinel, and
//!   the model writes the sentinels with the words that they stand for. T5's last span is always the end of the text, which of
//!   short sentences would hide nothing but the last word; here a span may be anywhere.
//! * Translation from a language that nobody signs: each word is a made-up one (`~regen` for `regen`, a token that shares
//!   nothing with it), and the words come in reverse order. The prompt is the one that a run has. So the model can write what
//!   its encoder reads, which Flan-T5 has learned from real languages. It sees no gloss and no order of signs.

use crate::data::batching::permutation;
use crate::language::text::Text;
use signclip_common::Result;
use signclip_common::synthetic::Random;

/// Share of a sentence's tokens that are replaced, and the mean length of a span.
const NOISE: f64 = 0.15;
const SPAN: f64 = 3.0;
/// Sentinels, as many as T5 has.
const SENTINELS: usize = 100;
/// The most tokens of a sentence: T5's.
pub const LONGEST: usize = 512;

/// Words that the tokenizer needs besides those of the sentences and of the prompt.
pub fn further_words<'t>(sentences: impl Iterator<Item = &'t str>) -> String {
    let sentinels = (0..SENTINELS).map(sentinel);
    let made_up = sentences.flat_map(str::split_whitespace).map(|word| made_up(word.trim_matches(MARKS)));
    let all: std::collections::BTreeSet<String> = sentinels.chain(made_up).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

/// Punctuation, which is the same in both languages.
const MARKS: [char; 9] = ['.', ',', '!', '?', ';', ':', '"', '(', ')'];

fn sentinel(number: usize) -> String {
    format!("<extra_id_{number}>")
}

fn made_up(word: &str) -> String {
    format!("~{word}")
}

/// Ids of the tasks.
pub struct Tasks {
    /// The made-up word of each id, or the id itself.
    made_up: Vec<i64>,
    sentinels: Vec<i64>,
    end: i64,
}

/// What the encoder reads, without the prompt, and what the model is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub input: Vec<i64>,
    pub target: Vec<i64>,
}

impl Tasks {
    /// With the tokenizer of [`further_words`]; `end`: the end token.
    pub fn new(text: &Text, end: i64) -> Result<Self> {
        let unknown = text.unknown();
        let one = |word: &str| -> Result<Option<i64>> {
            let ids = text.encode_prompt(word)?;
            Ok(ids.first().copied().filter(|id| ids.len() == 2 && Some(*id) != unknown))
        };
        let made_up = |id: i64| match text.token(id) {
            Some(token) => Ok(one(&made_up(&token))?.unwrap_or(id)),
            None => Ok(id),
        };
        let sentinels = (0..SENTINELS).map(|number| one(&sentinel(number)).map(Option::unwrap_or_default));
        Ok(Self {
            made_up: (0..text.vocabulary() as i64).map(made_up).collect::<Result<_>>()?,
            sentinels: sentinels.collect::<Result<_>>()?,
            end,
        })
    }

    /// Span denoising of a sentence without its end token, one token at least. A sentence of one token is a span whole.
    pub fn denoising(&self, sentence: &[i64], random: &Random) -> Example {
        let all = sentence.len();
        let noise = ((all as f64 * NOISE).round() as usize).clamp(1, (all - 1).max(1));
        let spans = ((noise as f64 / SPAN).round() as usize).clamp(1, (all - noise).max(1));
        // Where spans begin, counted in tokens that are kept: two spans never touch.
        let mut places = permutation(all - noise + 1, &Random::new("kept", random.bits(0)));
        places.truncate(spans);
        places.sort_unstable();
        let (mut input, mut target) = (Vec::new(), Vec::new());
        let (mut rest, mut kept) = (sentence, 0);
        let lengths = segments(noise, spans, &Random::new("replaced", random.bits(0)));
        for (span, (place, length)) in places.into_iter().zip(lengths).enumerate() {
            let (before, behind) = rest.split_at(place - kept);
            let (gone, behind) = behind.split_at(length);
            input.extend(before.iter().copied().chain([self.sentinels[span]]));
            target.extend([self.sentinels[span]].into_iter().chain(gone.iter().copied()));
            (rest, kept) = (behind, place);
        }
        input.extend_from_slice(rest);
        target.push(self.end);
        Example { input, target }
    }

    /// The sentence from the made-up language.
    pub fn translation(&self, sentence: &[i64]) -> Example {
        let input = sentence.iter().rev().map(|&id| self.made_up[id as usize]).collect();
        let target = sentence.iter().copied().chain([self.end]).collect();
        Example { input, target }
    }
}

/// Lengths of `parts` random segments of `tokens`, each with one token at least where there are as many.
fn segments(tokens: usize, parts: usize, random: &Random) -> Vec<usize> {
    let mut cuts = permutation(tokens.saturating_sub(1), random);
    cuts.truncate(parts - 1);
    let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut + 1).collect();
    ends.sort_unstable();
    ends.resize(parts, tokens);
    let begins = std::iter::once(0).chain(ends.clone());
    begins.zip(ends).map(|(begin, end)| end - begin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::t5::word_tokenizer;
    use std::path::Path;

    const SENTENCE: &str = "am montag regen, im norden und im westen wind bei sechs grad.";

    fn text() -> Text {
        let further = further_words([SENTENCE].into_iter());
        let json = word_tokenizer([SENTENCE, &further].into_iter());
        Text::parse(json.as_bytes(), Path::new("tokenizer.json")).expect("a tokenizer")
    }

    fn words(text: &Text, ids: &[i64]) -> Vec<String> {
        ids.iter().map(|&id| text.token(id).expect("a token")).collect()
    }

    /// Every sentinel stands for the words that follow it in the target: put back, the sentence is whole.
    #[test]
    fn spans_come_back() -> Result<()> {
        let text = text();
        let tasks = Tasks::new(&text, 1)?;
        let ids = text.encode(SENTENCE)?;
        let sentence = &ids[..ids.len() - 1];
        for (tokens, replaced) in [(1, 1), (2, 1), (sentence.len(), 2)] {
            let sentence = &sentence[..tokens];
            let mut inputs = std::collections::BTreeSet::new();
            for draw in 0..50 {
                let Example { input, target } = tasks.denoising(sentence, &Random::new("test", draw));
                let is_sentinel = |id: &&i64| tasks.sentinels.contains(id);
                assert_eq!(target.last(), Some(&1));
                assert_eq!(target.iter().filter(|id| !is_sentinel(id)).count(), replaced + 1);
                let mut whole = Vec::new();
                for id in &input {
                    match target.iter().position(|other| other == id) {
                        Some(at) if is_sentinel(&id) => {
                            let gone = target[at + 1..].iter().take_while(|id| !is_sentinel(id) && **id != 1);
                            whole.extend(gone.copied());
                        }
                        _ => whole.push(*id),
                    }
                }
                assert_eq!(whole, sentence);
                inputs.insert(input);
            }
            assert!(tokens < 3 || inputs.len() > 3, "the spans are random");
        }
        Ok(())
    }

    /// By hand: 40 tokens have 6 noisy ones in 2 spans.
    #[test]
    fn longer_sentences_have_several_spans() -> Result<()> {
        let tasks = Tasks::new(&text(), 1)?;
        let sentence: Vec<i64> = (200..240).collect();
        let Example { input, target } = tasks.denoising(&sentence, &Random::new("test", 0));
        assert_eq!((input.len(), target.len()), (34 + 2, 6 + 2 + 1));
        let found = input.iter().filter(|id| tasks.sentinels.contains(id)).count();
        assert_eq!(found, 2);
        Ok(())
    }

    #[test]
    fn the_made_up_language() -> Result<()> {
        let text = text();
        let tasks = Tasks::new(&text, 1)?;
        let ids = text.encode("regen, im norden.")?;
        let Example { input, target } = tasks.translation(&ids[..ids.len() - 1]);
        assert_eq!(words(&text, &input), [".", "~norden", "~im", ",", "~regen"]);
        assert_eq!(target, ids);
        Ok(())
    }
}
