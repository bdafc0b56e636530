//! Greedy search.

use super::config::BeamSearchConfig;
use super::hypothesis::{Beam, Hypothesis, Moves, floats, integers};
use tch::{Kind, Tensor};

/// The most probable token at each position, until an end token.
pub(super) fn greedy(
    config: &BeamSearchConfig,
    clips: usize,
    start: i64,
    ends: &[i64],
    mut step: impl FnMut(&[i64], Option<&Moves>) -> Tensor,
) -> Vec<Vec<Hypothesis>> {
    let mut texts = vec![Beam::default(); clips];
    let mut running: Vec<usize> = (0..clips).collect();
    let mut tokens = vec![start; clips];
    let mut moves = None;
    for _ in 1..config.max_length {
        let log_probs_rv = step(&tokens, moves.as_ref()).log_softmax(-1, Kind::Float);
        let (best, ids) = log_probs_rv.max_dim(-1, false);
        (tokens, moves) = (integers(&ids), None);
        for ((&clip, &id), log_prob) in running.iter().zip(&tokens).zip(floats(&best)) {
            texts[clip] = texts[clip].then(id, texts[clip].sum + log_prob);
        }
        let kept: Vec<usize> = (0..running.len()).filter(|&row| !ends.contains(&tokens[row])).collect();
        if kept.len() < running.len() {
            if kept.is_empty() {
                break;
            }
            running = kept.iter().map(|&row| running[row]).collect();
            tokens = kept.iter().map(|&row| tokens[row]).collect();
            let rows: Vec<i64> = kept.iter().map(|&row| row as i64).collect();
            moves = Some(Moves { clips: Some(rows.clone()), rows });
        }
    }
    let result = |text: Beam| Hypothesis { score: config.score(text.sum, text.ids.len()), ids: text.ids };
    texts.into_iter().map(|text| vec![result(text)]).collect()
}
