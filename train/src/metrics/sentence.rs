//! Scores of single sentences, and the counts that the scores of a corpus and of its resamples are sums of.

use super::bleu::{BleuCounts, BleuOptions, ORDER};
use super::chrf::{ChrfCounts, ChrfKind};
use super::rouge::{LcsF, Prf, RougeL};
use super::units::Units;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The scores that are also given by sentence, with an interval, and with a test in a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// [`BleuOptions::SACREBLEU`]; of a sentence by the orders it is long enough for.
    Bleu4,
    /// [`ChrfKind::Chrf`].
    Chrf,
    /// F1 of [`RougeL`] with stemmer.
    RougeL,
    /// [`LcsF`].
    RougeLSlt,
}

impl Measure {
    pub const ALL: [Self; 4] = [Self::Bleu4, Self::Chrf, Self::RougeL, Self::RougeLSlt];

    /// What papers call it: both forms of ROUGE-L by one name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bleu4 => "BLEU-4",
            Self::Chrf => "chrF",
            Self::RougeL | Self::RougeLSlt => "ROUGE-L",
        }
    }
}

/// One thing for each [`Measure`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Each<T> {
    pub bleu4: T,
    pub chrf: T,
    pub rouge_l: T,
    pub rouge_l_slt: T,
}

impl<T> Each<T> {
    pub fn from_fn(mut thing: impl FnMut(Measure) -> T) -> Self {
        Self {
            bleu4: thing(Measure::Bleu4),
            chrf: thing(Measure::Chrf),
            rouge_l: thing(Measure::RougeL),
            rouge_l_slt: thing(Measure::RougeLSlt),
        }
    }

    pub fn get(&self, measure: Measure) -> &T {
        match measure {
            Measure::Bleu4 => &self.bleu4,
            Measure::Chrf => &self.chrf,
            Measure::RougeL => &self.rouge_l,
            Measure::RougeLSlt => &self.rouge_l_slt,
        }
    }
}

/// Scores of one sentence or of a corpus, 0 to 100.
pub type EachScore = Each<f64>;

/// What all scores are made from, of one sentence.
#[derive(Debug, Clone, Copy)]
pub struct SentenceCounts {
    pub units: Units,
    pub bleu: BleuCounts,
    pub bleu_lowercase: BleuCounts,
    pub bleu_slt: BleuCounts,
    pub chrf: ChrfCounts,
    pub rouge_l: Prf,
    pub rouge_l_unstemmed: Prf,
    /// 0 to 1.
    pub rouge_l_slt: f64,
}

impl SentenceCounts {
    pub fn of(hypothesis: &str, reference: &str, units: Units) -> Self {
        let bleu = |options: BleuOptions| options.count(hypothesis, reference);
        let rouge_l = |stem| match units {
            Units::Words => RougeL::sentence(hypothesis, reference, stem),
            _ => RougeL::characters(hypothesis, reference),
        };
        Self {
            units,
            bleu: bleu(BleuOptions::of(units)),
            bleu_lowercase: bleu(BleuOptions::of(units).lowercase()),
            bleu_slt: bleu(BleuOptions::slt(units)),
            chrf: ChrfCounts::of(hypothesis, reference),
            rouge_l: rouge_l(true),
            rouge_l_unstemmed: rouge_l(false),
            rouge_l_slt: match units {
                Units::Words => LcsF::sentence(hypothesis, reference),
                _ => LcsF::characters(hypothesis, reference),
            },
        }
    }

    /// Of every sentence of a corpus.
    ///
    /// # Panics
    /// Where the two lists are not of equal length.
    pub fn of_corpus<S: AsRef<str> + Sync>(hypotheses: &[S], references: &[S], units: Units) -> Vec<Self> {
        assert_eq!(hypotheses.len(), references.len(), "one reference per hypothesis");
        let pairs = hypotheses.par_iter().zip(references);
        pairs
            .map(|(hypothesis, reference)| Self::of(hypothesis.as_ref(), reference.as_ref(), units))
            .collect()
    }

    /// The scores of the sentence itself.
    pub fn scores(&self) -> EachScore {
        Each {
            bleu4: BleuOptions::SACREBLEU.sentence_of(&self.bleu),
            chrf: ChrfKind::Chrf.value(&self.chrf),
            rouge_l: 100.0 * self.rouge_l.f1,
            rouge_l_slt: 100.0 * self.rouge_l_slt,
        }
    }
}

/// Sums over the sentences of a corpus or of a resample of it.
#[derive(Debug, Default)]
pub struct Sums {
    sentences: usize,
    bleu: BleuCounts,
    chrf: ChrfCounts,
    rouge_l: f64,
    rouge_l_slt: f64,
}

impl Sums {
    pub fn add(&mut self, sentence: &SentenceCounts) {
        self.sentences += 1;
        self.bleu += sentence.bleu;
        self.chrf += sentence.chrf;
        self.rouge_l += sentence.rouge_l.f1;
        self.rouge_l_slt += sentence.rouge_l_slt;
    }

    /// BLEU-1 to BLEU-4 of the corpus.
    pub fn bleu(&self) -> [f64; ORDER] {
        BleuOptions::SACREBLEU.orders(&self.bleu)
    }

    /// The scores of the corpus.
    pub fn scores(&self) -> EachScore {
        let n = self.sentences.max(1) as f64;
        Each {
            bleu4: self.bleu()[ORDER - 1],
            chrf: ChrfKind::Chrf.value(&self.chrf),
            rouge_l: 100.0 * self.rouge_l / n,
            rouge_l_slt: 100.0 * self.rouge_l_slt / n,
        }
    }
}
