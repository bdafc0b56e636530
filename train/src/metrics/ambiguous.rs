//! Accuracy on words that look the same on the hands: does a translation say the word of the reference, or the other
//! one that the same hands can mean?
//!
//! A file lists the pairs: `{"pairs": [["regen", "schauer"], ["kalt", "kühl"]]}`. Each time that a word of a pair stands
//! in a reference is one case. It is right where the translation has the word; a word of the pair that the reference
//! does not have takes one back, so that saying both is not right. Of a sentence:
//!
//! ```text
//! right(w) = min(in the reference, in the translation − surplus of the partner), at least 0
//! ```
//!
//! A translation that says neither word is wrong. Whoever knows the hands and guesses the mouth gets half of the cases.
//! Words are compared in lower case without the punctuation around them.

use serde::{Deserialize, Serialize};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result};
use std::collections::HashSet;
use std::iter::Sum;
use std::ops::AddAssign;
use std::path::Path;

/// Pairs of words that only the mouth tells apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmbiguousWords {
    pairs: Vec<[String; 2]>,
}

/// Cases of one sentence or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cases {
    /// Words of pairs in references.
    pub all: usize,
    /// Those that the translation has too.
    pub right: usize,
    /// Those for which the translation has its partner instead.
    pub swapped: usize,
}

impl AddAssign for Cases {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.right += other.right;
        self.swapped += other.swapped;
    }
}

impl Sum for Cases {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, cases| {
            sum += cases;
            sum
        })
    }
}

impl Cases {
    /// Share of right cases, 0 to 1; `None` without cases.
    pub fn accuracy(&self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }
}

impl AmbiguousWords {
    /// Read a file of pairs. Errors: not of that form, no pair, an entry that is not one word, a word given twice.
    pub fn read(file: &Path) -> Result<Self> {
        let text = regular_file::read_to_string(file, SETTINGS).map_err(Error::io(file))?;
        let wrong = |place: String, what: String| {
            Error::input(file, place, what, "write {\"pairs\": [[\"one\", \"other\"]]}, each word once")
        };
        let listed: Self =
            serde_json::from_str(&text).map_err(|e| wrong(format!("line {}", e.line()), e.to_string()))?;
        if listed.pairs.is_empty() {
            return Err(wrong("pairs".to_owned(), "no pair of words".to_owned()));
        }
        let mut seen = HashSet::new();
        for word in listed.pairs.iter().flatten() {
            if words(word).ne([word.to_lowercase()]) {
                return Err(wrong("pairs".to_owned(), format!("{word:?} is not one word")));
            }
            if !seen.insert(word.to_lowercase()) {
                return Err(wrong("pairs".to_owned(), format!("{word:?} a second time")));
            }
        }
        let pairs = listed.pairs.into_iter().map(|pair| pair.map(|word| word.to_lowercase())).collect();
        Ok(Self { pairs })
    }

    /// The pairs, in lower case.
    pub fn pairs(&self) -> &[[String; 2]] {
        &self.pairs
    }

    /// Refuse the list in `file` where none of its words is in the references of `split`.
    pub fn check<'t>(
        &self,
        file: &Path,
        split: &str,
        references: impl IntoIterator<Item = &'t str>,
    ) -> Result<()> {
        if references.into_iter().any(|reference| self.cases("", reference).all > 0) {
            return Ok(());
        }
        let what = format!("none of its words is in the references of {split}");
        Err(Error::input(file, "pairs", what, "give the list that belongs to these features"))
    }

    /// The cases of a sentence.
    pub fn cases(&self, hypothesis: &str, reference: &str) -> Cases {
        let [hypothesis, reference] = [hypothesis, reference].map(|text| words(text).collect::<Vec<_>>());
        let count = |words: &[String], word: &String| words.iter().filter(|&other| other == word).count();
        let mut cases = Cases::default();
        for [one, other] in &self.pairs {
            for (word, partner) in [(one, other), (other, one)] {
                let (wanted, said) = (count(&reference, word), count(&hypothesis, word));
                let surplus = count(&hypothesis, partner).saturating_sub(count(&reference, partner));
                let right = wanted.min(said.saturating_sub(surplus));
                cases += Cases { all: wanted, right, swapped: (wanted - right).min(surplus) };
            }
        }
        cases
    }
}

/// In lower case, without the punctuation around them.
fn words(text: &str) -> impl Iterator<Item = String> {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(bare).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(json: &str) -> Result<AmbiguousWords> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), json).expect("written");
        AmbiguousWords::read(file.path())
    }

    #[test]
    fn cases_counted_by_hand() -> Result<()> {
        let words = listed(r#"{"pairs": [["regen", "schauer"], ["kalt", "Kühl"]]}"#)?;
        for (hypothesis, reference, all, right, swapped) in [
            ("morgen regen im norden.", "morgen regen im norden.", 1, 1, 0),
            ("morgen schauer im norden.", "morgen regen im norden.", 1, 0, 1),
            ("morgen nebel im norden.", "morgen regen im norden.", 1, 0, 0),
            // Both words where one is right: no answer.
            ("regen schauer", "regen", 1, 0, 1),
            ("regen regen schauer", "regen", 1, 1, 0),
            ("regen und schauer", "schauer und regen", 2, 2, 0),
            ("regen und regen", "schauer und regen", 2, 1, 1),
            ("Schauer, kalt", "schauer und kühl.", 2, 1, 1),
            ("KÜHL!", "kühl", 1, 1, 0),
            // Neither in the reference, or only inside other words.
            ("regen", "sonne", 0, 0, 0),
            ("regenschauer", "regenschauer", 0, 0, 0),
            ("", "", 0, 0, 0),
        ] {
            let cases = words.cases(hypothesis, reference);
            assert_eq!(
                (cases.all, cases.right, cases.swapped),
                (all, right, swapped),
                "{hypothesis} | {reference}"
            );
        }
        Ok(())
    }

    #[test]
    fn accuracy_is_a_share_of_all_cases() -> Result<()> {
        let words = listed(r#"{"pairs": [["regen", "schauer"]]}"#)?;
        let mut cases = Cases::default();
        assert_eq!(cases.accuracy(), None);
        for hypothesis in ["regen", "regen", "schauer", "sonne"] {
            cases += words.cases(hypothesis, "regen");
        }
        assert_eq!((cases.accuracy(), cases.swapped), (Some(0.5), 1));
        Ok(())
    }

    #[test]
    fn lists_that_cannot_be_used() {
        for (json, named) in [
            ("", "line 1"),
            ("{}", "missing field `pairs`"),
            (r#"{"pairs": []}"#, "no pair"),
            (r#"{"pairs": [["regen"]]}"#, "line 1"),
            (r#"{"pairs": [["regen", "der schauer"]]}"#, "not one word"),
            (r#"{"pairs": [["regen", "Regen"]]}"#, "a second time"),
            (r#"{"pairs": [["regen", "schauer"]], "more": 1}"#, "unknown field `more`"),
        ] {
            let error = listed(json).expect_err(json).to_string();
            assert!(error.contains(named) && error.contains("; write "), "{json}: {error}");
        }
    }
}
