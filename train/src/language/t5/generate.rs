//! T5 as the step function of a search, with cached keys and values.

use super::model::T5;
use crate::language::beam_search::{self, BeamSearchConfig, Hypothesis, Moves};
use crate::language::cache::DecoderCache;
use crate::language::few_rows::FewRows;
use signclip_common::Result;
use tch::{Tensor, no_grad_guard};

impl T5 {
    /// The best translations of every clip of `encoder_bsd`, best first.
    pub fn generate(
        &self,
        encoder_bsd: &Tensor,
        mask_bs: &Tensor,
        config: &BeamSearchConfig,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let _no_grad = no_grad_guard();
        let mut cache = self.decoder.start(encoder_bsd, mask_bs);
        let start = self.config.decoder_start_token_id;
        let end = config.eos_token_id.unwrap_or(self.config.eos_token_id);
        let clips = encoder_bsd.size()[0] as usize;
        let _few_rows = FewRows::begin(clips * config.num_beams, self.kind(), encoder_bsd.device());
        beam_search::search(config, clips, start, &[end], |tokens, moves| {
            self.step(&mut cache, tokens, moves)
        })
    }

    /// Logits `[r, v]` after appending `tokens` to the rows that `moves` continues.
    fn step(&self, cache: &mut DecoderCache, tokens: &[i64], moves: Option<&Moves>) -> Tensor {
        let device = self.shared_vd.device();
        if let Some(moves) = moves {
            cache.follow(moves);
        }
        let ids_r = Tensor::from_slice(tokens).to_device(device);
        self.logits(&self.decoder.step(self.embed(&ids_r), cache), false)
    }
}
