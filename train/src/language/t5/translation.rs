//! Translation with T5: the encoder gets visual tokens and prompt, the decoder writes the sentence.

use super::model::T5;
use crate::language::beam_search::{BeamSearchConfig, Hypothesis};
use crate::language::inputs::Prefix;
use signclip_common::Result;
use tch::{Device, Kind, Tensor};

impl T5 {
    /// Encoder inputs and their mask: each clip's visual tokens, then the prompt's embeddings, then padding.
    fn inputs(&self, prefix: &Prefix) -> (Tensor, Tensor) {
        let tokens_btd = &prefix.tokens_btd;
        let prompt_pd = self.embed(&prefix.prompt_p).to_kind(Kind::Float);
        let steps = Vec::<i64>::try_from(&prefix.lengths_b.to_device(Device::Cpu)).unwrap_or_default();
        let rows: Vec<Tensor> = (0..)
            .zip(steps)
            .map(|(clip, steps)| Tensor::cat(&[&tokens_btd.get(clip).narrow(0, 0, steps), &prompt_pd], 0))
            .collect();
        let masks: Vec<Tensor> =
            rows.iter().map(|r| Tensor::ones([r.size()[0]], (Kind::Int64, tokens_btd.device()))).collect();
        let inputs_bsd = Tensor::pad_sequence(&rows, true, 0.0, "right");
        (inputs_bsd, Tensor::pad_sequence(&masks, true, 0.0, "right"))
    }

    /// See [`crate::language::LanguageModel::backward`].
    pub fn backward(&self, prefix: &Prefix, labels_bl: &Tensor, divisor: f64, recompute: bool) -> Tensor {
        let (inputs_bsd, mask_bs) = self.inputs(prefix);
        if recompute {
            return self.backward_recomputing(&inputs_bsd, &mask_bs, labels_bl, divisor);
        }
        let encoded_bsd = self.encode(&inputs_bsd, &mask_bs, true);
        let loss = self.target_loss(labels_bl, &encoded_bsd, &mask_bs, true).0 / divisor;
        loss.backward();
        loss.detach()
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
