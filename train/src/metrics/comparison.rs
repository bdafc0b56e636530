//! Two runs on the same sentences, side by side.

use super::Scores;
use super::bootstrap::{Bootstrap, RESAMPLES, p_value, resample};
use super::final_dot::FinalDot;
use super::numpy_random::SEED;
use super::sentence::{Each, Measure, SentenceCounts};
use super::units::Units;
use serde::Serialize;
use std::cmp::Ordering;
use std::fmt::Write;

/// The scores of two runs A and B, and how they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub sentences: usize,
    pub resamples: usize,
    pub seed: u64,
    pub differences: Each<Difference>,
    pub a: Scores,
    pub b: Scores,
}

/// One score of B against that of A.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// 0 to 100.
    pub a: f64,
    pub b: f64,
    pub b_minus_a: f64,
    /// See [`p_value`].
    pub p: f64,
    /// Sentences that score higher in B, lower, and the same.
    pub better: usize,
    pub worse: usize,
    pub equal: usize,
}

impl Comparison {
    /// # Panics
    /// Where the lists are not of equal length.
    pub fn of<S: AsRef<str> + Sync>(a: &[S], b: &[S], references: &[S], units: Units, dot: FinalDot) -> Self {
        let [a, b] = [a, b].map(|hypotheses| SentenceCounts::of_corpus(hypotheses, references, units));
        let [a_resampled, b_resampled] = [&a, &b].map(|sentences| resample(sentences));
        let [a_single, b_single] =
            [&a, &b].map(|sentences| sentences.iter().map(SentenceCounts::scores).collect::<Vec<_>>());
        let scores = |sentences: &[SentenceCounts], resampled| {
            Scores::with_bootstrap(sentences, dot, Bootstrap::from_resamples(resampled))
        };
        let (a_scores, b_scores) = (scores(&a, &a_resampled), scores(&b, &b_resampled));
        let differences = Each::from_fn(|measure| {
            let (of_a, of_b) = (a_scores.get(measure), b_scores.get(measure));
            let singly = |wanted: Ordering| {
                let pairs = a_single.iter().zip(&b_single);
                pairs.filter(|(a, b)| b.get(measure).total_cmp(a.get(measure)) == wanted).count()
            };
            Difference {
                a: of_a,
                b: of_b,
                b_minus_a: of_b - of_a,
                p: p_value(a_resampled.get(measure), b_resampled.get(measure), of_b - of_a),
                better: singly(Ordering::Greater),
                worse: singly(Ordering::Less),
                equal: singly(Ordering::Equal),
            }
        });
        Self {
            sentences: references.len(),
            resamples: RESAMPLES,
            seed: SEED,
            differences,
            a: a_scores,
            b: b_scores,
        }
    }

    /// The scores side by side (0 to 100, ± half the 95 % interval), and what is known of the difference.
    pub fn table(&self) -> String {
        let Self { sentences, resamples, seed, differences, a, b } = self;
        let mut out = format!(
            "{sentences} sentences; p of the paired bootstrap, {resamples} resamples, seed {seed}; sentences better, \
             worse and equal in B\n"
        );
        let mut line = |name: &str, [a, b, difference]: [&str; 3], test: [&str; 4], signature: &str| {
            let [p, better, worse, equal] = test;
            let values = format!("{name:<8} {a:>14} {b:>14} {difference:>7}");
            let line = format!("{values} {p:>6} {better:>7} {worse:>6} {equal:>6}  {signature}");
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", line.trim_end());
        };
        line("", ["A", "B", "B - A"], ["p", "better", "worse", "equal"], "");
        for (n, (a_n, b_n)) in (1..=3).zip(a.bleu.bleu.iter().zip(&b.bleu.bleu)) {
            // The column of the score, without that of its interval.
            let values = [a_n, b_n].map(|value| format!("{value:.2}{:8}", ""));
            let difference = format!("{:+.2}", b_n - a_n);
            line(&format!("BLEU-{n}"), [&values[0], &values[1], &difference], [""; 4], &a.bleu.signature);
        }
        for measure in Measure::ALL {
            let d = differences.get(measure);
            let values = [(d.a, a), (d.b, b)].map(|(value, scores)| {
                format!("{value:.2} ± {:>5.2}", scores.bootstrap.intervals.get(measure).half_width)
            });
            let difference = format!("{:+.2}", d.b_minus_a);
            let test =
                [format!("{:.3}", d.p), d.better.to_string(), d.worse.to_string(), d.equal.to_string()];
            line(
                measure.name(),
                [&values[0], &values[1], &difference],
                test.each_ref().map(String::as_str),
                a.signature(measure),
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_counted_and_lined_up() {
        let references = ["im norden regnet es morgen", "der wind weht schwach", "guten abend", "schnee"];
        let a = ["im norden regnet es", "der wind weht", "guten abend", ""];
        let b = ["im norden regnet es morgen", "der sturm weht", "guten abend", ""];
        let comparison = Comparison::of(&a, &b, &references, Units::Words, FinalDot::AsGiven);
        let rouge = comparison.differences.rouge_l_slt;
        assert_eq!((rouge.better, rouge.worse, rouge.equal), (1, 1, 2));
        assert!((rouge.b_minus_a - (rouge.b - rouge.a)).abs() < 1e-12);
        let table = comparison.table();
        let of_rouge: Vec<&str> = table.lines().last().into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(of_rouge[0], "ROUGE-L");
        assert_eq!(of_rouge[of_rouge.len() - 4..][..3], ["1", "1", "2"], "{table}");
        let back =
            Comparison::of(&b, &a, &references, Units::Words, FinalDot::AsGiven).differences.rouge_l_slt;
        assert_eq!((back.better, back.worse, back.p), (1, 1, rouge.p));
        assert_eq!(back.b_minus_a, -rouge.b_minus_a);
    }

    #[test]
    fn a_run_is_equal_to_itself() {
        let texts = ["ein satz mit vielen worten", "noch einer", ""];
        let references = ["ein satz mit vielen wörtern", "keiner", "leer"];
        let Comparison { differences, a, b, .. } =
            Comparison::of(&texts, &texts, &references, Units::Words, FinalDot::AsGiven);
        assert_eq!(a, b);
        for measure in Measure::ALL {
            let d = differences.get(measure);
            assert_eq!((d.b_minus_a, d.p, d.better, d.worse, d.equal), (0.0, 1.0, 0, 0, 3));
        }
    }
}
