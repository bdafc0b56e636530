//! Which weights of a run are the best: those with the highest BLEU-4 on the validation split, and of equal ones those
//! with the highest chrF. Where no sentence of the split has four words (or characters, in scripts without spaces), chrF alone decides: the BLEU-4 of a perfect
//! translation is 0 there, and only wrong ones, which are longer, can have more.

use crate::metrics::bleu::BleuOptions;
use crate::metrics::units::Units;
use serde::{Deserialize, Serialize};

/// A measure that can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decider {
    Bleu4,
    Chrf,
}

impl Decider {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bleu4 => "BLEU-4",
            Self::Chrf => "chrF",
        }
    }
}

/// What the weights are chosen by where the translations should be `references`.
pub fn decider<'t>(references: impl IntoIterator<Item = &'t str>, units: Units) -> Decider {
    let has_four = |text: &str| BleuOptions::of(units).tokenize(text).split_whitespace().nth(3).is_some();
    if references.into_iter().any(has_four) { Decider::Bleu4 } else { Decider::Chrf }
}

/// The validations so far, as far as the choice goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub best_bleu4: Option<f64>,
    /// The epoch with the best weights.
    pub best_epoch: usize,
    /// chrF of the best weights; absent in checkpoints that were written before chrF was looked at.
    pub best_chrf: Option<f64>,
    /// What the best weights were last preferred by; absent while nothing was better than anything.
    pub decided_by: Option<Decider>,
    /// Whether two validations had a different BLEU-4.
    pub bleu4_moved: bool,
    pub validations: usize,
}

impl Choice {
    /// Take in the scores after `epoch`; whether its weights are the best so far. `by` is what they are chosen by.
    pub fn validated(&mut self, epoch: usize, by: Decider, bleu4: f64, chrf: f64) -> bool {
        self.validations += 1;
        self.bleu4_moved |= self.best_bleu4.is_some_and(|best| best != bleu4);
        let best = match self.best_bleu4 {
            None => true,
            Some(best) if bleu4 == best || by == Decider::Chrf => {
                if self.best_chrf != Some(chrf) {
                    self.decided_by = Some(Decider::Chrf);
                }
                // Without a chrF the weights are of an earlier version, which kept the first of equal ones.
                self.best_chrf.is_none_or(|best| chrf > best)
            }
            Some(best) => {
                if bleu4 > best || self.decided_by.is_none() {
                    self.decided_by = Some(Decider::Bleu4);
                }
                bleu4 > best
            }
        };
        if best {
            (self.best_bleu4, self.best_chrf, self.best_epoch) = (Some(bleu4), Some(chrf), epoch);
        }
        best
    }

    /// What somebody must know who takes the best weights for better than the others.
    pub fn warning(&self, split: &str) -> Option<String> {
        let bleu4 = self.best_bleu4.filter(|_| self.validations > 1 && !self.bleu4_moved)?;
        let chosen = match self.decided_by {
            Some(_) => "chrF decided".to_owned(),
            None => format!("chrF did not move either; the weights of epoch {} were kept", self.best_epoch),
        };
        Some(format!(
            "BLEU-4 on {split} was {bleu4:.2} in all {} validations: {chosen}. BLEU-4 stays at 0 for sentences of fewer \
             than four words and for text without spaces",
            self.validations
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(scores: &[(f64, f64)]) -> Choice {
        let mut choice = Choice::default();
        for (epoch, &(bleu4, chrf)) in (1..).zip(scores) {
            choice.validated(epoch, Decider::Bleu4, bleu4, chrf);
        }
        choice
    }

    #[test]
    fn chrf_decides_between_equal_bleu4() {
        use Decider::{Bleu4, Chrf};
        for (scores, epoch, decided, moved) in [
            (&[(0.0, 3.0)][..], 1, None, false),
            (&[(0.0, 3.0), (0.0, 9.0), (0.0, 5.0)], 2, Some(Chrf), false),
            (&[(0.0, 3.0), (0.0, 3.0)], 1, None, false),
            (&[(0.0, 9.0), (1.0, 5.0), (0.5, 20.0)], 2, Some(Bleu4), true),
            (&[(1.0, 5.0), (0.5, 20.0)], 1, Some(Bleu4), true),
            (&[(0.0, 9.0), (1.0, 5.0), (1.0, 6.0), (0.0, 7.0)], 3, Some(Chrf), true),
            (&[(0.0, 9.0), (0.0, 8.0)], 1, Some(Chrf), false),
        ] {
            let choice = after(scores);
            assert_eq!(
                (choice.best_epoch, choice.decided_by, choice.bleu4_moved),
                (epoch, decided, moved),
                "{scores:?}"
            );
            assert_eq!(choice.warning("dev").is_some(), !moved && scores.len() > 1, "{scores:?}");
        }
    }

    /// A longer wrong translation has four words, and more BLEU-4 than a perfect one.
    #[test]
    fn chrf_decides_where_no_reference_has_four_words() {
        for (texts, by) in [
            (&["guten abend", "hallo"][..], Decider::Chrf),
            (&["guten abend .", "auf wiedersehen"], Decider::Chrf),
            (&["\u{4eca}\u{5929}\u{5929}\u{6c14}\u{5f88}\u{597d}"], Decider::Chrf),
            (&["hallo", "guten abend euch ."], Decider::Bleu4),
        ] {
            assert_eq!(decider(texts.iter().copied(), Units::Words), by, "{texts:?}");
        }
        // Counted in characters, a sentence without spaces is long enough.
        assert_eq!(decider(["\u{4eca}\u{5929}\u{5929}\u{6c14}"], Units::Chinese), Decider::Bleu4);
        assert_eq!(decider(["\u{4f60}\u{597d}"], Units::Chinese), Decider::Chrf);
        let mut choice = Choice::default();
        for (epoch, (bleu4, chrf)) in [(6.2, 42.0), (0.0, 100.0), (0.0, 100.0)].into_iter().enumerate() {
            choice.validated(epoch + 1, Decider::Chrf, bleu4, chrf);
        }
        assert_eq!((choice.best_epoch, choice.decided_by), (2, Some(Decider::Chrf)));
    }

    /// A checkpoint of an earlier version says nothing of chrF: the next epoch that is as good takes its place.
    #[test]
    fn checkpoints_without_chrf() {
        let mut choice = Choice { best_bleu4: Some(0.0), best_epoch: 1, ..Choice::default() };
        assert!(choice.validated(2, Decider::Bleu4, 0.0, 4.0));
        assert!(!choice.validated(3, Decider::Bleu4, 0.0, 3.0));
        assert_eq!(choice.best_epoch, 2);
    }
}
