//! Translating a split and scoring it.

use crate::beam_search::BeamSearchConfig;
use crate::corpus::{Corpus, Window};
use crate::metrics::Scores;
use crate::model::SignClip;
use crate::text::Text;
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
    let rules = corpus.store.info.text;
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
            let hypothesis = best.map_or(Ok(String::new()), |h| text.decode(&h.ids))?;
            let prediction = Prediction {
                id: record.id.clone(),
                hypothesis: cased(hypothesis, rules),
                reference: corpus.texts[clip].clone(),
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

/// Corpus scores of predictions.
pub fn score(predictions: &[Prediction]) -> Scores {
    let hypotheses: Vec<&str> = predictions.iter().map(|p| p.hypothesis.as_str()).collect();
    let references: Vec<&str> = predictions.iter().map(|p| p.reference.as_str()).collect();
    Scores::of(&hypotheses, &references)
}

fn cased(text: String, rules: TextRules) -> String {
    if rules.lowercase { text.to_lowercase() } else { text }
}
