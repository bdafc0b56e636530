//! How far a score would vary with other sentences: bootstrap resampling (Efron and Tibshirani, 1993) as sacreBLEU does
//! it. Whether two configurations differ is for [`difference`](super::difference), which knows their seeds.
//!
//! Reference: sacrebleu 2.6.0, `significance.py`. A resample draws as many sentences as there are, with replacement;
//! 1000 of them with the random numbers of numpy's generator of seed 12345, the same for every score, every corpus of
//! this size and both runs of a comparison. A score of a resample is computed from the summed counts of its
//! sentences (ROUGE-L: from their mean).
//!
//! Interval: the scores of the resamples in order; from the 26th to the 26th last (95 %). Half its width is what stands
//! behind the `±`, and the mean of the resamples before it.
//!
//! Deviation: sums and scores are of 64 bits where sacreBLEU resamples with 32.

use super::bleu::ORDER;
use super::numpy_random::{Generator, SEED};
use super::sentence::{Each, Measure, SentenceCounts, Sums};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Resamples drawn.
pub const RESAMPLES: usize = 1000;

/// A mean and the 95 % interval around it, in the unit of the score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean of the resamples' scores.
    pub mean: f64,
    /// Half the distance from `low` to `high`.
    pub half_width: f64,
    pub low: f64,
    pub high: f64,
}

/// The intervals of a corpus, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    pub resamples: usize,
    pub seed: u64,
    /// BLEU-1 to BLEU-3; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_orders: Option<[Interval; ORDER - 1]>,
    #[serde(flatten)]
    pub intervals: Each<Interval>,
}

impl Bootstrap {
    pub fn of(sentences: &[SentenceCounts]) -> Self {
        Self::from_resamples(&resample(sentences))
    }

    /// Of what [`resample`] gave.
    pub fn from_resamples(scores: &Resampled) -> Self {
        let intervals = Each::from_fn(|measure| interval(scores.get(measure)));
        let lower_orders = Some(scores.lower_orders.each_ref().map(|order| interval(order)));
        Self { resamples: RESAMPLES, seed: SEED, lower_orders, intervals }
    }
}

/// The scores of each resample of a corpus, 0 to 100.
pub struct Resampled {
    each: Each<Vec<f64>>,
    /// BLEU-1 to BLEU-3.
    lower_orders: [Vec<f64>; ORDER - 1],
}

impl Resampled {
    pub fn get(&self, measure: Measure) -> &[f64] {
        self.each.get(measure)
    }
}

/// Draws the resamples of a corpus and scores them.
pub fn resample(sentences: &[SentenceCounts]) -> Resampled {
    let score = |drawn: &[u32]| {
        let mut sums = Sums::default();
        drawn.iter().for_each(|&i| sums.add(&sentences[i as usize]));
        (sums.bleu(), sums.scores())
    };
    let scores = draws(sentences.len(), score);
    Resampled {
        each: Each::from_fn(|measure| scores.iter().map(|(_, one)| *one.get(measure)).collect()),
        lower_orders: std::array::from_fn(|n| scores.iter().map(|(bleu, _)| bleu[n]).collect()),
    }
}

/// What `of` says of each resample of `n` things, which it is given by their places.
pub fn draws<T: Send>(n: usize, of: impl Fn(&[u32]) -> T + Sync) -> Vec<T> {
    /// Resamples whose random numbers are drawn, one after the other, before they are scored in parallel.
    const BLOCK: usize = 50;
    if n == 0 {
        return (0..RESAMPLES).map(|_| of(&[])).collect();
    }
    let mut generator = Generator::seeded();
    let mut all = Vec::new();
    for _ in 0..RESAMPLES / BLOCK {
        let drawn: Vec<u32> = (0..BLOCK * n).map(|_| generator.below(n as u32)).collect();
        all.par_extend(drawn.par_chunks_exact(n).map(&of));
    }
    all
}

fn interval(scores: &[f64]) -> Interval {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let outside = sorted.len() / 40;
    let (low, high) = (sorted[outside], sorted[sorted.len() - outside - 1]);
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    Interval { mean, half_width: 0.5 * (high - low), low, high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::units::Units;

    const REFERENCES: [&str; 6] = [
        "am montag wird es im süden freundlich .",
        "heute nacht zwölf grad an der nordsee, vier grad in der eifel",
        "der wind weht schwach bis mäßig aus west",
        "im norden regnet es morgen",
        "auch am tag gibt es schauer und gewitter",
        "guten abend liebe zuschauer",
    ];
    const A: [&str; 6] = [
        "am montag wird es freundlich .",
        "heute nacht elf grad an der ostsee und vier grad im erzgebirge",
        "der wind weht schwach aus nord",
        "morgen regnet es im norden",
        "",
        "guten abend liebe zuschauer",
    ];
    const B: [&str; 6] = [
        "am montag wird es im süden freundlich .",
        "heute nacht zwölf grad an der nordsee vier grad in der eifel",
        "der wind weht schwach bis mäßig",
        "im norden regnet es",
        "am tag gibt es schauer",
        "guten abend",
    ];

    /// Values from sacrebleu 2.6.0 and rouge-score 0.1.2, resampled with 64 bits: `estimate_ci` of
    /// `sacrebleu.significance` on the scores of
    /// `numpy.random.default_rng(12345).choice(6, size=(1000, 6), replace=True)`.
    #[test]
    fn as_sacrebleu_resamples() {
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
        let [a, b] = [A, B]
            .map(|hypotheses| resample(&SentenceCounts::of_corpus(&hypotheses, &REFERENCES, Units::Words)));
        let (of_a, of_b) = (Bootstrap::from_resamples(&a).intervals, Bootstrap::from_resamples(&b).intervals);
        for (measure, [a_mean, a_half, b_mean, b_half]) in KNOWN {
            let (of_a, of_b) = (of_a.get(measure), of_b.get(measure));
            [of_a.mean, of_a.half_width, of_b.mean, of_b.half_width]
                .into_iter()
                .zip([a_mean, a_half, b_mean, b_half])
                .for_each(|(got, want)| close(got, want));
            close(of_a.high - of_a.low, 2.0 * a_half);
        }
        // BLEU-1 to BLEU-3 of A by `BLEU(max_ngram_order=n)` on the same resamples.
        let lower = Bootstrap::from_resamples(&a).lower_orders.expect("three intervals");
        for (interval, (mean, half)) in lower.iter().zip(LOWER_ORDERS) {
            close(interval.mean, mean);
            close(interval.half_width, half);
        }
    }

    /// Mean and half width.
    const LOWER_ORDERS: [(f64, f64); 3] = [
        (55.68461139809812, 32.019200719864315),
        (46.60153130833801, 28.216957413517445),
        (35.54447268292599, 22.988017590428186),
    ];

    /// Mean and half width of A and of B.
    const KNOWN: [(Measure, [f64; 4]); 4] = [
        (Measure::Bleu4, [27.059365280326542, 21.16396689080697, 72.9511504974942, 13.257468832774201]),
        (Measure::Chrf, [58.72876365823891, 21.51072666046538, 77.67615258922957, 15.879820436467401]),
        (Measure::RougeL, [56.78473504273505, 23.70940170940171, 86.81394230769232, 9.330484330484339]),
        (Measure::RougeLSlt, [58.777271689497724, 24.571917808219176, 83.31052320715094, 9.155031632316266]),
    ];
}
