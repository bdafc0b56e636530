//! ROUGE-L (Lin, 2004) in the two forms found in sign-language translation. They differ by several points on the
//! same sentences, so each comes with a signature.
//!
//! * [`RougeL`]: rouge-score 0.1.2 as SpaMo's `utils/evaluate.py` calls it, 0 to 1: text in lower case, tokens of
//!   `[a-z0-9]` only (other letters split words: "für" gives "f" and "r"), Porter stems of tokens longer than three
//!   characters, F1 of each sentence, mean.
//! * [`LcsF`]: neccam/slt `external_metrics/mscoco_rouge.py`, 0 to 100: text split at single spaces, F with
//!   beta = 1.2 of each sentence, mean.
//!
//! Texts that are counted in characters ([`Units`]) are cut into these for both, white space left out: [`RougeL`] then takes
//! them as they are, for its own tokens are Latin letters, and [`LcsF`] as if spaces stood between them.
//!
//! No deviations, except that a corpus without sentences scores 0.

use super::final_dot::FinalDot;
use super::porter;
use super::tokenizer_13a::words;
use super::units::{Units, spaced};
use serde::{Deserialize, Serialize};

/// Precision, recall and F1 of the longest common subsequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prf {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// rouge-score's ROUGE-L of a corpus: means over sentences, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RougeL {
    #[serde(flatten)]
    pub mean: Prf,
    pub signature: String,
}

/// The F score of neccam/slt: mean over sentences, 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LcsF {
    pub f: f64,
    pub signature: String,
}

/// Weight of recall against precision in [`LcsF`].
const BETA: f64 = 1.2;

impl RougeL {
    /// The score of a corpus from those of its sentences, whose texts had `dot` done to them.
    pub fn mean(
        sentences: impl ExactSizeIterator<Item = Prf>,
        stem: bool,
        units: Units,
        dot: FinalDot,
    ) -> Self {
        let mut sum = Prf::default();
        let n = sentences.len().max(1) as f64;
        for one in sentences {
            sum.precision += one.precision;
            sum.recall += one.recall;
            sum.f1 += one.f1;
        }
        let mean = Prf { precision: sum.precision / n, recall: sum.recall / n, f1: sum.f1 / n };
        let tokens = match (units, stem) {
            (Units::Words, true) => "case:lc|tok:[a-z0-9]+|stem:porter-nltk>3",
            (Units::Words, false) => "case:lc|tok:[a-z0-9]+|stem:no",
            _ => "case:mixed|tok:char|stem:no",
        };
        let signature = format!("nrefs:1|{tokens}|beta:1|mean:sentences|{}", dot.signature());
        Self { mean, signature }
    }

    pub fn sentence(hypothesis: &str, reference: &str, stem: bool) -> Prf {
        Self::of_tokens(&rouge_tokens(hypothesis, stem), &rouge_tokens(reference, stem))
    }

    /// Of the characters of both texts.
    pub fn characters(hypothesis: &str, reference: &str) -> Prf {
        let characters = |text: &str| words(text).flat_map(str::chars).collect::<Vec<char>>();
        Self::of_tokens(&characters(hypothesis), &characters(reference))
    }

    fn of_tokens<T: PartialEq>(hypothesis: &[T], reference: &[T]) -> Prf {
        let common = longest_common_subsequence(hypothesis, reference) as f64;
        if common == 0.0 {
            return Prf::default();
        }
        let precision = common / hypothesis.len() as f64;
        let recall = common / reference.len() as f64;
        Prf { precision, recall, f1: 2.0 * precision * recall / (precision + recall) }
    }
}

impl LcsF {
    /// The score of a corpus from those of its sentences (0 to 1), whose texts had `dot` done to them.
    pub fn mean(sentences: impl ExactSizeIterator<Item = f64>, units: Units, dot: FinalDot) -> Self {
        let n = sentences.len().max(1) as f64;
        let tok = if units == Units::Words { "space" } else { "char" };
        let signature =
            format!("nrefs:1|case:mixed|tok:{tok}|stem:no|beta:{BETA}|mean:sentences|{}", dot.signature());
        Self { f: 100.0 * sentences.sum::<f64>() / n, signature }
    }

    /// F of the characters of both texts, 0 to 1.
    pub fn characters(hypothesis: &str, reference: &str) -> f64 {
        Self::sentence(&spaced(hypothesis), &spaced(reference))
    }

    /// F of one sentence, 0 to 1. Two spaces in a row enclose an empty token, and an empty text is one empty token.
    pub fn sentence(hypothesis: &str, reference: &str) -> f64 {
        let hypothesis: Vec<&str> = hypothesis.split(' ').collect();
        let reference: Vec<&str> = reference.split(' ').collect();
        let common = longest_common_subsequence(&hypothesis, &reference) as f64;
        if common == 0.0 {
            return 0.0;
        }
        let precision = common / hypothesis.len() as f64;
        let recall = common / reference.len() as f64;
        (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
    }
}

/// rouge-score's tokens.
pub fn rouge_tokens(text: &str, stem: bool) -> Vec<String> {
    let text = text.to_lowercase();
    text.split(|c: char| !matches!(c, 'a'..='z' | '0'..='9'))
        .filter(|token| !token.is_empty())
        .map(|token| if stem && token.len() > 3 { porter::stem(token) } else { token.to_owned() })
        .collect()
}

fn longest_common_subsequence<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    // row[j]: length for the part of `a` seen so far and the first j of `b`.
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by rouge-score 0.1.2 and mscoco_rouge.py.
    #[test]
    fn known_sentences() {
        let pairs = [
            (
                "am montag und dienstag wechselhaft hier und da zeigt sich auch mal die sonne .",
                "montag und dienstag wechselhaft hier und da zeigt sich aber auch die sonne.",
                [12.0 / 14.0, 12.0 / 13.0, 0.888888888888889],
                0.7959667852906288,
            ),
            (
                "heute nacht elf grad an der ostsee und vier grad im erzgebirge.",
                "heute nacht zwölf grad an der nordsee vier grad in der eifel.",
                [7.0 / 12.0, 7.0 / 13.0, 0.56],
                0.5833333333333334,
            ),
            ("", "ein satz", [0.0; 3], 0.0),
        ];
        for (hypothesis, reference, prf, f) in pairs {
            let got = RougeL::sentence(hypothesis, reference, true);
            for (got, want) in [got.precision, got.recall, got.f1].into_iter().zip(prf) {
                assert!((got - want).abs() < 1e-12, "{hypothesis}: {got} {want}");
            }
            assert!((LcsF::sentence(hypothesis, reference) - f).abs() < 1e-12);
        }
    }

    #[test]
    fn tokens_are_ascii() {
        assert_eq!(rouge_tokens("Für Südwesten: 20 Grad", true), ["f", "r", "s", "dwesten", "20", "grad"]);
    }

    #[test]
    fn an_empty_corpus_scores_zero() {
        assert_eq!(RougeL::mean([].into_iter(), true, Units::Words, FinalDot::AsGiven).mean, Prf::default());
        assert_eq!(LcsF::mean([].into_iter(), Units::Words, FinalDot::AsGiven).f, 0.0);
    }
}
