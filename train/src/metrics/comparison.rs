//! Two configurations on the same sentences, side by side, each with one run or with several that differ in their seed.

use super::Scores;
use super::bootstrap::{Bootstrap, RESAMPLES, Resampled, resample};
use super::difference::{Difference, RunScore, hold};
use super::final_dot::FinalDot;
use super::numpy_random::SEED;
use super::sentence::{Each, EachScore, Measure, SentenceCounts};
use super::units::Units;
use serde::Serialize;
use std::cmp::Ordering;
use std::fmt::Write;

/// The scores of two sides A and B, and how they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub sentences: usize,
    pub resamples: usize,
    pub seed: u64,
    pub differences: Each<Compared>,
    /// Of each run.
    pub a: Vec<Scores>,
    pub b: Vec<Scores>,
}

/// One score of B against that of A.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// Means over the runs, 0 to 100.
    pub a: f64,
    pub b: f64,
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether it is one: after Holm's correction for the number of scores compared.
    pub holds: bool,
    /// Sentences that score higher in B, lower, and the same, on average over the runs.
    pub better: usize,
    pub worse: usize,
    pub equal: usize,
}

/// The runs of one side.
struct Side {
    scores: Vec<Scores>,
    resampled: Vec<Resampled>,
    /// Of each sentence, means over the runs.
    singly: Vec<EachScore>,
}

impl Side {
    fn of<S: AsRef<str> + Sync>(runs: &[Vec<S>], references: &[S], units: Units, dot: FinalDot) -> Self {
        let counts: Vec<Vec<SentenceCounts>> =
            runs.iter().map(|hypotheses| SentenceCounts::of_corpus(hypotheses, references, units)).collect();
        let resampled: Vec<Resampled> = counts.iter().map(|counts| resample(counts)).collect();
        let scores = counts.iter().zip(&resampled).map(|(counts, resampled)| {
            Scores::with_bootstrap(counts, dot, Bootstrap::from_resamples(resampled))
        });
        let single: Vec<Vec<EachScore>> =
            counts.iter().map(|counts| counts.iter().map(SentenceCounts::scores).collect()).collect();
        let mean = |sentence: usize| {
            Each::from_fn(|measure| {
                single.iter().map(|run| run[sentence].get(measure)).sum::<f64>() / single.len() as f64
            })
        };
        Self { scores: scores.collect(), singly: (0..references.len()).map(mean).collect(), resampled }
    }

    fn runs(&self, measure: Measure) -> Vec<RunScore<'_>> {
        let pairs = self.scores.iter().zip(&self.resampled);
        pairs
            .map(|(scores, resampled)| RunScore {
                score: scores.get(measure),
                resamples: resampled.get(measure),
            })
            .collect()
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let many = values.len();
    values.sum::<f64>() / many as f64
}

impl Comparison {
    /// Of the translations of each run.
    ///
    /// # Panics
    /// Where the lists are not of equal length, or a side has no run.
    pub fn of<S: AsRef<str> + Sync>(
        a: &[Vec<S>],
        b: &[Vec<S>],
        references: &[S],
        units: Units,
        dot: FinalDot,
    ) -> Self {
        let [a, b] = [a, b].map(|runs| Side::of(runs, references, units, dot));
        let differences =
            Each::from_fn(|measure| Difference::of(&a.runs(measure), &b.runs(measure), references.len()));
        let holds = hold(&Measure::ALL.map(|measure| *differences.get(measure)));
        let mut holds = Measure::ALL.into_iter().zip(holds);
        let differences = Each::from_fn(|measure| {
            let singly = |wanted: Ordering| {
                let pairs = a.singly.iter().zip(&b.singly);
                // Means of the same scores in another order differ in their last digits.
                let order =
                    |a: f64, b: f64| if (a - b).abs() < 1e-9 { Ordering::Equal } else { b.total_cmp(&a) };
                pairs.filter(|(a, b)| order(*a.get(measure), *b.get(measure)) == wanted).count()
            };
            Compared {
                a: mean(a.scores.iter().map(|scores| scores.get(measure))),
                b: mean(b.scores.iter().map(|scores| scores.get(measure))),
                difference: *differences.get(measure),
                holds: holds.find(|(other, _)| *other == measure).is_some_and(|(_, holds)| holds),
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
            a: a.scores,
            b: b.scores,
        }
    }

    /// The scores side by side (0 to 100, means over the runs), and what is known of the difference.
    pub fn table(&self) -> String {
        let Self { sentences, resamples, seed, differences, a, b } = self;
        let mut out = format!(
            "{sentences} sentences; runs: {} of A, {} of B; sentences better, worse and equal in B\n",
            a.len(),
            b.len()
        );
        let mut line = |name: &str, [a, b, difference]: [&str; 3], test: [&str; 5], signature: &str| {
            let [interval, holds, better, worse, equal] = test;
            let values = format!("{name:<8} {a:>7} {b:>7} {difference:>7}  {interval:<16}");
            let line = format!("{values} {holds:<9} {better:>7} {worse:>6} {equal:>6}  {signature}");
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", line.trim_end());
        };
        line("", ["A", "B", "B - A"], ["95 % interval", "differs", "better", "worse", "equal"], "");
        for n in 0..3 {
            let [a_n, b_n] = [a, b].map(|side| mean(side.iter().map(|scores| scores.bleu.bleu[n])));
            let values = [format!("{a_n:.2}"), format!("{b_n:.2}"), format!("{:+.2}", b_n - a_n)];
            let name = format!("BLEU-{}", n + 1);
            line(&name, values.each_ref().map(String::as_str), [""; 5], &a[0].bleu.signature);
        }
        for measure in Measure::ALL {
            let d = differences.get(measure);
            let Difference { difference, low, high, seeds_known, .. } = d.difference;
            let values = [format!("{:.2}", d.a), format!("{:.2}", d.b), format!("{difference:+.2}")];
            let verdict = match (seeds_known, d.holds) {
                (false, _) => "not known",
                (true, true) => "yes",
                (true, false) => "no",
            };
            let test = [
                format!("[{low:+.2}, {high:+.2}]"),
                verdict.to_owned(),
                d.better.to_string(),
                d.worse.to_string(),
                d.equal.to_string(),
            ];
            let [values, test] = [&values[..], &test[..]].map(|texts| texts.iter().map(String::as_str));
            let (values, test): (Vec<&str>, Vec<&str>) = (values.collect(), test.collect());
            line(
                measure.name(),
                [values[0], values[1], values[2]],
                [test[0], test[1], test[2], test[3], test[4]],
                a[0].signature(measure),
            );
        }
        let _ = writeln!(
            out,
            "Intervals: bootstrap over seeds and sentences, {resamples} resamples, seed {seed}; differs: after Holm's \
             correction for {} scores.",
            Measure::ALL.len()
        );
        if !differences.bleu4.difference.seeds_known {
            let _ = writeln!(
                out,
                "One run on a side: its interval does not know the spread between seeds, so that no difference is called \
                 one. Give several runs: evaluate compare A... --with B..."
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
        let comparison =
            Comparison::of(&[a.to_vec()], &[b.to_vec()], &references, Units::Words, FinalDot::AsGiven);
        let rouge = comparison.differences.rouge_l_slt;
        assert_eq!((rouge.better, rouge.worse, rouge.equal), (1, 1, 2));
        assert!((rouge.difference.difference - (rouge.b - rouge.a)).abs() < 1e-12);
        let table = comparison.table();
        let of_rouge: Vec<&str> =
            table.lines().rfind(|line| line.starts_with("ROUGE-L")).unwrap().split_whitespace().collect();
        assert_eq!(of_rouge[of_rouge.len() - 4..][..3], ["1", "1", "2"], "{table}");
        let back = Comparison::of(&[b.to_vec()], &[a.to_vec()], &references, Units::Words, FinalDot::AsGiven)
            .differences
            .rouge_l_slt;
        assert_eq!((back.better, back.worse), (1, 1));
        assert_eq!(back.difference.difference, -rouge.difference.difference);
        assert!(table.contains("not known") && table.contains("--with B"), "{table}");
    }

    #[test]
    fn a_run_is_equal_to_itself() {
        let texts = ["ein satz mit vielen worten", "noch einer", ""];
        let references = ["ein satz mit vielen wörtern", "keiner", "leer"];
        let Comparison { differences, a, b, .. } = Comparison::of(
            &[texts.to_vec()],
            &[texts.to_vec()],
            &references,
            Units::Words,
            FinalDot::AsGiven,
        );
        assert_eq!(a, b);
        for measure in Measure::ALL {
            let d = differences.get(measure);
            let Difference { difference, low, high, .. } = d.difference;
            assert_eq!((difference, low, high, d.holds), (0.0, 0.0, 0.0, false));
            assert_eq!((d.better, d.worse, d.equal), (0, 0, 3));
        }
    }

    /// Two runs a side of which every one of B is right where none of A is: a difference.
    #[test]
    fn several_runs_a_side() {
        let references: Vec<String> = (0..60).map(|i| format!("satz nummer {i} hat sechs worte")).collect();
        let wrong = |many: usize| -> Vec<String> {
            references
                .iter()
                .enumerate()
                .map(|(i, r)| if i % 10 < many { "nichts".to_owned() } else { r.clone() })
                .collect()
        };
        let comparison = Comparison::of(
            &[wrong(7), wrong(7), wrong(8)],
            &[wrong(2), wrong(2), wrong(3)],
            &references,
            Units::Words,
            FinalDot::AsGiven,
        );
        let rouge = comparison.differences.rouge_l_slt;
        assert!(rouge.holds && rouge.difference.low > 0.0 && rouge.difference.seeds_known, "{rouge:?}");
        // By hand: (30 + 30 + 20) / 3 and (80 + 80 + 70) / 3 percent are right.
        assert!((rouge.a - 80.0 / 3.0).abs() < 1e-9 && (rouge.b - 230.0 / 3.0).abs() < 1e-9, "{rouge:?}");
        // Better: the places 2 to 7, by place 2 in two runs of three.
        assert_eq!((rouge.better, rouge.worse, rouge.equal), (36, 0, 24));
    }
}
