//! BLEU (Papineni et al., 2002) as sacreBLEU computes it, and as the older sign-language code does.
//!
//! References: sacrebleu 2.2.0 to 2.6.0, `metrics/bleu.py`, called once per maximum order by SpaMo's
//! `utils/evaluate.py`; `raw_corpus_bleu` of the sacrebleu 1.4.2 bundled with neccam/slt. One reference per sentence.
//!
//! Deviation: BLEU-1 to BLEU-4 come from one count of n-grams. BLEU-n of a 4-gram count equals BLEU of maximum order
//! n, smoothing included, since orders are smoothed from the lowest up.

use super::final_dot::FinalDot;
use super::tokenizer_13a::{tokenize_13a, trim_end, words};
use super::tokenizer_zh::tokenize_zh;
use super::units::{Units, spaced};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::AddAssign;

/// Highest n-gram order.
pub const ORDER: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tokenizer {
    /// `13a`.
    Mteval13a,
    /// `zh`.
    Chinese,
    /// `char`.
    Characters,
    /// Split at white space.
    None,
}

/// What replaces the precision of an order without a match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Smoothing {
    /// 1/2, 1/4, 1/8, ... of a match for the first, second, third, ... such order.
    Exp,
    /// This many matches.
    Floor(f64),
}

/// How BLEU is computed; everything its signature states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BleuOptions {
    pub tokenizer: Tokenizer,
    pub smoothing: Smoothing,
    pub lowercase: bool,
    /// Count only the orders for which the hypothesis is long enough (for single sentences).
    pub effective_order: bool,
}

/// A corpus score with everything it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bleu {
    /// BLEU-1 to BLEU-4, 0 to 100 (cumulative: the usual BLEU is the last).
    pub bleu: [f64; ORDER],
    pub counts: [u64; ORDER],
    pub totals: [u64; ORDER],
    pub precisions: [f64; ORDER],
    pub bp: f64,
    pub sys_len: u64,
    pub ref_len: u64,
    pub signature: String,
}

impl BleuOptions {
    /// sacreBLEU's default, the score of the paper.
    pub const SACREBLEU: Self = Self {
        tokenizer: Tokenizer::Mteval13a,
        smoothing: Smoothing::Exp,
        lowercase: false,
        effective_order: false,
    };

    /// `raw_corpus_bleu` of neccam/slt, the score of most earlier PHOENIX14T papers.
    pub const SLT: Self =
        Self { tokenizer: Tokenizer::None, smoothing: Smoothing::Floor(0.0), ..Self::SACREBLEU };

    /// sacreBLEU's defaults, with its tokeniser for these units.
    pub fn of(units: Units) -> Self {
        let tokenizer = match units {
            Units::Words => Tokenizer::Mteval13a,
            Units::Chinese => Tokenizer::Chinese,
            Units::Characters => Tokenizer::Characters,
        };
        Self { tokenizer, ..Self::SACREBLEU }
    }

    /// [`Self::SLT`], of characters where the units are not words: spaces between them make them tokens.
    pub fn slt(units: Units) -> Self {
        let tokenizer = if units == Units::Words { Tokenizer::None } else { Tokenizer::Characters };
        Self { tokenizer, ..Self::SLT }
    }

    pub const fn lowercase(self) -> Self {
        Self { lowercase: true, ..self }
    }

    /// sacreBLEU's short description of the score, with this program's version and the final full stop.
    pub fn signature(&self, dot: FinalDot) -> String {
        let case = if self.lowercase { "lc" } else { "mixed" };
        let eff = if self.effective_order { "yes" } else { "no" };
        let tok = match self.tokenizer {
            Tokenizer::Mteval13a => "13a",
            Tokenizer::Chinese => "zh",
            Tokenizer::Characters => "char",
            Tokenizer::None => "none",
        };
        let smooth = match self.smoothing {
            Smoothing::Exp => "exp".to_owned(),
            Smoothing::Floor(value) => format!("floor[{value:.2}]"),
        };
        format!("nrefs:1|case:{case}|eff:{eff}|tok:{tok}|smooth:{smooth}|{}", dot.signature())
    }

    /// BLEU-4 of one sentence, counting only the orders it is long enough for.
    pub fn sentence(&self, hypothesis: &str, reference: &str) -> f64 {
        self.sentence_of(&self.count(hypothesis, reference))
    }

    /// [`Self::sentence`] of counts.
    pub fn sentence_of(&self, counts: &BleuCounts) -> f64 {
        Self { effective_order: true, ..*self }.orders(counts)[ORDER - 1]
    }

    /// What the score is made from, of one sentence.
    pub fn count(&self, hypothesis: &str, reference: &str) -> BleuCounts {
        BleuCounts::of(&self.tokenize(hypothesis), &self.tokenize(reference))
    }

    /// The score of counts summed over a corpus, whose texts had `dot` done to them.
    pub fn score(&self, sums: &BleuCounts, dot: FinalDot) -> Bleu {
        let (bleu, precisions) = self.values(sums);
        Bleu {
            bleu,
            counts: sums.counts,
            totals: sums.totals,
            precisions,
            bp: sums.brevity_penalty(),
            sys_len: sums.sys_len,
            ref_len: sums.ref_len,
            signature: self.signature(dot),
        }
    }

    /// BLEU-1 to BLEU-4 alone, of counts summed over a corpus.
    pub fn orders(&self, sums: &BleuCounts) -> [f64; ORDER] {
        self.values(sums).0
    }

    /// The tokens of a text, separated by white space.
    pub fn tokenize(&self, segment: &str) -> String {
        let segment: Cow<str> =
            if self.lowercase { segment.to_lowercase().into() } else { Cow::Borrowed(segment) };
        let segment = trim_end(&segment);
        match self.tokenizer {
            Tokenizer::Mteval13a => tokenize_13a(segment),
            Tokenizer::Chinese => tokenize_zh(segment),
            Tokenizer::Characters => spaced(segment),
            Tokenizer::None => segment.to_owned(),
        }
    }

    /// BLEU-1 to BLEU-4, and the precision of each order.
    fn values(&self, s: &BleuCounts) -> ([f64; ORDER], [f64; ORDER]) {
        let bp = s.brevity_penalty();
        let mut precisions = [0.0; ORDER];
        let mut bleu = [0.0; ORDER];
        // Without a single matching word nothing is smoothed: the score is 0.
        if s.counts[0] > 0 {
            let mut unmatched = 1.0;
            let mut log_sum = 0.0;
            for n in 0..ORDER {
                let (count, total) = (s.counts[n] as f64, s.totals[n] as f64);
                if s.totals[n] == 0 {
                    // No sentence has this many words.
                    if self.effective_order {
                        bleu[n] = bleu[n - 1];
                        continue;
                    }
                    break;
                }
                precisions[n] = match self.smoothing {
                    _ if s.counts[n] > 0 => 100.0 * count / total,
                    Smoothing::Exp => {
                        unmatched *= 2.0;
                        100.0 / (unmatched * total)
                    }
                    Smoothing::Floor(value) => 100.0 * value / total,
                };
                log_sum += precisions[n].ln();
                bleu[n] = bp * (log_sum / (n + 1) as f64).exp();
            }
        }
        (bleu, precisions)
    }
}

/// What BLEU is made from: counts of one sentence, or their sums over a corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BleuCounts {
    /// n-grams that the reference has too, each at most as often as it does.
    counts: [u64; ORDER],
    totals: [u64; ORDER],
    sys_len: u64,
    ref_len: u64,
}

impl BleuCounts {
    /// Of texts whose tokens are separated by white space.
    fn of(hypothesis: &str, reference: &str) -> Self {
        let hypothesis: Vec<&str> = words(hypothesis).collect();
        let reference: Vec<&str> = words(reference).collect();
        let mut this =
            Self { sys_len: hypothesis.len() as u64, ref_len: reference.len() as u64, ..Self::default() };
        for n in 1..=ORDER {
            let wanted = ngrams(&reference, n);
            for (ngram, count) in ngrams(&hypothesis, n) {
                this.totals[n - 1] += count;
                this.counts[n - 1] += count.min(wanted.get(ngram).copied().unwrap_or(0));
            }
        }
        this
    }

    fn brevity_penalty(&self) -> f64 {
        match (self.sys_len, self.ref_len) {
            (sys, reference) if sys >= reference => 1.0,
            (0, _) => 0.0,
            (sys, reference) => (1.0 - reference as f64 / sys as f64).exp(),
        }
    }
}

impl AddAssign for BleuCounts {
    fn add_assign(&mut self, other: Self) {
        for n in 0..ORDER {
            self.counts[n] += other.counts[n];
            self.totals[n] += other.totals[n];
        }
        self.sys_len += other.sys_len;
        self.ref_len += other.ref_len;
    }
}

/// How often each n-gram occurs.
pub(super) fn ngrams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    for ngram in items.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(hypotheses: &[&str], references: &[&str]) -> Bleu {
        let mut sums = BleuCounts::default();
        for (hypothesis, reference) in hypotheses.iter().zip(references) {
            sums += BleuOptions::SACREBLEU.count(hypothesis, reference);
        }
        BleuOptions::SACREBLEU.score(&sums, FinalDot::AsGiven)
    }

    /// Values printed by sacrebleu.
    #[test]
    fn short_corpora() {
        let hypotheses = [
            "am montag und dienstag wechselhaft hier und da zeigt sich auch mal die sonne .",
            "am nachmittag wird es dann freundlicher.",
            "heute nacht elf grad an der ostsee und vier grad im erzgebirge.",
        ];
        let references = [
            "montag und dienstag wechselhaft hier und da zeigt sich aber auch die sonne.",
            "am nachmittag wird es dann freundlicher.",
            "heute nacht zwölf grad an der nordsee vier grad in der eifel.",
        ];
        let score = corpus(&hypotheses, &references);
        assert_eq!((score.counts, score.totals), ([28, 20, 14, 10], [35, 32, 29, 26]));
        assert_eq!((score.sys_len, score.ref_len, score.bp), (35, 34, 1.0));
        let wanted = [79.99999999999997, 70.71067811865471, 62.26347383119763, 55.199058915111856];
        for (got, want) in score.bleu.iter().zip(wanted) {
            assert!((got - want).abs() < 1e-9);
        }
        assert!(
            score.signature.starts_with("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:signclip-")
        );
    }

    /// Values printed by sacrebleu 2.6.0:
    ///
    /// ```python
    /// [sacrebleu.metrics.BLEU(effective_order=True).sentence_score(h, [r]).score for h, r in zip(hyps, refs)]
    /// ```
    #[test]
    fn sentences() {
        for (hypothesis, reference, want) in [
            (
                "Am Montag wird es im Süden freundlich.",
                "am montag wird es im süden freundlich .",
                25.848657697858535,
            ),
            (
                "heute nacht elf grad (an der ostsee) und \"vier\" grad",
                "heute nacht zwölf grad an der nordsee, vier grad in der eifel",
                9.238430210261097,
            ),
            ("ab", "abc def", 0.0),
            ("", "leer", 0.0),
            ("nichts", "", 0.0),
        ] {
            let got = BleuOptions::SACREBLEU.sentence(hypothesis, reference);
            assert!((got - want).abs() < 1e-9, "{hypothesis}: {got} {want}");
        }
    }

    /// No sentence of four words: BLEU-4 is 0, not undefined.
    #[test]
    fn an_order_without_ngrams_scores_zero() {
        let score =
            corpus(&["der wind weht", "heute regen"], &["der wind weht schwach", "morgen regen im norden"]);
        assert!((score.bp - 0.5488116361).abs() < 1e-9);
        assert_eq!((score.bleu[3], score.precisions[3], score.totals[3]), (0.0, 0.0, 0));
        assert_eq!(score.precisions[2], 100.0);
    }

    #[test]
    fn signatures_say_what_was_done() {
        assert!(
            BleuOptions::SLT
                .lowercase()
                .signature(FinalDot::Removed)
                .starts_with("nrefs:1|case:lc|eff:no|tok:none|smooth:floor[0.00]|")
        );
    }
}
