//! Greedy and beam search, deterministic, with the results of Hugging Face transformers.
//!
//! The search knows the model only as a function from (tokens to append, [rows to continue](Moves)) to logits. Every step
//! takes the best `2 n` continuations of a clip's `n` beams by summed log probability (float32). Those that end
//! the text become results if they are among the first `n`; the first `n` others go on. A clip is done when it has
//! `n` results and no running beam can still beat the worst of them, judged at the present length (or at once
//! with `early_stopping`). Ties are broken by `torch.topk`.
//!
//! Score of a result: sum of log probabilities / length ^ `length_penalty`; see [`Normalization`] for the length.

use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};
use tch::{Kind, Tensor};

/// How to search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeamSearchConfig {
    /// Beams per clip; 1 is greedy search.
    pub num_beams: usize,
    /// Longest sequence, the start token included.
    pub max_length: usize,
    /// Exponent of the length in the score: above 0 favours long texts.
    pub length_penalty: f64,
    /// Stop a clip as soon as it has `num_beams` results.
    pub early_stopping: bool,
    /// Results per clip, at most `num_beams`.
    pub num_return_sequences: usize,
    /// Another end token than the model's.
    pub eos_token_id: Option<i64>,
    pub normalization: Normalization,
}

impl Default for BeamSearchConfig {
    /// The published code's beam of 5 and length of 64, without its sampling.
    fn default() -> Self {
        Self {
            num_beams: 5,
            max_length: 64,
            length_penalty: 1.0,
            early_stopping: false,
            num_return_sequences: 1,
            eos_token_id: None,
            normalization: Normalization::Generated,
        }
    }
}

/// Which length divides the score. The two differ for texts that reach `max_length` without an end token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// transformers 4.46 and later: the generated tokens, the end token included.
    Generated,
    /// transformers 4.32, which the published code pins: the tokens with the start token and without the end token.
    /// Its stopping rule also looks at continuations that have just ended.
    Hf432,
}

impl BeamSearchConfig {
    /// Refuse what cannot be searched.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String, remedy: &str| Err(Error::usage(what, remedy.to_owned()));
        if self.num_beams == 0 {
            return bad("num_beams is 0".to_owned(), "give 1 for greedy search, or more");
        }
        if self.max_length < 2 {
            let what = format!("max_length is {}", self.max_length);
            return bad(what, "give at least 2: the start token counts");
        }
        if !(1..=self.num_beams).contains(&self.num_return_sequences) {
            let what = format!("num_return_sequences is {}", self.num_return_sequences);
            return bad(what, "give a number from 1 to num_beams");
        }
        if !self.length_penalty.is_finite() {
            let what = format!("length_penalty is {}", self.length_penalty);
            return bad(what, "give a finite number; 1 is the mean log probability");
        }
        Ok(())
    }

    fn score(&self, sum: f32, length: usize) -> f64 {
        f64::from(sum) / (length as f64).powf(self.length_penalty)
    }
}

/// One generated text.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Generated ids: without the start token, with the end token if it was reached.
    pub ids: Vec<i64>,
    /// Length-normalised log probability.
    pub score: f64,
}

/// Which rows of the last step the rows of the next one continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    /// Row `i` continues row `rows[i]` of the last step. The rows of a clip stay together, in the order of the clips.
    pub rows: Vec<i64>,
    /// Where clips are done and leave: the places of the others among the clips of the last step.
    pub clips: Option<Vec<i64>>,
}

/// Search for `clips` texts at once; results per clip, best first.
///
/// `step(tokens, moves)` appends one token to each row and returns the logits `[rows, vocabulary]` that follow. The
/// first call has one row per clip and no moves. A clip that is done has no rows in later calls.
pub fn search(
    config: &BeamSearchConfig,
    clips: usize,
    start: i64,
    end: i64,
    step: impl FnMut(&[i64], Option<&Moves>) -> Tensor,
) -> Result<Vec<Vec<Hypothesis>>> {
    config.check()?;
    if clips == 0 {
        return Ok(Vec::new());
    }
    if config.num_beams == 1 {
        return Ok(greedy(config, clips, start, end, step));
    }
    beams(config, clips, start, end, step)
}

/// The most probable token at each position, until the end token.
fn greedy(
    config: &BeamSearchConfig,
    clips: usize,
    start: i64,
    end: i64,
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
        if tokens.contains(&end) {
            let kept: Vec<usize> = (0..running.len()).filter(|&row| tokens[row] != end).collect();
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

fn beams(
    config: &BeamSearchConfig,
    clips: usize,
    start: i64,
    end: i64,
    mut step: impl FnMut(&[i64], Option<&Moves>) -> Tensor,
) -> Result<Vec<Vec<Hypothesis>>> {
    let n = config.num_beams;
    // One empty beam at first: the reference has `n` equal ones and lets only the first through.
    let mut searches =
        vec![ClipSearch { config, end, running: vec![Beam::default()], results: vec![], done: false }; clips];
    let mut running: Vec<usize> = (0..clips).collect();
    let mut tokens = vec![start; clips];
    let mut moves = None;
    for _ in 1..config.max_length {
        let logits_rv = step(&tokens, moves.as_ref());
        let vocabulary = logits_rv.size()[1];
        if vocabulary < 2 * n as i64 {
            return Err(Error::usage(
                format!("{n} beams cannot be told apart with a vocabulary of {vocabulary}"),
                "use fewer beams: twice their number must not exceed the vocabulary",
            ));
        }
        let width = tokens.len() / running.len();
        let sums: Vec<f32> =
            running.iter().flat_map(|&clip| searches[clip].running.iter().map(|beam| beam.sum)).collect();
        let sums_r1 = Tensor::from_slice(&sums).to_device(logits_rv.device()).unsqueeze(1);
        let log_probs_rv = logits_rv.log_softmax(-1, Kind::Float);
        let (best, places) = top(&log_probs_rv, &sums_r1, running.len() as i64, 2 * n as i64);
        let (best, places) = (floats(&best), integers(&places));
        let (mut next_tokens, mut rows, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (place, &clip) in running.iter().enumerate() {
            let range = 2 * n * place..2 * n * (place + 1);
            let candidates = best[range.clone()].iter().zip(&places[range]).map(|(&sum, &place)| Candidate {
                sum,
                beam: (place / vocabulary) as usize,
                token: place % vocabulary,
            });
            let search = &mut searches[clip];
            let moves = search.advance(candidates);
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
fn top(x_rv: &Tensor, sums_r1: &Tensor, b: i64, k: i64) -> (Tensor, Tensor) {
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

/// A text that is still growing: its ids, and the sum of their log probabilities.
#[derive(Debug, Clone, Default)]
struct Beam {
    ids: Vec<i64>,
    sum: f32,
}

impl Beam {
    fn then(&self, id: i64, sum: f32) -> Self {
        Self { ids: self.ids.iter().copied().chain([id]).collect(), sum }
    }
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
    end: i64,
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
            let ends = candidate.token == self.end;
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

fn floats(x: &Tensor) -> Vec<f32> {
    Vec::try_from(x.flatten(0, -1)).expect("float32 tensor")
}

fn integers(x: &Tensor) -> Vec<i64> {
    Vec::try_from(x.flatten(0, -1)).expect("int64 tensor")
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1;

    /// A model whose next token depends on the last one only. From the start token 0, token 2 looks best (0.6) but
    /// leads to equally unlikely ends; token 3 (0.4) surely ends.
    fn toy(tokens: &[i64], _moves: Option<&Moves>) -> Tensor {
        let row = |token: &i64| -> [f32; 6] {
            match token {
                0 => [1e-9, 1e-9, 0.6, 0.4, 1e-9, 1e-9],
                2 => [1e-9, 0.25, 0.25, 1e-9, 0.25, 0.25],
                _ => [1e-9, 1.0, 1e-9, 1e-9, 1e-9, 1e-9],
            }
        };
        let rows: Vec<Tensor> = tokens.iter().map(|t| Tensor::from_slice(&row(t)).log()).collect();
        Tensor::stack(&rows, 0)
    }

    fn run(config: BeamSearchConfig) -> Vec<Vec<Hypothesis>> {
        search(&config, 2, 0, END, toy).expect("a valid search")
    }

    #[test]
    fn beams_see_past_the_best_first_token() {
        let config =
            BeamSearchConfig { num_beams: 2, num_return_sequences: 2, ..BeamSearchConfig::default() };
        for texts in run(config.clone()) {
            assert_eq!(texts[0].ids, [3, END]);
            assert!((texts[0].score - 0.4_f64.ln() / 2.0).abs() < 1e-6);
            assert!(texts[0].score >= texts[1].score);
        }
        let greedy = run(BeamSearchConfig { num_beams: 1, num_return_sequences: 1, max_length: 3, ..config });
        assert!(greedy.iter().all(|texts| texts[0].ids[0] == 2 && texts[0].ids.len() == 2));
    }

    #[test]
    fn unfinished_texts_count_at_the_length_limit() {
        let config = BeamSearchConfig { num_beams: 2, max_length: 2, ..BeamSearchConfig::default() };
        let score = |normalization| run(BeamSearchConfig { normalization, ..config.clone() })[0][0].score;
        assert!((score(Normalization::Generated) - 0.6_f64.ln()).abs() < 1e-6);
        assert!((score(Normalization::Hf432) - 0.6_f64.ln() / 2.0).abs() < 1e-6);
    }

    /// Three clips whose first token decides when they end: the one that is done has no rows in later calls, and the
    /// others find what they find alone.
    #[test]
    fn clips_that_are_done_leave() {
        // Clip 0 ends after one token, clip 1 after two, clip 2 after three; the rows carry which clip they are of.
        let run = |clips: &[usize], num_beams: usize| {
            let mut calls: Vec<usize> = Vec::new();
            let mut of_row: Vec<usize> = clips.to_vec();
            let mut of_clip: Vec<usize> = clips.to_vec();
            let mut length = 0;
            let step = |tokens: &[i64], moves: Option<&Moves>| {
                if let Some(moves) = moves {
                    of_row = moves.rows.iter().map(|&row| of_row[row as usize]).collect();
                    if let Some(kept) = &moves.clips {
                        of_clip = kept.iter().map(|&place| of_clip[place as usize]).collect();
                    }
                }
                assert_eq!(tokens.len(), of_row.len());
                let width = of_row.len() / of_clip.len();
                let expected: Vec<usize> =
                    of_clip.iter().flat_map(|&clip| std::iter::repeat_n(clip, width)).collect();
                assert_eq!(of_row, expected, "the rows of a clip stay together");
                calls.push(of_clip.len());
                length += 1;
                let row = |&clip: &usize| -> [f32; 6] {
                    match length > clip {
                        true => [1e-9, 0.9, 0.05, 0.03, 0.01, 0.01],
                        false => [1e-9, 1e-9, 0.6, 0.3, 0.06, 0.04],
                    }
                };
                let rows: Vec<Tensor> = of_row.iter().map(|c| Tensor::from_slice(&row(c)).log()).collect();
                Tensor::stack(&rows, 0)
            };
            let config = BeamSearchConfig {
                num_beams,
                num_return_sequences: num_beams,
                max_length: 9,
                ..BeamSearchConfig::default()
            };
            let found = search(&config, clips.len(), 0, END, step).expect("a valid search");
            (found, calls)
        };
        for num_beams in [1, 2] {
            let (together, calls) = run(&[0, 1, 2], num_beams);
            assert_eq!(calls[0], 3);
            assert!(calls.contains(&1) && calls.is_sorted_by(|a, b| a >= b), "{calls:?}");
            for (clip, found) in together.iter().enumerate() {
                assert_eq!(found[0].ids.len(), clip + 1);
                assert_eq!(*found, run(&[clip], num_beams).0[0], "clip {clip}, {num_beams} beams");
            }
        }
    }

    /// The largest of chunks are those of the whole row, whichever chunks they are in.
    #[test]
    fn top_of_chunks() {
        let zeros = |rows: i64| Tensor::zeros([rows, 1], (Kind::Float, tch::Device::Cpu));
        for (v, k) in [(128 * 40, 10), (128 * 11, 10), (128 * 300, 2), (1000, 10), (128 * 4, 10)] {
            let x_rv = Tensor::randn([6, v], (Kind::Float, tch::Device::Cpu));
            let sums_r1 = Tensor::randn([6, 1], (Kind::Float, tch::Device::Cpu));
            let expected = (&x_rv + &sums_r1).view([2, -1]).topk(k, 1, true, true);
            assert_eq!(top(&x_rv, &sums_r1, 2, k), expected, "{k} of {v}");
        }
        // All in one chunk, and each in its own.
        for stride in [1, 128] {
            let x_1v = zeros(128 * 20).view([1, -1]);
            for i in 0..10 {
                let _ = x_1v.narrow(1, 7 + i * stride, 1).fill_(10.0 - i as f64);
            }
            let expected: Vec<i64> = (0..10).map(|i| 7 + i * stride).collect();
            assert_eq!(integers(&top(&x_1v, &zeros(1), 1, 10).1), expected);
        }
    }

    /// The n best come with their scores, best first, all different.
    #[test]
    fn n_best_of_a_search() {
        let config =
            BeamSearchConfig { num_beams: 3, num_return_sequences: 3, ..BeamSearchConfig::default() };
        let texts = &run(config.clone())[0];
        assert_eq!(texts.len(), 3);
        assert!(texts.is_sorted_by(|a, b| a.score >= b.score && a.ids != b.ids), "{texts:?}");
        let fewer = run(BeamSearchConfig { num_return_sequences: 2, ..config });
        assert_eq!(fewer[0], texts[..2]);
    }

    #[test]
    fn impossible_searches_are_refused() {
        let default = BeamSearchConfig::default;
        assert!(BeamSearchConfig { num_beams: 0, ..default() }.check().is_err());
        assert!(BeamSearchConfig { max_length: 1, ..default() }.check().is_err());
        assert!(BeamSearchConfig { num_return_sequences: 6, ..default() }.check().is_err());
        assert!(search(&BeamSearchConfig { num_beams: 4, ..default() }, 1, 0, END, toy).is_err());
    }
}
