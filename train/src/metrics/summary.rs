//! The scores of a split on one screen: BLEU-1 to BLEU-4, chrF and ROUGE-L with intervals, and beside them what is
//! reached without looking, and the paper's row.

use super::bootstrap::Bootstrap;
use super::floor::Floor;
use super::published::Beside;
use super::rouge::RougeL;
use super::units::Units;
use super::{Row, Scores};
use signclip_common::manifest::TextRules;
use std::fmt::Write;

/// The name of the row with the precision of ROUGE-L.
const PRECISION: &str = "ROUGE-L P";

/// The table, in at most eleven lines. `beside` has the paper's row where the data set is one of the paper's; what keeps a
/// reader from comparing with it stands below the table.
pub fn summary(scores: &Scores, floor: &Floor, beside: Option<&Beside>, rules: TextRules) -> String {
    let paper = beside.and_then(Beside::paper);
    let paper_column = if paper.is_some() { "the paper" } else { "" };
    // The floor has the same rows.
    let unseen = floor.language_model_alone.main_rows();
    let other = floor.other_features.as_ref().map(Scores::main_rows);
    let other_column = if other.is_some() { "other clip" } else { "" };
    let mut out = format!(
        "{:<10}{:>6}  {:<16} {:>8} {other_column:>11} {paper_column:>10}\n",
        "", "score", "95 % interval", "no clip"
    );
    let of_paper = |name: &str| {
        let paper = paper.as_ref()?;
        match name.strip_prefix("BLEU-") {
            Some(n) => paper.bleu.get(n.parse::<usize>().ok()? - 1).copied(),
            None => {
                let own = if paper.rouge_is_precision { PRECISION } else { "ROUGE-L" };
                paper.rouge_l.filter(|_| name == own)
            }
        }
    };
    let mut rows = scores.main_rows();
    if paper.as_ref().is_some_and(|paper| paper.rouge_is_precision) {
        let RougeL { mean, signature } = &scores.rouge_l;
        rows.push(Row {
            name: PRECISION.to_owned(),
            value: 100.0 * mean.precision,
            interval: None,
            signature,
        });
    }
    for (place, row) in rows.into_iter().enumerate() {
        let of_floor =
            |rows: &[Row]| rows.get(place).map_or(String::new(), |row| format!("{:.2}", row.value));
        let [unseen, other] = [of_floor(&unseen), other.as_deref().map_or(String::new(), of_floor)];
        let interval = row.interval.map_or(String::new(), |i| format!("[{:.2}, {:.2}]", i.low, i.high));
        let published = of_paper(&row.name).map_or(String::new(), |value| format!("{value:.2}"));
        let values = format!("{:<10}{:>6.2}  {interval:<16}", row.name, row.value);
        let line = format!("{values} {unseen:>8} {other:>11} {published:>10}");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let Bootstrap { resamples, .. } = scores.bootstrap;
    let dot = if rules.final_dot { "; references end with a full stop" } else { "" };
    let (tokens, rouge) = match scores.units {
        Units::Words => ("13a", "rouge-score F1, stemmed"),
        Units::Chinese => ("zh", "ROUGE-L F1 of characters"),
        Units::Characters => ("char", "ROUGE-L F1 of characters"),
    };
    let _ = writeln!(
        out,
        "no clip: the language model alone says one sentence for all; other clip: each with the features of another one"
    );
    let _ = writeln!(out, "sacreBLEU {tokens}; {rouge}; {resamples} bootstrap resamples{dot}");
    if paper.as_ref().is_some_and(|paper| paper.rouge_is_precision) {
        let _ = writeln!(
            out,
            "{PRECISION}: its precision, which the code of the paper's authors prints as ROUGE-L"
        );
    }
    if let Some(doubts) = paper.map(|paper| paper.doubts).filter(|doubts| !doubts.is_empty()) {
        let _ = writeln!(out, "Not comparable with the paper as they stand: {}", doubts.join("; "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::final_dot::FinalDot;

    const PHOENIX: TextRules = TextRules { lowercase: true, final_dot: true };

    /// One sentence of four words right for all, and nothing with the features of other clips.
    fn floor(references: &[&str]) -> Floor {
        let score = |said: &str| {
            Scores::of(&vec![said; references.len()], references, Units::Words, FinalDot::AsGiven)
        };
        Floor {
            sentence: references[0].to_owned(),
            language_model_alone: score(references[0]),
            other_features: Some(score("")),
        }
    }

    #[test]
    fn one_screen_with_the_papers_row() {
        let texts = vec!["heute regnet es ."; 642];
        let scores = Scores::of(&texts, &texts, Units::Words, FinalDot::Added);
        let beside = Beside::of("phoenix", "test", 642, PHOENIX).expect("the file");
        let table = summary(&scores, &floor(&texts), beside.as_ref(), PHOENIX);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[4],
            ["BLEU-4", "100.00", "[100.00,", "100.00]", "100.00", "0.00", "24.71"],
            "{table}"
        );
        assert_eq!(lines[5].len(), 6, "the paper has no chrF\n{table}");
        assert_eq!(
            lines[6],
            ["ROUGE-L", "100.00", "[100.00,", "100.00]", "100.00", "0.00"],
            "the paper's is no F1\n{table}"
        );
        assert_eq!(lines[7], ["ROUGE-L", "P", "100.00", "48.38"], "{table}");
        assert!(!table.contains("Not comparable"), "{table}");
        assert!(lines.len() <= 11 && table.lines().all(|line| line.len() <= 110), "{table}");
    }

    #[test]
    fn a_part_or_another_data_set() {
        let scores = Scores::of(&["ein satz"], &["ein satz"], Units::Words, FinalDot::AsGiven);
        let beside = Beside::of("phoenix", "test", 1, PHOENIX).expect("the file");
        let floor = floor(&["ein satz"]);
        let table = summary(&scores, &floor, beside.as_ref(), PHOENIX);
        assert!(table.contains("the whole split has 642 clips, this is 1"), "{table}");
        let own = summary(&scores, &floor, None, TextRules::default());
        assert!(!own.contains("paper"), "{own}");
    }
}
