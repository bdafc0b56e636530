//! chrF (Popović, 2015) and chrF++ (Popović, 2017) as sacreBLEU computes them.
//!
//! Reference: sacrebleu 2.6.0, `metrics/chrf.py`, with its defaults: characters to order 6 without white space,
//! beta 2, precision and recall averaged over the orders that both texts are long enough for. One reference per
//! sentence. No deviations.

use super::bleu::ngrams;
use super::final_dot::FinalDot;
use super::tokenizer_13a::words;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
use std::ops::AddAssign;

const CHARACTER_ORDER: usize = 6;
const WORD_ORDER: usize = 2;
const ORDERS: usize = CHARACTER_ORDER + WORD_ORDER;
/// Weight of recall against precision.
const BETA: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChrfKind {
    /// Characters alone: sacreBLEU's `chrF2`.
    Chrf,
    /// Characters, and words to order 2: sacreBLEU's `chrF2++`.
    ChrfPlusPlus,
}

/// The score of a corpus, 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chrf {
    pub score: f64,
    pub signature: String,
}

/// What chrF is made from: counts of one sentence, or their sums over a corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ChrfCounts {
    /// n-grams in hypothesis, reference, and both: characters of order 1 to 6, then words of order 1 and 2.
    orders: [[u64; 3]; ORDERS],
}

impl ChrfKind {
    fn word_order(self) -> usize {
        match self {
            Self::Chrf => 0,
            Self::ChrfPlusPlus => WORD_ORDER,
        }
    }

    /// sacreBLEU's short description of the score, with this program's version and the final full stop.
    pub fn signature(self, dot: FinalDot) -> String {
        let nw = self.word_order();
        format!("nrefs:1|case:mixed|eff:yes|nc:{CHARACTER_ORDER}|nw:{nw}|space:no|{}", dot.signature())
    }

    /// The score of counts summed over a corpus, whose texts had `dot` done to them.
    pub fn score(self, sums: &ChrfCounts, dot: FinalDot) -> Chrf {
        Chrf { score: self.value(sums), signature: self.signature(dot) }
    }

    /// The score alone, 0 to 100, of counts of a sentence or summed over a corpus.
    pub fn value(self, sums: &ChrfCounts) -> f64 {
        let (mut precision, mut recall, mut effective) = (0.0, 0.0, 0.0);
        for &[hypothesis, reference, both] in &sums.orders[..CHARACTER_ORDER + self.word_order()] {
            if hypothesis > 0 && reference > 0 {
                precision += both as f64 / hypothesis as f64;
                recall += both as f64 / reference as f64;
                effective += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / effective, recall / effective);
        let factor = BETA * BETA;
        100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
    }
}

impl ChrfCounts {
    pub fn of(hypothesis: &str, reference: &str) -> Self {
        let characters = |text: &str| words(text).flat_map(str::chars).collect::<Vec<char>>();
        let mut this = Self::default();
        let (characters_of, words_of) = this.orders.split_at_mut(CHARACTER_ORDER);
        count(characters_of, &characters(hypothesis), &characters(reference));
        count(words_of, &words_and_marks(hypothesis), &words_and_marks(reference));
        this
    }
}

impl AddAssign for ChrfCounts {
    fn add_assign(&mut self, other: Self) {
        for (sums, more) in self.orders.iter_mut().flatten().zip(other.orders.iter().flatten()) {
            *sums += more;
        }
    }
}

/// Fill in the n-grams of order 1, 2, ... .
fn count<T: Eq + Hash>(orders: &mut [[u64; 3]], hypothesis: &[T], reference: &[T]) {
    for (n, order) in (1..).zip(orders) {
        let wanted = ngrams(reference, n);
        let [in_hypothesis, in_reference, in_both] = order;
        *in_reference = wanted.values().sum();
        for (ngram, count) in ngrams(hypothesis, n) {
            *in_both += count.min(wanted.get(ngram).copied().unwrap_or(0));
            // An order that the reference is too short for does not count against the hypothesis.
            *in_hypothesis += if wanted.is_empty() { 0 } else { count };
        }
    }
}

/// Words, each with at most one punctuation mark taken off: the last character, else the first.
fn words_and_marks(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for word in words(text) {
        let last = word.char_indices().next_back().map_or((0, ' '), |(at, c)| (at, c));
        match (word.chars().next(), last) {
            // A single character.
            (_, (0, _)) => parts.push(word),
            (_, (at, mark)) if mark.is_ascii_punctuation() => parts.extend([&word[..at], &word[at..]]),
            (Some(mark), _) if mark.is_ascii_punctuation() => parts.extend([&word[..1], &word[1..]]),
            _ => parts.push(word),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by sacrebleu 2.6.0:
    ///
    /// ```python
    /// from sacrebleu.metrics import CHRF
    /// for order in (0, 2):
    ///     m = CHRF(word_order=order)
    ///     print(m.corpus_score(hyps, [refs]).score, [m.sentence_score(h, [r]).score for h, r in zip(hyps, refs)])
    /// ```
    #[test]
    fn as_sacrebleu_prints_them() {
        let hypotheses = [
            "Am Montag wird es im Süden freundlich.",
            "heute nacht elf grad (an der ostsee) und \"vier\" grad",
            "ab",
            "",
            "nichts",
        ];
        let references = [
            "am montag wird es im süden freundlich .",
            "heute nacht zwölf grad an der nordsee, vier grad in der eifel",
            "abc def",
            "leer",
            "",
        ];
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
        for (kind, corpus, sentences) in KNOWN {
            let mut sums = ChrfCounts::default();
            for (i, want) in sentences.into_iter().enumerate() {
                let counts = ChrfCounts::of(hypotheses[i], references[i]);
                close(kind.value(&counts), want);
                sums += counts;
            }
            close(kind.value(&sums), corpus);
        }
    }

    /// Corpus score and sentence scores.
    const KNOWN: [(ChrfKind, f64, [f64; 5]); 2] = [
        (ChrfKind::Chrf, 52.14680370731459, [78.07554580044848, 40.076614484833144, 31.25, 0.0, 0.0]),
        (
            ChrfKind::ChrfPlusPlus,
            48.10076931799788,
            [71.72630220747922, 37.93261565016293, 20.833333333333336, 0.0, 0.0],
        ),
    ];

    #[test]
    fn signatures() {
        assert!(
            ChrfKind::Chrf
                .signature(FinalDot::AsGiven)
                .starts_with("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:signclip-")
        );
        assert!(ChrfKind::ChrfPlusPlus.signature(FinalDot::AsGiven).contains("|nw:2|"));
    }

    #[test]
    fn one_mark_is_taken_off_a_word() {
        assert_eq!(
            words_and_marks("(hi) „ü! -5 a. ! ..."),
            ["(hi", ")", "„ü", "!", "-", "5", "a", ".", "!", "..", "."]
        );
    }
}
