//! What a language model is given.

use std::ops::Range;
use tch::Tensor;

/// Label of a position that does not count.
pub const IGNORE: i64 = -100;

/// What the translation of each clip follows: its visual tokens, whose number differs between clips, and the prompt.
pub struct Prefix {
    /// `[b, t, d]`; what is beyond a clip's length does not count.
    pub tokens_btd: Tensor,
    /// `[b]` int64.
    pub lengths_b: Tensor,
    /// Ids `[p]`, the same for every clip.
    pub prompt_p: Tensor,
}

impl Prefix {
    /// That of some of the clips.
    pub fn of(&self, clips: Range<usize>) -> Self {
        let rows = |x: &Tensor| x.narrow(0, clips.start as i64, clips.len() as i64);
        Self {
            tokens_btd: rows(&self.tokens_btd),
            lengths_b: rows(&self.lengths_b),
            prompt_p: self.prompt_p.shallow_clone(),
        }
    }
}
