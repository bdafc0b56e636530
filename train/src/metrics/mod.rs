//! Scores of translations: BLEU-1 to BLEU-4, chrF and ROUGE-L (paper, Experiment, Evaluation Metrics).
//!
//! Papers on sign-language translation print numbers under these names that were computed in different ways and are
//! not comparable. All the usual ones are computed, and each carries a signature of how.

pub mod ablation;
pub mod ambiguous;
pub mod beside;
pub mod bleu;
pub mod bootstrap;
pub mod chrf;
pub mod comparison;
pub mod difference;
pub mod final_dot;
pub mod floor;
pub mod numpy_random;
pub mod paper_models;
pub mod porter;
pub mod predictions;
pub mod published;
pub mod rouge;
pub mod sentence;
pub mod student_t;
pub mod summary;
pub mod tokenizer_13a;
pub mod tokenizer_zh;
pub mod units;
pub mod verdicts;
pub mod word_diff;

use bleu::{Bleu, BleuCounts, BleuOptions};
use bootstrap::{Bootstrap, Interval};
use chrf::{Chrf, ChrfCounts, ChrfKind};
use final_dot::FinalDot;
use rouge::{LcsF, RougeL};
use sentence::{Measure, SentenceCounts};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use units::Units;

/// Every score of a list of translations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub sentences: usize,
    #[serde(default)]
    pub units: Units,
    /// sacreBLEU, by words with 13a: the BLEU of the paper and of SpaMo.
    pub bleu: Bleu,
    pub bleu_lowercase: Bleu,
    /// The BLEU of neccam/slt and of what builds on it.
    pub bleu_slt: Bleu,
    pub chrf: Chrf,
    pub chrf_plus_plus: Chrf,
    /// rouge-score with stemmer: the ROUGE-L of SpaMo.
    pub rouge_l: RougeL,
    pub rouge_l_unstemmed: RougeL,
    /// The ROUGE-L of neccam/slt and of what builds on it.
    pub rouge_l_slt: LcsF,
    /// How far the main scores vary with the choice of sentences.
    pub bootstrap: Bootstrap,
}

impl Scores {
    /// Of texts that had `dot` done to them by the caller.
    ///
    /// # Panics
    /// Where the two lists are not of equal length.
    pub fn of<S: AsRef<str> + Sync>(hypotheses: &[S], references: &[S], units: Units, dot: FinalDot) -> Self {
        Self::of_sentences(&SentenceCounts::of_corpus(hypotheses, references, units), dot)
    }

    /// Of sentences whose counts are known.
    pub fn of_sentences(sentences: &[SentenceCounts], dot: FinalDot) -> Self {
        Self::with_bootstrap(sentences, dot, Bootstrap::of(sentences))
    }

    /// Of sentences whose counts and intervals are known.
    pub fn with_bootstrap(sentences: &[SentenceCounts], dot: FinalDot, bootstrap: Bootstrap) -> Self {
        let bleu = |options: BleuOptions, counts: fn(&SentenceCounts) -> BleuCounts| {
            let mut sums = BleuCounts::default();
            sentences.iter().for_each(|sentence| sums += counts(sentence));
            options.score(&sums, dot)
        };
        // All are counted alike.
        let units = sentences.first().map_or(Units::Words, |sentence| sentence.units);
        let mut chrf = ChrfCounts::default();
        sentences.iter().for_each(|sentence| chrf += sentence.chrf);
        Self {
            sentences: sentences.len(),
            units,
            bleu: bleu(BleuOptions::of(units), |s| s.bleu),
            bleu_lowercase: bleu(BleuOptions::of(units).lowercase(), |s| s.bleu_lowercase),
            bleu_slt: bleu(BleuOptions::slt(units), |s| s.bleu_slt),
            chrf: ChrfKind::Chrf.score(&chrf, dot),
            chrf_plus_plus: ChrfKind::ChrfPlusPlus.score(&chrf, dot),
            rouge_l: RougeL::mean(sentences.iter().map(|s| s.rouge_l), true, units, dot),
            rouge_l_unstemmed: RougeL::mean(sentences.iter().map(|s| s.rouge_l_unstemmed), false, units, dot),
            rouge_l_slt: LcsF::mean(sentences.iter().map(|s| s.rouge_l_slt), units, dot),
            bootstrap,
        }
    }

    /// The score of a corpus that `measure` stands for, 0 to 100.
    pub fn get(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Bleu4 => self.bleu.bleu[bleu::ORDER - 1],
            Measure::Chrf => self.chrf.score,
            Measure::RougeL => 100.0 * self.rouge_l.mean.f1,
            Measure::RougeLSlt => self.rouge_l_slt.f,
        }
    }

    /// How [`Self::get`] was computed.
    pub fn signature(&self, measure: Measure) -> &str {
        match measure {
            Measure::Bleu4 => &self.bleu.signature,
            Measure::Chrf => &self.chrf.signature,
            Measure::RougeL => &self.rouge_l.signature,
            Measure::RougeLSlt => &self.rouge_l_slt.signature,
        }
    }

    /// The scores as papers print them, each with its interval where it has one, and its signature.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let intervals = &self.bootstrap.intervals;
        let row = |name: String, value, interval, signature| Row { name, value, interval, signature };
        let mut rows = Vec::new();
        let of_order = |n: usize| match (n, &self.bootstrap.lower_orders) {
            (bleu::ORDER, _) => Some(&intervals.bleu4),
            (_, lower) => lower.as_ref().map(|lower| &lower[n - 1]),
        };
        for (score, interval) in
            [(&self.bleu, Some(of_order)), (&self.bleu_lowercase, None), (&self.bleu_slt, None)]
        {
            for (n, value) in (1..).zip(&score.bleu) {
                let interval = interval.and_then(|all| all(n));
                rows.push(row(format!("BLEU-{n}"), *value, interval, score.signature.as_str()));
            }
        }
        let (chrf, plus) = (&self.chrf, &self.chrf_plus_plus);
        rows.push(row("chrF".to_owned(), chrf.score, Some(&intervals.chrf), &chrf.signature));
        rows.push(row("chrF++".to_owned(), plus.score, None, &plus.signature));
        let stemming = [(&self.rouge_l, Some(&intervals.rouge_l)), (&self.rouge_l_unstemmed, None)];
        // Characters have no stems: both are the same score.
        let different = if self.units == Units::Words { 2 } else { 1 };
        for (score, interval) in stemming.into_iter().take(different) {
            rows.push(row("ROUGE-L".to_owned(), 100.0 * score.mean.f1, interval, &score.signature));
        }
        let slt = &self.rouge_l_slt;
        rows.push(row("ROUGE-L".to_owned(), slt.f, Some(&intervals.rouge_l_slt), &slt.signature));
        rows
    }

    /// The rows of [`Self::rows`] that papers compare: BLEU-1 to BLEU-4 (sacreBLEU 13a), chrF, ROUGE-L (stemmed).
    pub fn main_rows(&self) -> Vec<Row<'_>> {
        let main = [Measure::Bleu4, Measure::Chrf, Measure::RougeL].map(|measure| self.signature(measure));
        self.rows().into_iter().filter(|row| main.contains(&row.signature)).collect()
    }

    /// [`Self::rows`] as text.
    pub fn table(&self) -> String {
        let Bootstrap { resamples, seed, .. } = &self.bootstrap;
        let sentences = if self.sentences == 1 { "sentence" } else { "sentences" };
        let mut out = format!(
            "{} {sentences}; score, then mean ± half width [95 % interval] of {resamples} bootstrap resamples, \
             seed {seed}\n",
            self.sentences
        );
        for Row { name, value, interval, signature } in self.rows() {
            let interval = interval.map_or(String::new(), |i| {
                format!("{:.2} ± {:.2} [{:.2}, {:.2}]", i.mean, i.half_width, i.low, i.high)
            });
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name:<8} {value:>6.2}  {interval:<29}  {signature}");
        }
        out
    }
}

/// One score of [`Scores::rows`], 0 to 100.
#[derive(Debug, Clone)]
pub struct Row<'s> {
    pub name: String,
    pub value: f64,
    pub interval: Option<&'s Interval>,
    pub signature: &'s str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_every_score_and_its_signature() {
        let scores =
            Scores::of(&["am Montag regnet es ."], &["am montag regnet es ."], Units::Words, FinalDot::Added);
        let table = scores.table();
        let lines: Vec<String> =
            table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines.iter().filter(|l| l.contains("|version:signclip-") && l.ends_with("|dot:added")).count(),
            17
        );
        assert!(lines.iter().any(|l| l.starts_with("BLEU-4 100.00 nrefs:1|case:lc|")), "{table}");
        let slt = "ROUGE-L 80.00 80.00 ± 0.00 [80.00, 80.00] nrefs:1|case:mixed|tok:space|stem:no|beta:1.2|";
        assert!(lines.iter().any(|l| l.starts_with(slt)), "{table}");
    }

    #[test]
    fn scores_survive_json() -> Result<(), serde_json::Error> {
        let scores = Scores::of(
            &["ein satz mit vier", ""],
            &["ein satz mit fünf", "leer"],
            Units::Words,
            FinalDot::AsGiven,
        );
        let json = serde_json::to_string(&scores)?;
        assert_eq!(serde_json::from_str::<Scores>(&json)?, scores);
        Ok(())
    }

    /// Texts that are empty, odd, or long enough to overflow something.
    #[test]
    fn every_text_has_a_score() {
        let long = "wort ".repeat(3000);
        let odd = [
            "",
            " ",
            ".",
            "\u{0}",
            "\u{feff}",
            "🤟🏽 ß",
            "a\u{301}\u{200d}b",
            "ﷺ\u{2028}\u{85}x",
            "&amp;amp;",
            &long,
        ];
        let pairs: Vec<(&str, &str)> = odd.iter().flat_map(|h| odd.iter().map(|r| (*h, *r))).collect();
        let finite = |scores: &Scores| {
            let json = serde_json::to_string(scores).expect("JSON");
            // JSON has no NaN and no infinity: serde writes null for them.
            assert!(!json.contains("null"), "{json}");
            let all = scores.bleu.bleu.iter().chain([&scores.chrf.score, &scores.rouge_l_slt.f]);
            all.chain([&scores.rouge_l.mean.f1]).for_each(|x| assert!((0.0..=100.000001).contains(x), "{x}"));
        };
        let all_units = [Units::Words, Units::Chinese, Units::Characters];
        let each = pairs.iter().flat_map(|pair| all_units.map(|units| (pair, units)));
        for ((hypothesis, reference), units) in each {
            let sentence = SentenceCounts::of(hypothesis, reference, units);
            let Bootstrap { intervals, .. } = Bootstrap::of(&[sentence]);
            for (score, interval) in [
                (sentence.scores().chrf, intervals.chrf),
                (sentence.scores().rouge_l, intervals.rouge_l),
                (sentence.scores().rouge_l_slt, intervals.rouge_l_slt),
            ] {
                assert!((interval.mean - score).abs() < 1e-9 && interval.half_width == 0.0);
            }
        }
        let (hypotheses, references): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
        for units in all_units {
            finite(&Scores::of(&hypotheses, &references, units, FinalDot::AsGiven));
            finite(&Scores::of::<&str>(&[], &[], units, FinalDot::AsGiven));
        }
    }
}
