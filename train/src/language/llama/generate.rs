//! Llama as the step function of a search, with cached keys and values.

use super::layer::Pass;
use super::model::Llama;
use crate::language::attend::{key_mask, step_kind};
use crate::language::beam_search::{self, BeamSearchConfig, Hypothesis, Moves};
use crate::language::cache::DecoderCache;
use crate::language::few_rows::FewRows;
use signclip_common::Result;
use tch::{Kind, Tensor, no_grad_guard};

impl Llama {
    /// The best continuations of every prefix of `prefix_bsd`, best first; `mask_bs` is 0 at padding, which is on the left.
    /// The last position of the prefix is what the search calls the start token.
    pub fn generate(
        &self,
        prefix_bsd: &Tensor,
        mask_bs: &Tensor,
        config: &BeamSearchConfig,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let _no_grad = no_grad_guard();
        let ends = config.eos_token_id.as_ref().map_or(self.config.eos_token_id.ids(), std::slice::from_ref);
        let clips = prefix_bsd.size()[0] as usize;
        let (logits_bv, mut cache) = self.start(prefix_bsd, mask_bs);
        let mut first = Some(logits_bv);
        let _few_rows = FewRows::begin(clips * config.num_beams, self.kind(), prefix_bsd.device());
        beam_search::search(config, clips, self.config.bos_token_id, ends, |tokens, moves| {
            match first.take() {
                Some(logits_bv) => logits_bv,
                None => self.step(&mut cache, tokens, moves),
            }
        })
    }

    /// Logits `[b, v]` behind every prefix, and the cache with the prefixes' keys and values.
    fn start(&self, prefix_bsd: &Tensor, mask_bs: &Tensor) -> (Tensor, DecoderCache) {
        let pass = self.pass(mask_bs, false);
        let mut x_bsd = prefix_bsd.to_kind(self.kind());
        let kind = step_kind(&x_bsd);
        let mut given = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (y_bsd, key_value) = layer.forward(&x_bsd, &pass);
            given.push(key_value.to_kind(kind));
            x_bsd = y_bsd;
        }
        let last_bd = self.norm.forward(&x_bsd.select(1, -1));
        (self.logits(&last_bd, false), DecoderCache::new(given, key_mask(mask_bs, kind)))
    }

    /// Logits `[r, v]` after appending `tokens` to the rows that `moves` continues.
    fn step(&self, cache: &mut DecoderCache, tokens: &[i64], moves: Option<&Moves>) -> Tensor {
        if let Some(moves) = moves {
            cache.follow(moves);
        }
        let ids_r = Tensor::from_slice(tokens).to_device(cache.mask_b11s.device());
        let rows_per_clip = ids_r.size()[0] / cache.mask_b11s.size()[0];
        let prefix_b1 = cache.mask_b11s.eq(0.0).sum_dim_intlist(-1, false, Kind::Int64).flatten(1, 2);
        let positions_r1 = (prefix_b1 + cache.length).repeat_interleave_self_int(rows_per_clip, 0, None);
        let pass =
            Pass { rotary: self.rotary(&positions_r1), mask: cache.mask_b11s.shallow_clone(), train: false };
        cache.length += 1;
        let mut x_rd = self.embed(&ids_r);
        for (layer, of_layer) in self.layers.iter().zip(&mut cache.blocks) {
            x_rd = layer.step(&x_rd, &pass, of_layer);
        }
        self.logits(&self.norm.forward(&x_rd), false)
    }
}
