//! Translating a split and scoring it.

use crate::data::corpus::{Corpus, Window};
use crate::language::beam_search::{BeamSearchConfig, Hypothesis};
use crate::language::text::Text;
use crate::metrics::Scores;
use crate::metrics::final_dot::{FinalDot, without_final_dot};
use crate::metrics::sentence::{EachScore, SentenceCounts};
use crate::metrics::units::Units;
use crate::training::model::SignClip;
use serde::{Deserialize, Serialize};
use signclip_common::collective::Collective;
use signclip_common::manifest::TextRules;
use signclip_common::progress::Progress;
use signclip_common::{Error, Result};

/// One line of `predictions.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prediction {
    pub id: String,
    pub hypothesis: String,
    pub reference: String,
    /// Summed log probability, normalised by length.
    pub score: f64,
    pub frames: usize,
    pub signer: Option<String>,
    /// `bleu4`, `chrf`, `rouge_l`, `rouge_l_slt`.
    #[serde(flatten)]
    pub scores: EachScore,
}

/// Translate every clip of `corpus`, in its order. Clips are searched in batches of similar length, which the devices
/// take in turn; every device gets all predictions.
pub fn translate(
    model: &SignClip,
    corpus: &Corpus,
    text: &Text,
    search: &BeamSearchConfig,
    batch: usize,
    collective: &Collective,
) -> Result<Vec<Prediction>> {
    let (rules, units) = (corpus.store.info.text, Units::of(corpus.store.info.language.as_deref()));
    let mut order: Vec<usize> = (0..corpus.len()).collect();
    order.sort_by_key(|&clip| (corpus.store.clips[clip].frames, clip));
    let share = corpus.len().div_ceil(collective.size());
    let progress = Progress::new("translate", share as u64, "clips");
    let mut predictions = Vec::new();
    for clips in order.chunks(batch).skip(collective.rank()).step_by(collective.size()) {
        let found =
            model.translate(&corpus.batch(clips, Window::Middle)?.to_device(model.device()), search)?;
        for (&clip, hypotheses) in clips.iter().zip(&found) {
            let record = &corpus.store.clips[clip];
            let best = hypotheses.first();
            let hypothesis = best.map_or(Ok(String::new()), |best| written(best, text, rules))?;
            let reference = corpus.texts[clip].clone();
            let prediction = Prediction {
                id: record.id.clone(),
                scores: SentenceCounts::of(&hypothesis, &reference, units).scores(),
                hypothesis,
                reference,
                score: best.map_or(f64::NEG_INFINITY, |h| h.score),
                frames: record.frames,
                signer: record.facts.signer.clone(),
            };
            predictions.push((clip, prediction));
        }
        progress.advance(clips.len() as u64, String::new);
    }
    progress.finish();
    let mut predictions = gather(predictions, collective)?;
    predictions.sort_by_key(|(clip, _)| *clip);
    Ok(predictions.into_iter().map(|(_, p)| p).collect())
}

/// The numbered predictions of all devices.
fn gather(own: Vec<(usize, Prediction)>, collective: &Collective) -> Result<Vec<(usize, Prediction)>> {
    if collective.size() == 1 {
        return Ok(own);
    }
    let wrong =
        |e: serde_json::Error| Error::usage(format!("predictions: {e}"), "this is a bug; please report it");
    let all = collective.gather(serde_json::to_vec(&own).map_err(wrong)?)?;
    let all: Result<Vec<Vec<_>>> = all.iter().map(|one| serde_json::from_slice(one).map_err(wrong)).collect();
    Ok(all?.concat())
}

/// Corpus scores of predictions as they stand.
pub fn score(predictions: &[Prediction], units: Units) -> Scores {
    scores_of(predictions, units, FinalDot::AsGiven, |text| text)
}

/// Corpus scores of predictions under the conventions of the field: with the final full stops of the data set's
/// rules, and, where these add one, without.
pub fn score_both_ways(
    predictions: &[Prediction],
    rules: TextRules,
    units: Units,
) -> (Scores, Option<Scores>) {
    if !rules.final_dot {
        return (score(predictions, units), None);
    }
    let with = scores_of(predictions, units, FinalDot::Added, |text| text);
    (with, Some(scores_of(predictions, units, FinalDot::Removed, without_final_dot)))
}

fn scores_of(predictions: &[Prediction], units: Units, dot: FinalDot, ending: fn(&str) -> &str) -> Scores {
    let hypotheses: Vec<&str> = predictions.iter().map(|p| ending(&p.hypothesis)).collect();
    let references: Vec<&str> = predictions.iter().map(|p| ending(&p.reference)).collect();
    Scores::of(&hypotheses, &references, units, dot)
}

/// The text of a hypothesis, as the references of the data set are written.
pub fn written(hypothesis: &Hypothesis, text: &Text, rules: TextRules) -> Result<String> {
    let text = text.decode(&hypothesis.ids)?;
    Ok(if rules.lowercase { text.to_lowercase() } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(hypothesis: &str, reference: &str) -> Prediction {
        Prediction {
            id: "a".into(),
            hypothesis: hypothesis.into(),
            reference: reference.into(),
            score: -1.0,
            frames: 16,
            signer: None,
            scores: SentenceCounts::of(hypothesis, reference, Units::Words).scores(),
        }
    }

    /// The dot is one more word that is right.
    #[test]
    fn both_conventions_where_the_rules_add_a_dot() {
        let predictions = [prediction("heute regnet es .", "morgen regnet es.")];
        let (with, without) =
            score_both_ways(&predictions, TextRules { lowercase: true, final_dot: true }, Units::Words);
        let without = without.expect("both");
        assert!((with.bleu.bleu[0] - 75.0).abs() < 1e-9 && (without.bleu.bleu[0] - 200.0 / 3.0).abs() < 1e-9);
        assert!(
            with.bleu.signature.ends_with("|dot:added") && without.bleu.signature.ends_with("|dot:removed")
        );
        let (as_given, none) = score_both_ways(&predictions, TextRules::default(), Units::Words);
        assert_eq!((as_given.bleu.bleu, none), (with.bleu.bleu, None));
        assert!(as_given.bleu.signature.ends_with("|dot:as-given"));
    }
}
