//! BLEU (Papineni et al., 2002) as sacreBLEU computes it, and as the older sign-language code does.
//!
//! References: sacrebleu 2.2.0 to 2.6.0, `metrics/bleu.py`, called once per maximum order by SpaMo's
//! `utils/evaluate.py`; `raw_corpus_bleu` of the sacrebleu 1.4.2 bundled with neccam/slt. One reference per sentence.
//!
//! Deviation: BLEU-1 to BLEU-4 come from one count of n-grams. BLEU-n of a 4-gram count equals BLEU of maximum order
//! n, smoothing included, since orders are smoothed from the lowest up.

use super::tokenizer_13a::{tokenize_13a, trim_end, words};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;

/// Highest n-gram order.
pub const ORDER: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tokenizer {
    /// `13a`.
    Mteval13a,
    /// Split at white space.
    None,
}

/// What stands in for the precision of an order without a match.
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

    pub const fn lowercase(self) -> Self {
        Self { lowercase: true, ..self }
    }

    /// sacreBLEU's short description of the score, with this program's version.
    pub fn signature(&self) -> String {
        let case = if self.lowercase { "lc" } else { "mixed" };
        let eff = if self.effective_order { "yes" } else { "no" };
        let tok = match self.tokenizer {
            Tokenizer::Mteval13a => "13a",
            Tokenizer::None => "none",
        };
        let smooth = match self.smoothing {
            Smoothing::Exp => "exp".to_owned(),
            Smoothing::Floor(value) => format!("floor[{value:.2}]"),
        };
        format!("nrefs:1|case:{case}|eff:{eff}|tok:{tok}|smooth:{smooth}|version:{}", super::VERSION)
    }

    /// The score of a corpus.
    ///
    /// # Panics
    /// Where the two lists are not of equal length.
    pub fn corpus<S: AsRef<str>>(&self, hypotheses: &[S], references: &[S]) -> Bleu {
        assert_eq!(hypotheses.len(), references.len(), "one reference per hypothesis");
        let mut statistics = Statistics::default();
        for (hypothesis, reference) in hypotheses.iter().zip(references) {
            statistics.add(&self.tokenize(hypothesis.as_ref()), &self.tokenize(reference.as_ref()));
        }
        self.score(&statistics)
    }

    /// BLEU-4 of one sentence, counting only the orders it is long enough for.
    pub fn sentence(&self, hypothesis: &str, reference: &str) -> f64 {
        Self { effective_order: true, ..*self }.corpus(&[hypothesis], &[reference]).bleu[ORDER - 1]
    }

    fn tokenize(&self, segment: &str) -> String {
        let segment: Cow<str> =
            if self.lowercase { segment.to_lowercase().into() } else { Cow::Borrowed(segment) };
        let segment = trim_end(&segment);
        match self.tokenizer {
            Tokenizer::Mteval13a => tokenize_13a(segment),
            Tokenizer::None => segment.to_owned(),
        }
    }

    fn score(&self, s: &Statistics) -> Bleu {
        let bp = match (s.sys_len, s.ref_len) {
            (sys, reference) if sys >= reference => 1.0,
            (0, _) => 0.0,
            (sys, reference) => (1.0 - reference as f64 / sys as f64).exp(),
        };
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
        Bleu {
            bleu,
            counts: s.counts,
            totals: s.totals,
            precisions,
            bp,
            sys_len: s.sys_len,
            ref_len: s.ref_len,
            signature: self.signature(),
        }
    }
}

/// Sums over the sentences of a corpus.
#[derive(Default)]
struct Statistics {
    /// n-grams that the reference has too, each at most as often as it does.
    counts: [u64; ORDER],
    totals: [u64; ORDER],
    sys_len: u64,
    ref_len: u64,
}

impl Statistics {
    fn add(&mut self, hypothesis: &str, reference: &str) {
        let hypothesis: Vec<&str> = words(hypothesis).collect();
        let reference: Vec<&str> = words(reference).collect();
        self.sys_len += hypothesis.len() as u64;
        self.ref_len += reference.len() as u64;
        for n in 1..=ORDER {
            let wanted = ngrams(&reference, n);
            for (ngram, count) in ngrams(&hypothesis, n) {
                self.totals[n - 1] += count;
                self.counts[n - 1] += count.min(wanted.get(ngram).copied().unwrap_or(0));
            }
        }
    }
}

fn ngrams<'a, 'b>(words: &'b [&'a str], n: usize) -> HashMap<&'b [&'a str], u64> {
    let mut counts = HashMap::new();
    for ngram in words.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let score = BleuOptions::SACREBLEU.corpus(&hypotheses, &references);
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

    /// No sentence of four words: BLEU-4 is 0, not undefined.
    #[test]
    fn an_order_without_ngrams_scores_zero() {
        let score = BleuOptions::SACREBLEU
            .corpus(&["der wind weht", "heute regen"], &["der wind weht schwach", "morgen regen im norden"]);
        assert!((score.bp - 0.5488116361).abs() < 1e-9);
        assert_eq!((score.bleu[3], score.precisions[3], score.totals[3]), (0.0, 0.0, 0));
        assert_eq!(score.precisions[2], 100.0);
    }

    #[test]
    fn signatures_say_what_was_done() {
        assert!(
            BleuOptions::SLT
                .lowercase()
                .signature()
                .starts_with("nrefs:1|case:lc|eff:no|tok:none|smooth:floor[0.00]|")
        );
    }
}
