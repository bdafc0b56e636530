//! The floor below a run's translations: the language model alone, and each clip with another one's features.

use crate::data::corpus::others;
use crate::language::beam_search::BeamSearchConfig;
use crate::language::text::Text;
use crate::metrics::floor::Floor;
use crate::metrics::units::Units;
use crate::training::model::SignClip;
use crate::training::translation::{Prediction, score_both_ways, written};
use signclip_common::Result;
use signclip_common::manifest::TextRules;

/// What a run says to `predictions`' clips without looking, the other clips drawn by `seed`.
pub fn floor(
    model: &SignClip,
    text: &Text,
    search: &BeamSearchConfig,
    seed: u64,
    predictions: &[Prediction],
    (rules, units): (TextRules, Units),
) -> Result<Floor> {
    let said = model.translate_nothing(search)?;
    let sentence = said.map_or(Ok(String::new()), |said| written(&said, text, rules))?;
    let scores = |hypothesis: &dyn Fn(usize) -> String| {
        let replaced =
            |(place, own): (usize, &Prediction)| Prediction { hypothesis: hypothesis(place), ..own.clone() };
        let replaced: Vec<Prediction> = predictions.iter().enumerate().map(replaced).collect();
        score_both_ways(&replaced, rules, units).0
    };
    let other = || {
        let others = others(predictions.len(), seed);
        scores(&|place| predictions[others[place]].hypothesis.clone())
    };
    Ok(Floor {
        language_model_alone: scores(&|_| sentence.clone()),
        other_features: (predictions.len() > 1).then(other),
        sentence,
    })
}
