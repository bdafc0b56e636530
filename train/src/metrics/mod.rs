//! Scores of translations: BLEU-1 to BLEU-4 and ROUGE-L (paper, Experiment, Evaluation Metrics).
//!
//! Papers on sign-language translation print numbers under these names that were computed in different ways and are
//! not comparable. All the usual ones are computed, and each carries a signature of how.

pub mod bleu;
pub mod porter;
pub mod rouge;
pub mod tokenizer_13a;

use bleu::{Bleu, BleuOptions};
use rouge::{LcsF, RougeL};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What the signatures call this program.
const VERSION: &str = concat!("signclip-", env!("CARGO_PKG_VERSION"));

/// Every score of a list of translations. A final full stop, where wanted, has been put by the caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub sentences: usize,
    /// sacreBLEU 13a: the BLEU of the paper and of SpaMo.
    pub bleu: Bleu,
    pub bleu_lowercase: Bleu,
    /// The BLEU of neccam/slt and of what builds on it.
    pub bleu_slt: Bleu,
    /// rouge-score with stemmer: the ROUGE-L of SpaMo.
    pub rouge_l: RougeL,
    pub rouge_l_unstemmed: RougeL,
    /// The ROUGE-L of neccam/slt and of what builds on it.
    pub rouge_l_slt: LcsF,
}

impl Scores {
    /// # Panics
    /// Where the two lists are not of equal length.
    pub fn of<S: AsRef<str>>(hypotheses: &[S], references: &[S]) -> Self {
        let bleu = |options: BleuOptions| options.corpus(hypotheses, references);
        Self {
            sentences: hypotheses.len(),
            bleu: bleu(BleuOptions::SACREBLEU),
            bleu_lowercase: bleu(BleuOptions::SACREBLEU.lowercase()),
            bleu_slt: bleu(BleuOptions::SLT),
            rouge_l: RougeL::corpus(hypotheses, references, true),
            rouge_l_unstemmed: RougeL::corpus(hypotheses, references, false),
            rouge_l_slt: LcsF::corpus(hypotheses, references),
        }
    }

    /// The scores as papers print them (0 to 100), each with its signature.
    pub fn table(&self) -> String {
        let mut out = format!("{} sentences\n", self.sentences);
        let mut line = |name: &str, value: f64, signature: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name:<8} {value:>6.2}  {signature}");
        };
        for score in [&self.bleu, &self.bleu_lowercase, &self.bleu_slt] {
            for (n, value) in score.bleu.iter().enumerate() {
                line(&format!("BLEU-{}", n + 1), *value, &score.signature);
            }
        }
        for score in [&self.rouge_l, &self.rouge_l_unstemmed] {
            line("ROUGE-L", 100.0 * score.mean.f1, &score.signature);
        }
        line("ROUGE-L", self.rouge_l_slt.f, &self.rouge_l_slt.signature);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_every_score_and_its_signature() {
        let scores = Scores::of(&["am Montag regnet es ."], &["am montag regnet es ."]);
        let table = scores.table();
        assert_eq!(table.matches("version:signclip-").count(), 15);
        assert!(table.contains("BLEU-4   100.00  nrefs:1|case:lc|"), "{table}");
        assert!(table.contains("ROUGE-L   80.00  nrefs:1|case:mixed|tok:space|stem:no|beta:1.2|"), "{table}");
    }

    #[test]
    fn scores_survive_json() -> Result<(), serde_json::Error> {
        let scores = Scores::of(&["ein satz mit vier", ""], &["ein satz mit fünf", "leer"]);
        let json = serde_json::to_string(&scores)?;
        assert_eq!(serde_json::from_str::<Scores>(&json)?, scores);
        Ok(())
    }
}
