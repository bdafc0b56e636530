//! The paper's scores with each language model: its Table 6, kept in `manifests/published.json`.

use serde::{Deserialize, Serialize};
use signclip_common::Result;
use signclip_common::manifests::Manifests;

/// The table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperModels {
    pub dataset: String,
    pub split: String,
    /// Its number in the paper.
    pub table: u32,
    pub notes: Vec<String>,
    rows: Vec<PaperModel>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperModel {
    model: String,
    #[serde(flatten)]
    scores: PaperScores,
}

/// Scores of a row, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PaperScores {
    /// BLEU-1 to BLEU-4.
    pub bleu: [f64; 4],
    pub rouge_l: f64,
}

impl PaperModels {
    /// `None` where a table of the user's own has none.
    pub fn here() -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Published {
            language_models: Option<PaperModels>,
        }
        Manifests::here()?.read("published").map(|published: Published| published.language_models)
    }

    /// Scores with the model whose folder has this name on the hub.
    pub fn of(&self, folder: &str) -> Option<PaperScores> {
        let name = folder.to_lowercase();
        let name = name.strip_prefix("meta-").unwrap_or(&name);
        self.rows.iter().find(|row| row.model.to_lowercase() == name).map(|row| row.scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the paper prints them.
    #[test]
    fn table_6() -> Result<()> {
        let models = PaperModels::here()?.expect("compiled in");
        assert_eq!((models.dataset.as_str(), models.split.as_str(), models.table), ("phoenix", "test", 6));
        let bleu4 = |folder: &str| models.of(folder).map(|scores| scores.bleu[3]);
        assert_eq!(bleu4("flan-t5-xl"), Some(24.71));
        assert_eq!(bleu4("mt5-xl"), Some(6.47));
        assert_eq!(bleu4("Llama-3.2-3B"), Some(9.92));
        assert_eq!(bleu4("Meta-Llama-3.1-8B"), Some(12.75));
        assert_eq!(bleu4("Llama-3.1-8B-Instruct"), None);
        assert_eq!(models.of("mt5-xl").map(|scores| scores.rouge_l), Some(15.33));
        Ok(())
    }
}
