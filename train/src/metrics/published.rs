//! Published scores beside ours: the paper's Tables 2 and 3, kept in `manifests/published.json`.
//!
//! A row can be compared with one of our scores only where both were computed in the same way. What is known of a
//! row's way is in the file; from it follows which of our scores is its like, if any.

use super::Scores;
use super::final_dot::FinalDot;
use serde::{Deserialize, Serialize};
use signclip_common::Result;
use signclip_common::manifest::TextRules;
use signclip_common::manifests::Manifests;
use std::fmt::Write;

#[derive(Debug, Clone, Deserialize)]
struct Published {
    source: String,
    tables: Vec<Table>,
}

/// The published scores of one data set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    dataset: String,
    title: String,
    /// Its number in the paper.
    table: u32,
    split: String,
    /// How many sentences the split may have.
    clips: Vec<usize>,
    notes: Vec<String>,
    rows: Vec<Row>,
}

/// One method.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    method: String,
    reference: String,
    /// Whether glosses were used in training.
    setting: String,
    /// Whether the visual features were tuned on sign-language data.
    visual_tuning: bool,
    /// BLEU-1 to BLEU-4, 0 to 100.
    bleu: [f64; 4],
    rouge_l: Option<f64>,
    /// How the row was computed, as far as known.
    final_dot: Option<FinalDot>,
    tokeniser: Option<Tokeniser>,
    case: Option<Case>,
    rouge: Option<Rouge>,
    known_from: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Tokeniser {
    #[serde(rename = "13a")]
    Mteval13a,
    #[serde(rename = "none")]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Case {
    Lower,
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Rouge {
    /// [`RougeL`](super::rouge::RougeL).
    #[serde(rename = "rouge-score-stemmed")]
    Stemmed,
    /// Its precision, which the code of the paper's authors prints under the name of ROUGE-L.
    #[serde(rename = "rouge-score-precision")]
    StemmedPrecision,
    #[serde(rename = "rouge-score")]
    Unstemmed,
    /// [`LcsF`](super::rouge::LcsF).
    #[serde(rename = "lcs-f-1.2")]
    LcsF,
    /// None of those computed here.
    #[serde(rename = "other")]
    Other,
}

/// Published scores beside those of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Beside {
    source: String,
    title: String,
    table: u32,
    split: String,
    /// Why this run can be compared with no row as a whole; empty where it can.
    differs: Vec<String>,
    notes: Vec<String>,
    rows: Vec<RowBeside>,
}

#[derive(Debug, Clone, Serialize)]
struct RowBeside {
    #[serde(flatten)]
    row: Row,
    /// The fields of `metrics.json` that were computed as this row's scores were; null where none is known to be.
    bleu_beside: Option<String>,
    rouge_l_beside: Option<String>,
}

/// The paper's own row, for a reader of one screen.
#[derive(Debug, Clone)]
pub struct PaperRow {
    /// BLEU-1 to BLEU-4, 0 to 100.
    pub bleu: [f64; 4],
    pub rouge_l: Option<f64>,
    /// Whether that is a precision and not F1.
    pub rouge_is_precision: bool,
    /// Why this run's scores may not be comparable with it; empty where they are.
    pub doubts: Vec<String>,
}

/// The field of `metrics.json` with the scores of the texts as the data set's rules make them.
pub const SCORES: &str = "scores";
/// The field with those without a final full stop.
pub const SCORES_WITHOUT_DOT: &str = "scores_without_final_dot";

impl Beside {
    /// The published rows for `clips` translations of a data set's split under its text rules. `None`: none are known.
    pub fn of(dataset: &str, split: &str, clips: usize, rules: TextRules) -> Result<Option<Self>> {
        let published: Published = Manifests::here()?.read("published")?;
        let Some(table) = published.tables.into_iter().find(|table| table.dataset == dataset) else {
            return Ok(None);
        };
        let mut differs = Vec::new();
        if split != table.split {
            differs.push(format!("they are of the {} split, this is {split}", table.split));
        }
        if !table.clips.contains(&clips) && split == table.split {
            let whole: Vec<String> = table.clips.iter().map(usize::to_string).collect();
            differs.push(format!("the whole split has {} clips, this is {clips}", whole.join(" or ")));
        }
        let rows = table.rows.into_iter().map(|row| row.beside(rules)).collect();
        let Table { title, table, split, notes, .. } = table;
        Ok(Some(Self { source: published.source, title, table, split, differs, notes, rows }))
    }

    /// The row of the paper itself.
    pub fn paper(&self) -> Option<PaperRow> {
        let RowBeside { row, bleu_beside, rouge_l_beside } =
            self.rows.iter().find(|beside| beside.row.reference == "the paper")?;
        let mut doubts = self.differs.clone();
        let alike = [("BLEU", bleu_beside), ("ROUGE-L", rouge_l_beside)];
        let unknown = alike.into_iter().filter(|(_, like)| like.is_none());
        doubts.extend(unknown.map(|(name, _)| format!("how the paper's {name} was computed is not known")));
        let rouge_is_precision = row.rouge == Some(Rouge::StemmedPrecision);
        Some(PaperRow { bleu: row.bleu, rouge_l: row.rouge_l, rouge_is_precision, doubts })
    }

    /// The rows as text, below those of this run.
    pub fn table(&self, scores: &Scores, without_dot: Option<&Scores>, rules: TextRules) -> String {
        let Self { title, table, split, differs, notes, rows, .. } = self;
        let mut out = format!(
            "Published on {title} {split} (the paper, Table {table}), beside this run; ? is not known\n"
        );
        let mut line = |columns: [&str; 13]| {
            let [method, b1, b2, b3, b4, rl, setting, visual, dot, tok, case, rouge, like] = columns;
            let numbers = format!("{method:<22} {b1:>6} {b2:>6} {b3:>6} {b4:>6} {rl:>7}");
            let training = format!("{setting:<17} {visual:<5}");
            let line = format!("{numbers}  {training} {dot:<8} {tok:<4} {case:<5} {rouge:<21}  {like}");
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", line.trim_end());
        };
        line([
            "",
            "BLEU-1",
            "BLEU-2",
            "BLEU-3",
            "BLEU-4",
            "ROUGE-L",
            "glosses",
            "tuned",
            "dot",
            "tok",
            "case",
            "ROUGE",
            "computed as ours",
        ]);
        let number = |value: f64| format!("{value:.2}");
        let case = if rules.lowercase { Case::Lower } else { Case::Mixed };
        let mut ours = |scores: &Scores, rouge: Rouge, dot: FinalDot| {
            let mean = scores.rouge_l.mean;
            let (bleu, rouge_l, tokeniser) = match rouge {
                Rouge::LcsF => (&scores.bleu_slt, scores.rouge_l_slt.f, Tokeniser::None),
                Rouge::StemmedPrecision => (&scores.bleu, 100.0 * mean.precision, Tokeniser::Mteval13a),
                _ => (&scores.bleu, 100.0 * mean.f1, Tokeniser::Mteval13a),
            };
            let [b1, b2, b3, b4] = bleu.bleu.map(number);
            let (dot, tok, case, rouge) = (word(dot), word(tokeniser), word(case), word(rouge));
            line([
                "this run",
                &b1,
                &b2,
                &b3,
                &b4,
                &number(rouge_l),
                "gloss-free",
                "no",
                &dot,
                &tok,
                &case,
                &rouge,
                "",
            ]);
        };
        ours(scores, Rouge::Stemmed, main_dot(rules));
        if rows.iter().any(|beside| beside.row.rouge == Some(Rouge::StemmedPrecision)) {
            ours(scores, Rouge::StemmedPrecision, main_dot(rules));
        }
        match without_dot {
            Some(scores) => ours(scores, Rouge::LcsF, FinalDot::Removed),
            None => ours(scores, Rouge::LcsF, main_dot(rules)),
        }
        for RowBeside { row, bleu_beside, rouge_l_beside } in rows {
            let like = match (bleu_beside, rouge_l_beside) {
                (Some(_), Some(_)) => "BLEU, ROUGE-L",
                (Some(_), None) => "BLEU",
                (None, Some(_)) => "ROUGE-L",
                (None, None) => "",
            };
            let [b1, b2, b3, b4] = row.bleu.map(number);
            let rl = row.rouge_l.map_or("-".into(), number);
            line([
                &row.method,
                &b1,
                &b2,
                &b3,
                &b4,
                &rl,
                &row.setting,
                if row.visual_tuning { "yes" } else { "no" },
                &row.final_dot.map_or("?".into(), word),
                &row.tokeniser.map_or("?".into(), word),
                &row.case.map_or("?".into(), word),
                &row.rouge.map_or("?".into(), word),
                like,
            ]);
        }
        for differs in differs {
            let _ = writeln!(out, "Not to be compared with this run: {differs}.");
        }
        for note in notes {
            let _ = writeln!(out, "{note}");
        }
        out
    }
}

impl Row {
    /// Which of our scores under `rules` were computed in the same way.
    fn beside(self, rules: TextRules) -> RowBeside {
        let case = if rules.lowercase { Case::Lower } else { Case::Mixed };
        let scores = match self.final_dot {
            Some(dot) if dot == main_dot(rules) => Some(SCORES),
            Some(FinalDot::AsGiven) if rules.final_dot => Some(SCORES_WITHOUT_DOT),
            _ => None,
        };
        let field = |name: &str| scores.map(|scores| format!("{scores}.{name}"));
        let bleu_beside = match self.tokeniser {
            Some(Tokeniser::Mteval13a) if self.case == Some(case) => field("bleu"),
            Some(Tokeniser::None) if self.case == Some(case) => field("bleu_slt"),
            _ => None,
        };
        let rouge_l_beside = match self.rouge {
            // Lower case in any case.
            Some(Rouge::Stemmed) => field("rouge_l"),
            Some(Rouge::StemmedPrecision) => field("rouge_l.precision"),
            Some(Rouge::Unstemmed) => field("rouge_l_unstemmed"),
            Some(Rouge::LcsF) if self.case == Some(case) => field("rouge_l_slt"),
            _ => None,
        };
        RowBeside {
            bleu_beside,
            rouge_l_beside: rouge_l_beside.filter(|_| self.rouge_l.is_some()),
            row: self,
        }
    }
}

/// What a data set's rules do to the end of a sentence.
pub fn main_dot(rules: TextRules) -> FinalDot {
    if rules.final_dot { FinalDot::Added } else { FinalDot::AsGiven }
}

/// A convention as the file writes it.
fn word<T: Serialize>(convention: T) -> String {
    serde_json::to_value(convention).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::units::Units;

    const PHOENIX: TextRules = TextRules { lowercase: true, final_dot: true };
    const HOW2SIGN: TextRules = TextRules { lowercase: true, final_dot: false };

    fn row<'a>(beside: &'a Beside, method: &str) -> &'a RowBeside {
        beside.rows.iter().find(|r| r.row.method == method).unwrap_or_else(|| panic!("no row {method}"))
    }

    /// The rows that are known best, and the differences that keep others apart.
    #[test]
    fn rows_know_their_like() -> Result<()> {
        let phoenix = Beside::of("phoenix", "test", 642, PHOENIX)?.expect("a table");
        assert_eq!((phoenix.rows.len(), phoenix.differs.len()), (11, 0));
        let spamo = row(&phoenix, "SpaMo");
        assert_eq!((spamo.row.bleu[3], spamo.row.rouge_l), (24.32, Some(46.57)));
        assert_eq!(spamo.bleu_beside.as_deref(), Some("scores.bleu"));
        assert_eq!(spamo.rouge_l_beside.as_deref(), Some("scores.rouge_l"));
        let paper = row(&phoenix, "SignClip");
        assert_eq!(paper.rouge_l_beside.as_deref(), Some("scores.rouge_l.precision"));
        let sign2gpt = row(&phoenix, "Sign2GPT");
        assert_eq!(sign2gpt.bleu_beside.as_deref(), Some("scores_without_final_dot.bleu_slt"));
        assert_eq!(sign2gpt.rouge_l_beside.as_deref(), Some("scores_without_final_dot.rouge_l_slt"));
        let signllm = row(&phoenix, "SignLLM");
        assert_eq!((&signllm.bleu_beside, &signllm.rouge_l_beside), (&None, &None));

        let how2sign = Beside::of("how2sign", "test", 2357, HOW2SIGN)?.expect("a table");
        assert_eq!((how2sign.rows.len(), how2sign.differs.len()), (7, 0));
        assert_eq!(row(&how2sign, "SpaMo").bleu_beside.as_deref(), Some("scores.bleu"));
        assert_eq!(row(&how2sign, "SSVP-SLT").bleu_beside, None);
        assert_eq!(row(&how2sign, "SSVP-SLT").rouge_l_beside.as_deref(), Some("scores.rouge_l_unstemmed"));
        assert!(Beside::of("clips", "test", 642, HOW2SIGN)?.is_none());
        Ok(())
    }

    #[test]
    fn a_part_of_a_split_is_not_compared() -> Result<()> {
        for (split, clips, parts) in
            [("test", 2, ["642 clips", "this is 2"]), ("dev", 519, ["test split", "this is dev"])]
        {
            let beside = Beside::of("phoenix", split, clips, PHOENIX)?.expect("a table");
            let scores = Scores::of(&["ein satz ."], &["ein satz ."], Units::Words, FinalDot::Added);
            let table = beside.table(&scores, Some(&scores), PHOENIX);
            assert!(parts.iter().all(|part| table.contains(part)), "{table}");
        }
        Ok(())
    }

    /// BLEU-n falls with n, and nothing is outside of 0 to 100.
    #[test]
    fn the_file_holds_possible_scores() -> Result<()> {
        for (dataset, rules) in [("phoenix", PHOENIX), ("how2sign", HOW2SIGN)] {
            for RowBeside { row, .. } in Beside::of(dataset, "test", 0, rules)?.expect("a table").rows {
                assert!(row.bleu.is_sorted_by(|a, b| a > b) && row.bleu[3] > 0.0 && row.bleu[0] < 100.0);
                // What is known of how a row was computed is known from somewhere.
                let known = row.final_dot.is_some() || row.tokeniser.is_some() || row.rouge.is_some();
                assert_eq!(known, row.known_from.is_some(), "{}", row.method);
            }
        }
        Ok(())
    }
}
