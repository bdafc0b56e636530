//! Whether two configurations differ, where each was trained with several seeds: a bootstrap over seeds and sentences.
//!
//! A score varies with the sentences that it is of and with the seed of its training. One resample draws sentences, the
//! same ones for all runs, and for each side runs among its seeds, with replacement (a hierarchical bootstrap: Davison and
//! Hinkley, *Bootstrap Methods*, 1997, 3.8). Of m runs m - 1 are drawn, so that the variance of few seeds is not
//! underestimated (Rao and Wu, 1988). The variance of the differences over the resamples has three parts: that of the seeds
//! of either side, which is known without resampling (s²/m), and what is left for the sentences. Their sum is the squared
//! standard error, and
//!
//! ```text
//! interval = difference ± t · error
//! ```
//!
//! with t of Student's distribution, because a deviation of few seeds is uncertain itself. Its degrees of freedom are
//! Welch and Satterthwaite's, of the three parts. A percentile interval,
//! which does not know that, claims a difference between equal configurations of five seeds twice as often as it says.
//!
//! Of several differences each is one only where it holds after Holm's correction (1979), so that the probability of any
//! false claim among all of them is at most 5 %.

use super::numpy_random::Generator;
use super::student_t;
use serde::{Deserialize, Serialize};

/// Probability of a false claim.
pub const LEVEL: f64 = 0.05;

/// A score of one run: of all sentences, and of each resample of them, which are the same for all runs.
#[derive(Debug, Clone, Copy)]
pub struct RunScore<'r> {
    pub score: f64,
    pub resamples: &'r [f64],
}

/// How much more one side scores than the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Of the means over the seeds.
    pub difference: f64,
    /// 95 % interval.
    pub low: f64,
    pub high: f64,
    /// Whether both sides have several runs, of several sentences. Otherwise the interval does not know how these vary, and
    /// no difference is called one.
    pub seeds_known: bool,
    /// Probability of so large a difference where there is none: what Holm's correction goes by. It is not printed, for
    /// readers take it for more than it is.
    #[serde(skip)]
    pub chance: f64,
}

impl Difference {
    /// B less A, over `sentences` sentences.
    ///
    /// # Panics
    /// Where a side has no run.
    pub fn of(a: &[RunScore], b: &[RunScore], sentences: usize) -> Self {
        assert!(!a.is_empty() && !b.is_empty(), "a run on each side");
        let scores = |side: &[RunScore]| side.iter().map(|run| run.score).collect::<Vec<_>>();
        let difference = mean(&scores(b)) - mean(&scores(a));
        // Other numbers than those that drew the sentences.
        let mut generator = Generator::elsewhere();
        let resamples = a[0].resamples.len();
        let differences: Vec<f64> = (0..resamples)
            .map(|resample| {
                let [of_a, of_b] = [a, b].map(|side| {
                    let many = side.len().max(2) - 1;
                    let draw = |_| side[generator.below(side.len() as u32) as usize].resamples[resample];
                    (0..many).map(draw).sum::<f64>() / many as f64
                });
                of_b - of_a
            })
            .collect();
        let [of_a, of_b] = [a, b].map(|side| variance(&scores(side)) / side.len() as f64);
        let of_sentences = (variance(&differences) - of_a - of_b).max(0.0);
        let parts = [(of_a, a.len()), (of_b, b.len()), (of_sentences, sentences)];
        let all = of_a + of_b + of_sentences;
        let squares = parts.map(|(part, many)| part * part / (many.max(2) - 1) as f64).iter().sum::<f64>();
        let freedom = if squares > 0.0 { all * all / squares } else { 1.0 };
        let error = all.sqrt();
        let half = if error > 0.0 { student_t::quantile(LEVEL, freedom) * error } else { 0.0 };
        // Runs that score the same in every resample do not differ; others that differ by the same in each do.
        let chance = match (error > 0.0, difference == 0.0) {
            (true, _) => student_t::two_sided(difference.abs() / error, freedom),
            (false, true) => 1.0,
            (false, false) => 0.0,
        };
        let seeds_known = a.len() > 1 && b.len() > 1 && sentences > 1;
        Self { difference, low: difference - half, high: difference + half, seeds_known, chance }
    }
}

/// 95 % interval of the mean score of `runs`, over seeds and `sentences` sentences: what it differs by from nothing.
///
/// # Panics
/// Where there is no run.
pub fn interval_of_mean(runs: &[RunScore], sentences: usize) -> [f64; 2] {
    let zeros = vec![0.0; runs[0].resamples.len()];
    let nothing = RunScore { score: 0.0, resamples: &zeros };
    let Difference { low, high, .. } = Difference::of(&[nothing], runs, sentences);
    [low, high]
}

/// Which of the differences are differences, by [Holm's correction](holm) for their number.
pub fn hold(differences: &[Difference]) -> Vec<bool> {
    let chances: Vec<f64> = differences.iter().map(|difference| difference.chance).collect();
    holm(&chances).into_iter().zip(differences).map(|(holds, other)| holds && other.seeds_known).collect()
}

/// Which of several things of these probabilities are no chance, by Holm's correction for their number: from the least
/// probable on, as long as its probability is at most 5 % over the number of those that are left.
pub fn holm(chances: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|&one, &other| chances[one].total_cmp(&chances[other]));
    let mut holds = vec![false; chances.len()];
    for (before, &place) in order.iter().enumerate() {
        if chances[place] > LEVEL / (chances.len() - before) as f64 {
            break;
        }
        holds[place] = true;
    }
    holds
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// With n - 1; 0 of a single value. Counted from the first one, so that equal values have none.
fn variance(values: &[f64]) -> f64 {
    let from_first: Vec<f64> = values.iter().map(|value| value - values[0]).collect();
    let mean = mean(&from_first);
    from_first.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len().max(2) - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::draws;
    use super::*;

    /// Simulated runs of one configuration: a score of each sentence is what the sentence is worth, more or less for the
    /// seed, and chance.
    struct Simulation {
        random: Generator,
        sentences: Vec<f64>,
    }

    impl Simulation {
        const SENTENCES: usize = 60;

        fn new(random: Generator) -> Self {
            let mut new = Self { random, sentences: Vec::new() };
            new.sentences = (0..Self::SENTENCES).map(|_| 20.0 * new.normal()).collect();
            new
        }

        /// Nearly normal: twelve uniform numbers.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| f64::from(self.random.below(1 << 24)) / f64::from(1 << 24)).sum::<f64>() - 6.0
        }

        fn run(&mut self, mean: f64, seeds: f64) -> Vec<f64> {
            let shift = mean + seeds * self.normal();
            (0..Self::SENTENCES).map(|i| shift + self.sentences[i] + 10.0 * self.normal()).collect()
        }
    }

    /// How many of 200 comparisons of two sides of `runs` runs each are called a difference.
    fn claims(runs: usize, apart: f64, seeds: f64) -> usize {
        let mut random = Generator::seeded();
        let mut claimed = 0;
        for _ in 0..200 {
            let mut simulation = Simulation::new(random);
            let mut side = |mean| -> Vec<(f64, Vec<f64>)> {
                let of_run = |scores: Vec<f64>| {
                    let of = |drawn: &[u32]| {
                        drawn.iter().map(|&i| scores[i as usize]).sum::<f64>() / drawn.len() as f64
                    };
                    (mean_of(&scores), draws(scores.len(), of))
                };
                (0..runs).map(|_| of_run(simulation.run(mean, seeds))).collect()
            };
            let (a, b) = (side(0.0), side(apart));
            let [a, b] = [&a, &b].map(|side| {
                side.iter()
                    .map(|(score, resamples)| RunScore { score: *score, resamples })
                    .collect::<Vec<_>>()
            });
            claimed += usize::from(hold(&[Difference::of(&a, &b, Simulation::SENTENCES)])[0]);
            random = simulation.random;
        }
        claimed
    }

    fn mean_of(values: &[f64]) -> f64 {
        mean(values)
    }

    /// A difference of three times the spread between seeds is found in at least 80 % of 200 repetitions, and one that is
    /// not there is claimed in at most 5 %, whether seeds or sentences are what varies.
    #[test]
    fn known_differences_are_found_and_others_not_claimed() {
        for (runs, seeds) in [(5, 2.0), (3, 2.0), (5, 0.2)] {
            let claimed = claims(runs, 0.0, seeds);
            assert!(claimed <= 10, "{runs} runs: {claimed} claims of 200");
        }
        let found = claims(5, 6.0, 2.0);
        assert!(found >= 160, "{found} of 200");
    }

    /// By hand: each run scores the same in all resamples, so that only the seeds vary. Means 1 and 5, variances 1 and 4
    /// over 2 and 2 runs.
    #[test]
    fn seeds_alone_by_hand() {
        let same = |score: f64| vec![score; 4000];
        let [low, high, less, more] =
            [1.0 - 0.5_f64.sqrt(), 1.0 + 0.5_f64.sqrt(), 5.0 - 2.0_f64.sqrt(), 5.0 + 2.0_f64.sqrt()];
        let all = [low, high, less, more].map(|score| (score, same(score)));
        let run = |place: usize| RunScore { score: all[place].0, resamples: &all[place].1 };
        let Difference { difference, low, high, seeds_known, .. } =
            Difference::of(&[run(0), run(1)], &[run(2), run(3)], 100);
        assert!((difference - 4.0).abs() < 1e-12 && seeds_known);
        // Variance 1/2 + 4/2; degrees of freedom 2.5² / (0.5² + 2²) = 1.47, where t is 6.2.
        let half = 0.5 * (high - low);
        let wanted = student_t::quantile(0.05, 6.25 / 4.25) * 2.5_f64.sqrt();
        assert!((half / wanted - 1.0).abs() < 0.1, "{half} {wanted}");
        // In another order it is the same up to the resampling, also where seeds and sentences are as many as can share
        // their draws.
        for sentences in [2, 4, 100] {
            let other = Difference::of(&[run(1), run(0)], &[run(3), run(2)], sentences);
            assert!((other.high - high).abs() < 0.1 * half, "{other:?}");
        }
        // One run a side knows nothing of seeds, one sentence nothing of sentences.
        assert!(!Difference::of(&[run(0), run(1)], &[run(2), run(3)], 1).seeds_known);
        let alone = Difference::of(&[run(0)], &[run(3)], 100);
        assert!(!alone.seeds_known && alone.low == alone.high && !hold(&[alone])[0]);
        assert_eq!(Difference::of(&[run(0)], &[run(0)], 100).difference, 0.0);
    }

    /// Seeds and sentences are drawn independently, also where both are as many draws: four for each of two sides, and eight
    /// sentences.
    #[test]
    fn the_order_of_runs_does_not_matter() {
        let mut simulation = Simulation::new(Generator::seeded());
        let mut run = |mean: f64| {
            let scores: Vec<f64> = simulation.run(mean, 4.0).into_iter().take(8).collect();
            let of = |drawn: &[u32]| drawn.iter().map(|&i| scores[i as usize]).sum::<f64>() / 8.0;
            (mean_of(&scores), draws(8, of))
        };
        let sides: [Vec<(f64, Vec<f64>)>; 2] = [0.0, 15.0].map(|mean| (0..5).map(|_| run(mean)).collect());
        let half = |order: [[usize; 5]; 2]| {
            let [a, b] = [0, 1].map(|side| {
                let of = |place: &usize| {
                    let (score, resamples) = &sides[side][*place];
                    RunScore { score: *score, resamples }
                };
                order[side].iter().map(of).collect::<Vec<_>>()
            });
            let Difference { low, high, .. } = Difference::of(&a, &b, 8);
            0.5 * (high - low)
        };
        let halves = [
            [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]],
            [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]],
            [[4, 3, 2, 1, 0], [0, 1, 2, 3, 4]],
            [[2, 0, 4, 1, 3], [3, 0, 4, 2, 1]],
        ]
        .map(half);
        for other in halves {
            assert!((other / halves[0] - 1.0).abs() < 0.15, "{halves:?}");
        }
    }

    /// By hand: two runs of variance 4, whose mean has 4/2 and one degree of freedom.
    #[test]
    fn a_mean_by_hand() {
        let all = [5.0 - 2.0_f64.sqrt(), 5.0 + 2.0_f64.sqrt()].map(|score| (score, vec![score; 4000]));
        let runs = [0, 1].map(|place: usize| RunScore { score: all[place].0, resamples: &all[place].1 });
        let [low, high] = interval_of_mean(&runs, 100);
        assert!((0.5 * (low + high) - 5.0).abs() < 1e-12);
        let wanted = student_t::quantile(0.05, 1.0) * 2.0_f64.sqrt();
        assert!((0.5 * (high - low) / wanted - 1.0).abs() < 0.1, "{low} {high} {wanted}");
    }

    /// Holm's own procedure by hand: 0.01 ≤ 0.05/4, 0.016 ≤ 0.05/3, 0.03 > 0.05/2, and so nothing after it.
    #[test]
    fn holm_by_hand() {
        let with = |chance| Difference { difference: 1.0, low: 0.0, high: 2.0, seeds_known: true, chance };
        assert_eq!(hold(&[with(0.03), with(0.01), with(0.04), with(0.016)]), [false, true, false, true]);
        assert_eq!(hold(&[with(0.04)]), [true]);
        assert_eq!(hold(&[]), [false; 0]);
    }
}
