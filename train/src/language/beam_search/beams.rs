//! Beam search.

use super::config::{BeamSearchConfig, Normalization};
use super::hypothesis::{Beam, Hypothesis, Moves, floats, integers};
use signclip_common::{Error, Result};
use tch::{Kind, Tensor};

/// The best texts of every clip, best first.
pub(super) fn beams(
    config: &BeamSearchConfig,
    clips: usize,
    start: i64,
    ends: &[i64],
    mut step: impl FnMut(&[i64], Option<&Moves>) -> Tensor,
) -> Result<Vec<Vec<Hypothesis>>> {
    let n = config.num_beams;
    // Enough for `n` that do not end, whichever do.
    let candidates = n * (1 + ends.len()).max(2);
    // One empty beam at first: the reference has `n` equal ones and lets only the first through.
    let mut searches =
        vec![
            ClipSearch { config, ends, running: vec![Beam::default()], results: vec![], done: false };
            clips
        ];
    let mut running: Vec<usize> = (0..clips).collect();
    let mut tokens = vec![start; clips];
    let mut moves = None;
    for _ in 1..config.max_length {
        let logits_rv = step(&tokens, moves.as_ref());
        let vocabulary = logits_rv.size()[1];
        if vocabulary < candidates as i64 {
            return Err(Error::usage(
                format!("{n} beams cannot be told apart with a vocabulary of {vocabulary}"),
                format!("use at most {} beams", vocabulary as usize * n / candidates),
            ));
        }
        let width = tokens.len() / running.len();
        let sums: Vec<f32> =
            running.iter().flat_map(|&clip| searches[clip].running.iter().map(|beam| beam.sum)).collect();
        let sums_r1 = Tensor::from_slice(&sums).to_device(logits_rv.device()).unsqueeze(1);
        let log_probs_rv = logits_rv.log_softmax(-1, Kind::Float);
        let (best, places) = top(&log_probs_rv, &sums_r1, running.len() as i64, candidates as i64);
        let (best, places) = (floats(&best), integers(&places));
        let (mut next_tokens, mut rows, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (place, &clip) in running.iter().enumerate() {
            let range = candidates * place..candidates * (place + 1);
            let of_clip = best[range.clone()].iter().zip(&places[range]).map(|(&sum, &place)| Candidate {
                sum,
                beam: (place / vocabulary) as usize,
                token: place % vocabulary,
            });
            let search = &mut searches[clip];
            let moves = search.advance(of_clip);
            if !search.done {
                kept.push(place as i64);
                for (token, beam) in moves {
                    next_tokens.push(token);
                    rows.push((place * width + beam) as i64);
                }
            }
        }
        if kept.is_empty() {
            break;
        }
        let left = kept.len() < running.len();
        running = kept.iter().map(|&place| running[place as usize]).collect();
        (tokens, moves) = (next_tokens, Some(Moves { rows, clips: left.then_some(kept) }));
    }
    Ok(searches.into_iter().map(ClipSearch::finish).collect())
}

/// The `k` largest of `x_rv + sums_r1` for each of `b` clips, which have as many rows each: values and places among the
/// clip's, largest first.
///
/// `topk` of all is slow on the CPU. The `k` largest are in the `k` chunks with the largest maxima, so it is enough
/// to look there.
pub(super) fn top(x_rv: &Tensor, sums_r1: &Tensor, b: i64, k: i64) -> (Tensor, Tensor) {
    const CHUNK: i64 = 128;
    let (r, v) = (x_rv.size()[0], x_rv.size()[1]);
    let chunks = v / CHUNK;
    if v % CHUNK != 0 || chunks <= k {
        return (x_rv + sums_r1).view([b, -1]).topk(k, 1, true, true);
    }
    let of_chunks_rc = x_rv.view([r, chunks, CHUNK]).amax(2, false) + sums_r1;
    let (_, best_bk) = of_chunks_rc.view([b, -1]).topk(k, 1, true, false);
    // In their order, so that of equal values the first may come first.
    let (best_bk, _) = best_bk.sort(1, false);
    let index_bkw = best_bk.unsqueeze(-1).expand([b, k, CHUNK], false);
    let candidates_bkw = x_rv.view([b, -1, CHUNK]).gather(1, &index_bkw, false);
    let row_bk = best_bk.floor_divide_scalar(chunks);
    let sums_bk1 = sums_r1.view([b, -1]).gather(1, &row_bk, false).unsqueeze(-1);
    let (values_bk, places_bk) = (candidates_bkw + sums_bk1).view([b, -1]).topk(k, 1, true, true);
    let chunk_bk = best_bk.gather(1, &places_bk.floor_divide_scalar(CHUNK), false);
    (values_bk, chunk_bk * CHUNK + places_bk.remainder(CHUNK))
}

/// A continuation of running beam `beam` by `token`, with the new sum.
struct Candidate {
    sum: f32,
    beam: usize,
    token: i64,
}

/// The search for one clip.
#[derive(Clone)]
struct ClipSearch<'a> {
    config: &'a BeamSearchConfig,
    ends: &'a [i64],
    running: Vec<Beam>,
    /// At most `num_beams`, best first.
    results: Vec<Hypothesis>,
    done: bool,
}

impl ClipSearch<'_> {
    /// Take the best continuations, best first; returns what to append to which beam.
    fn advance(&mut self, candidates: impl Iterator<Item = Candidate>) -> Vec<(i64, usize)> {
        let n = self.config.num_beams;
        let length = self.running[0].ids.len() + 1;
        let last = length + 1 == self.config.max_length;
        let current = self.config.normalization == Normalization::Generated;
        let (mut running, mut moves, mut top) = (Vec::with_capacity(n), Vec::with_capacity(n), None);
        for (rank, candidate) in candidates.enumerate() {
            let ends = self.ends.contains(&candidate.token);
            let text = self.running[candidate.beam].then(candidate.token, candidate.sum);
            if rank < n && (ends || (last && current)) {
                self.add(text.clone(), length);
            }
            if !ends && running.len() < n {
                running.push(text);
                moves.push((candidate.token, candidate.beam));
            }
            // The best that may still improve; 4.32 counts what has just ended, too.
            if top.is_none() && !(ends && current) {
                top = Some(candidate.sum);
            }
        }
        self.running = running;
        // 4.32 counts the start token in the length of what is still growing.
        let reach = if current { length } else { length + 1 };
        let hopeless = |worst: f64| top.is_none_or(|top| self.config.score(top, reach) <= worst);
        self.done = self.results.len() == n
            && (self.config.early_stopping || self.results.last().is_some_and(|worst| hopeless(worst.score)));
        moves
    }

    /// Add a result if it is among the `n` best; `length` divides its score.
    fn add(&mut self, text: Beam, length: usize) {
        let score = self.config.score(text.sum, length);
        let place = self.results.partition_point(|result| result.score >= score);
        self.results.insert(place, Hypothesis { ids: text.ids, score });
        self.results.truncate(self.config.num_beams);
    }

    /// The results. Under 4.32 the running beams count with the start token added to their length.
    fn finish(mut self) -> Vec<Hypothesis> {
        if self.config.normalization == Normalization::Hf432 && !self.done {
            for beam in std::mem::take(&mut self.running) {
                let length = beam.ids.len() + 1;
                self.add(beam, length);
            }
        }
        self.results.truncate(self.config.num_return_sequences);
        self.results
    }
}
