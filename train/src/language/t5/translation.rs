//! Translation with T5: the encoder gets visual tokens and prompt, the decoder writes the sentence.

use super::model::T5;
use crate::language::beam_search::{BeamSearchConfig, Hypothesis};
use crate::language::inputs::{Prefix, padded};
use signclip_common::Result;
use tch::{Kind, Tensor};

impl T5 {
    /// Encoder inputs and their mask.
    fn inputs(&self, prefix: &Prefix) -> (Tensor, Tensor) {
        padded(&prefix.rows(|ids| self.embed(ids)), "right")
    }

    /// See [`crate::language::LanguageModel::backward`].
    pub fn backward(&self, prefix: &Prefix, labels_bl: &Tensor, divisor: f64, recompute: bool) -> Tensor {
        let (inputs_bsd, mask_bs) = self.inputs(prefix);
        match recompute {
            true => self.backward_recomputing(&inputs_bsd, &mask_bs, labels_bl, divisor),
            false => self.backward_keeping(&inputs_bsd, &mask_bs, labels_bl, divisor),
        }
    }

    /// [`Self::backward_recomputing`], with all activations kept.
    pub(super) fn backward_keeping(
        &self,
        inputs_embeds_bsd: &Tensor,
        mask_bs: &Tensor,
        labels_bt: &Tensor,
        divisor: f64,
    ) -> Tensor {
        let encoded_bsd = self.encode(inputs_embeds_bsd, mask_bs, true);
        let ids_bt = self.shift_right(labels_bt);
        let decoder_btd = self.decode_seeing(&ids_bt, &encoded_bsd, mask_bs, true, &mut |_| {});
        self.label_backward(&decoder_btd, labels_bt, divisor, true)
    }

    /// See [`crate::language::LanguageModel::log_probabilities`].
    pub fn log_probabilities(&self, prefix: &Prefix, labels_bl: &Tensor) -> Tensor {
        let (inputs_bsd, mask_bs) = self.inputs(prefix);
        let encoded_bsd = self.encode(&inputs_bsd, &mask_bs, false);
        let logits_blv = self.decode(&self.shift_right(labels_bl), &encoded_bsd, &mask_bs, false);
        let labels_bl1 = labels_bl.clamp_min(0).unsqueeze(-1);
        logits_blv.log_softmax(-1, Kind::Float).gather(-1, &labels_bl1, false).squeeze_dim(-1)
    }

    /// See [`crate::language::LanguageModel::translate`].
    pub fn translate(&self, prefix: &Prefix, search: &BeamSearchConfig) -> Result<Vec<Vec<Hypothesis>>> {
        let (inputs_bsd, mask_bs) = self.inputs(prefix);
        self.generate(&self.encode(&inputs_bsd, &mask_bs, false), &mask_bs, search)
    }
}
