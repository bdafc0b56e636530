//! What decoding keeps between its steps: keys and values of everything before the next position.

use crate::language::beam_search::Moves;
use crate::language::past::{KeyValue, Past};
use tch::{Device, Tensor};

/// The cache of a decoder.
#[derive(Debug)]
pub struct DecoderCache {
    pub(crate) blocks: Vec<BlockCache>,
    /// What to add to the scores of the given positions, `[b, 1, 1, s]`.
    pub(crate) mask_b11s: Tensor,
    /// Positions so far, without the given ones.
    pub(crate) length: i64,
}

/// Keys and values of one block.
#[derive(Debug)]
pub(crate) struct BlockCache {
    /// The positions so far of every row.
    pub(crate) past: Option<Past>,
    /// What each clip was given, an encoder's output or a prefix, once for all its beams.
    pub(crate) given: KeyValue,
}

impl DecoderCache {
    /// Before the first step, from what each block was given.
    pub(crate) fn new(given: impl IntoIterator<Item = KeyValue>, mask_b11s: Tensor) -> Self {
        let block = |given| BlockCache { past: None, given };
        Self { blocks: given.into_iter().map(block).collect(), mask_b11s, length: 0 }
    }

    /// Continue with the rows of the last step, and with the clips, that `moves` says.
    pub fn follow(&mut self, moves: &Moves) {
        let there = |places: &[i64], device: Device| Tensor::from_slice(places).to_device(device);
        let rows_r = there(&moves.rows, self.mask_b11s.device());
        for block in &mut self.blocks {
            block.past.iter_mut().for_each(|past| past.select(&rows_r));
        }
        let Some(clips) = &moves.clips else { return };
        let clips_b = there(clips, self.mask_b11s.device());
        for block in &mut self.blocks {
            block.given = block.given.select(&clips_b);
        }
        self.mask_b11s = self.mask_b11s.index_select(0, &clips_b);
    }
}
