//! Greedy and beam search, deterministic, with the results of Hugging Face transformers.
//!
//! The search knows the model only as a function from (tokens to append, [rows to continue](Moves)) to logits. Every step
//! takes the best `2 n` continuations of a clip's `n` beams by summed log probability (float32), or `(1 + e) n` where `e`
//! tokens end a text. Those that end the text become results if they are among the first `n`; the first `n` others
//! continue. A clip is done when it has `n` results and no running beam can still beat the worst of them, judged at the present length (or at once
//! with `early_stopping`). Ties are broken by `torch.topk`.
//!
//! Score of a result: sum of log probabilities / length ^ `length_penalty`; see [`Normalization`] for the length.

mod beams;
mod config;
mod greedy;
mod hypothesis;

use beams::beams;
pub use config::{BeamSearchConfig, Normalization};
use greedy::greedy;
pub use hypothesis::{Hypothesis, Moves};
use signclip_common::Result;
use tch::Tensor;

/// Search for `clips` texts at once; results per clip, best first.
///
/// `step(tokens, moves)` appends one token to each row and returns the logits `[rows, vocabulary]` that follow. The
/// first call has one row per clip and no moves. A clip that is done has no rows in later calls.
pub fn search(
    config: &BeamSearchConfig,
    clips: usize,
    start: i64,
    ends: &[i64],
    step: impl FnMut(&[i64], Option<&Moves>) -> Tensor,
) -> Result<Vec<Vec<Hypothesis>>> {
    config.check()?;
    if clips == 0 {
        return Ok(Vec::new());
    }
    if config.num_beams == 1 {
        return Ok(greedy(config, clips, start, ends, step));
    }
    beams(config, clips, start, ends, step)
}

#[cfg(test)]
mod tests {
    use super::beams::top;
    use super::hypothesis::integers;
    use super::*;
    use tch::Kind;

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
        search(&config, 2, 0, &[END], toy).expect("a valid search")
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

    /// Tokens 1 and 4 end a text. By hand: of "3 1" (0.4), "2 4" (0.24), "2 1" (0.18), "2 2" (0.12) the first two are results,
    /// and nothing that continues can beat them.
    #[test]
    fn any_end_token_ends_a_text() {
        let step = |tokens: &[i64], _: Option<&Moves>| {
            let row = |token: &i64| -> [f32; 6] {
                match token {
                    0 => [1e-9, 1e-9, 0.6, 0.4, 1e-9, 1e-9],
                    2 => [1e-9, 0.3, 0.2, 1e-9, 0.4, 0.1],
                    _ => [1e-9, 1.0, 1e-9, 1e-9, 1e-9, 1e-9],
                }
            };
            let rows: Vec<Tensor> = tokens.iter().map(|t| Tensor::from_slice(&row(t)).log()).collect();
            Tensor::stack(&rows, 0)
        };
        let beams = BeamSearchConfig { num_beams: 2, num_return_sequences: 2, ..BeamSearchConfig::default() };
        let texts = search(&beams, 1, 0, &[END, 4], step).expect("a valid search").remove(0);
        assert_eq!((&texts[0].ids, &texts[1].ids), (&vec![3, 1], &vec![2, 4]));
        assert!((texts[1].score - 0.24_f64.ln() / 2.0).abs() < 1e-6);
        let greedy = BeamSearchConfig { num_beams: 1, num_return_sequences: 1, ..beams };
        let texts = search(&greedy, 1, 0, &[4, END], step).expect("a valid search").remove(0);
        assert_eq!(texts[0].ids, [2, 4]);
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
            let found = search(&config, clips.len(), 0, &[END], step).expect("a valid search");
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
        assert!(search(&BeamSearchConfig { num_beams: 4, ..default() }, 1, 0, &[END], toy).is_err());
    }
}
