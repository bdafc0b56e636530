//! What a language model is given.

use std::ops::Range;
use tch::{Kind, Tensor};

/// Label of a position that does not count.
pub const IGNORE: i64 = -100;

/// What the translation of each clip follows: its visual tokens, whose number differs between clips, between ids that are
/// the same for every clip.
pub struct Prefix {
    /// `[p]`
    pub before_p: Tensor,
    /// `[b, t, d]`; what is beyond a clip's length does not count.
    pub tokens_btd: Tensor,
    /// `[b]` int64, on the CPU.
    pub lengths_b: Tensor,
    /// `[q]`
    pub behind_q: Tensor,
}

impl Prefix {
    /// That of some of the clips.
    pub fn of(&self, clips: Range<usize>) -> Self {
        let rows = |x: &Tensor| x.narrow(0, clips.start as i64, clips.len() as i64);
        Self {
            before_p: self.before_p.shallow_clone(),
            tokens_btd: rows(&self.tokens_btd),
            lengths_b: rows(&self.lengths_b),
            behind_q: self.behind_q.shallow_clone(),
        }
    }

    /// Each clip's embedded prefix `[s, d]`, float32; `embed` gives the embeddings of ids.
    pub(crate) fn rows(&self, embed: impl Fn(&Tensor) -> Tensor) -> Vec<Tensor> {
        let [before_pd, behind_qd] =
            [&self.before_p, &self.behind_q].map(|ids| embed(ids).to_kind(Kind::Float));
        let steps = Vec::<i64>::try_from(&self.lengths_b).unwrap_or_default();
        let row = |(clip, steps)| {
            Tensor::cat(&[&before_pd, &self.tokens_btd.get(clip).narrow(0, 0, steps), &behind_qd], 0)
        };
        (0..).zip(steps).map(row).collect()
    }
}

/// Rows of different lengths as `[b, s, d]`, with zeros on the `side` "left" or "right", and where they are not, `[b, s]`.
pub(crate) fn padded(rows: &[Tensor], side: &str) -> (Tensor, Tensor) {
    let ones = |row: &Tensor| Tensor::ones([row.size()[0]], (Kind::Int64, row.device()));
    let masks: Vec<Tensor> = rows.iter().map(ones).collect();
    (Tensor::pad_sequence(rows, true, 0.0, side), Tensor::pad_sequence(&masks, true, 0.0, side))
}
