//! Translation with Llama: the sentence continues the begin token, the visual tokens and the prompt.

use super::model::Llama;
use crate::language::beam_search::{BeamSearchConfig, Hypothesis};
use crate::language::inputs::{IGNORE, Prefix, padded};
use crate::language::label_loss;
use crate::language::recompute::Passed;
use signclip_common::Result;
use tch::{Device, Kind, Tensor};

/// Prefixes with their targets, all known.
struct Taught {
    inputs_btd: Tensor,
    mask_bt: Tensor,
    /// Of each clip, the position before its first label, whose logits are of that label; and its number of labels.
    labels: Vec<(i64, i64)>,
}

impl Taught {
    /// Positions among all `b * t` whose logits are of the labels, in their order.
    fn places(&self) -> Tensor {
        let t = self.inputs_btd.size()[1];
        let of_clip = |(clip, &(first, count)): (i64, &(i64, i64))| {
            let begin = clip * t + first;
            begin..begin + count
        };
        let places: Vec<i64> = (0..).zip(&self.labels).flat_map(of_clip).collect();
        Tensor::from_slice(&places).to_device(self.inputs_btd.device())
    }
}

impl Llama {
    /// Each clip's prefix and its labels but the last, which predicts nothing.
    fn taught(&self, prefix: &Prefix, labels_bl: &Tensor) -> Taught {
        let counts_b = labels_bl.ne(IGNORE).sum_dim_intlist(1, false, Kind::Int64).to_device(Device::Cpu);
        let counts = Vec::<i64>::try_from(&counts_b).unwrap_or_default();
        let targets_bld = self.embed(&labels_bl.clamp_min(0)).to_kind(Kind::Float);
        let prefixes = prefix.rows(|ids| self.embed(ids));
        let labels: Vec<(i64, i64)> =
            prefixes.iter().zip(counts).map(|(row, count)| (row.size()[0] - 1, count)).collect();
        let row = |((clip, prefix), (_, count)): ((i64, &Tensor), &(i64, i64))| {
            Tensor::cat(&[prefix, &targets_bld.get(clip).narrow(0, 0, (count - 1).max(0))], 0)
        };
        let rows: Vec<Tensor> = (0..).zip(&prefixes).zip(&labels).map(row).collect();
        let (inputs_btd, mask_bt) = padded(&rows, "right");
        Taught { inputs_btd, mask_bt, labels }
    }

    /// See [`crate::language::LanguageModel::backward`].
    pub fn backward(&self, prefix: &Prefix, labels_bl: &Tensor, divisor: f64, recompute: bool) -> Tensor {
        let taught = self.taught(prefix, labels_bl);
        let labels_n = labels_bl.masked_select(&labels_bl.ne(IGNORE));
        let from = |hidden_btd: Tensor| {
            let hidden_nd = hidden_btd.flatten(0, 1).index_select(0, &taught.places());
            let logits = |hidden_nd: &Tensor| self.logits(hidden_nd, true);
            label_loss::backward(&hidden_nd, &labels_n, self.config.vocab_size, divisor, logits)
        };
        if !recompute {
            return from(self.forward(&taught.inputs_btd, &taught.mask_bt, true));
        }
        let pass = self.pass(&taught.mask_bt, true);
        let layer = |number: usize, x_btd: &Tensor| self.layers[number].forward(x_btd, &pass).0;
        let passed = Passed::new(self.layers.len(), taught.inputs_btd.to_kind(self.kind()), layer);
        let loss = from(self.norm.forward(passed.output()));
        passed.backward();
        loss
    }

    /// See [`crate::language::LanguageModel::log_probabilities`]. One clip's logits are made at a time.
    pub fn log_probabilities(&self, prefix: &Prefix, labels_bl: &Tensor) -> Tensor {
        let Taught { inputs_btd, mask_bt, labels } = self.taught(prefix, labels_bl);
        let hidden_btd = self.forward(&inputs_btd, &mask_bt, false);
        let of_clip = |(clip, (first, count)): (i64, (i64, i64))| {
            let logits_nv = self.logits(&hidden_btd.get(clip).narrow(0, first, count), false);
            let labels_n1 = labels_bl.get(clip).narrow(0, 0, count).unsqueeze(-1);
            let log_p_n1 = logits_nv.log_softmax(-1, Kind::Float).gather(-1, &labels_n1, false);
            log_p_n1.squeeze_dim(-1).constant_pad_nd([0, labels_bl.size()[1] - count])
        };
        Tensor::stack(&(0..).zip(labels).map(of_clip).collect::<Vec<_>>(), 0)
    }

    /// See [`crate::language::LanguageModel::translate`].
    pub fn translate(&self, prefix: &Prefix, search: &BeamSearchConfig) -> Result<Vec<Vec<Hypothesis>>> {
        let (prefix_bsd, mask_bs) = padded(&prefix.rows(|ids| self.embed(ids)), "left");
        self.generate(&prefix_bsd, &mask_bs, search)
    }

    /// The last hidden states of whole sentences, which begin with the begin token, `[b, l, d]`; meaningless where `mask_bl`
    /// is 0.
    pub fn understand(&self, ids_bl: &Tensor, mask_bl: &Tensor) -> Tensor {
        let size = ids_bl.size();
        let begin_b1 =
            ids_bl.new_full([size[0], 1], self.config.bos_token_id, (Kind::Int64, ids_bl.device()));
        let ids = Tensor::cat(&[&begin_b1, ids_bl], 1);
        let mask = Tensor::cat(&[&begin_b1.ones_like(), mask_bl], 1);
        self.forward(&self.embed(&ids), &mask, false).narrow(1, 1, size[1])
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::LlamaConfig;
    use super::*;
    use crate::language::dropout;
    use crate::language::lora::LoraConfig;
    use crate::language::tuning::Tuning;
    use signclip_common::weights::Weights;

    fn config() -> LlamaConfig {
        LlamaConfig { hidden_size: 16, intermediate_size: 24, ..LlamaConfig::tiny(40) }
    }

    fn wave(shape: &[i64], step: f64) -> Tensor {
        let n = shape.iter().product::<i64>();
        (Tensor::arange(n, (Kind::Float, Device::Cpu)) * step).sin().reshape(shape)
    }

    /// Three clips of 5, 2 and 4 visual tokens between two ids and one.
    fn prefix() -> Prefix {
        Prefix {
            before_p: Tensor::from_slice(&[0_i64, 9]),
            tokens_btd: wave(&[3, 5, 16], 1.3).set_requires_grad(true),
            lengths_b: Tensor::from_slice(&[5_i64, 2, 4]),
            behind_q: Tensor::from_slice(&[11_i64]),
        }
    }

    fn labels() -> Tensor {
        let row = |ids: &[i64]| {
            let mut row = ids.to_vec();
            row.resize(4, IGNORE);
            Tensor::from_slice(&row)
        };
        Tensor::stack(&[row(&[7, 9, 3, 1]), row(&[5, 1]), row(&[1])], 0)
    }

    fn llama(kind: Kind) -> Result<Llama> {
        Llama::load(&Weights::synthetic(5, Device::Cpu, kind), &config(), Tuning::Frozen)
    }

    /// The same loss and the same gradients of everything trainable and of the visual tokens, with dropout, for an adapter and
    /// for the whole model, in both types.
    #[test]
    fn recomputation_changes_no_gradient() -> Result<()> {
        let config = LlamaConfig { attention_dropout: 0.2, ..config() };
        let lora = LoraConfig { r: 2, ..LoraConfig::default() };
        for (full, kind) in [(false, Kind::Float), (false, Kind::BFloat16), (true, Kind::Float)] {
            let run = |recompute: bool| -> Result<(f64, Vec<(String, Tensor)>)> {
                let (base, adapter) =
                    (Weights::fresh(3, Device::Cpu, kind), Weights::fresh(4, Device::Cpu, Kind::Float));
                let tuning = if full { Tuning::Full } else { Tuning::Lora(&lora, &adapter) };
                let llama = Llama::load(&base, &config, tuning)?;
                let mut parameters: Vec<_> =
                    [base.parameters(), adapter.parameters()].into_iter().flatten().collect();
                for (name, parameter) in &parameters {
                    if name.ends_with("lora_B.weight") {
                        let values = wave(&parameter.size(), 0.7) * 0.3;
                        tch::no_grad(|| parameter.shallow_clone().copy_(&values));
                    }
                }
                let prefix = prefix();
                dropout::seed(11);
                let loss = llama.backward(&prefix, &labels(), 6.0, recompute);
                parameters.push(("tokens".to_owned(), prefix.tokens_btd));
                let grads = parameters.into_iter().map(|(name, p)| (name, p.grad()));
                Ok((loss.double_value(&[]), grads.filter(|(_, grad)| grad.defined()).collect()))
            };
            let (plain, again) = (run(false)?, run(true)?);
            assert_eq!(plain.0, again.0);
            assert_eq!(plain.1.len(), again.1.len());
            // Five layers with A and B in each block, or nine weights; the tokens.
            assert!(plain.1.len() > 3 * 9, "{}", plain.1.len());
            for ((name, a), (_, b)) in plain.1.iter().zip(&again.1) {
                let length = a.norm().double_value(&[]);
                assert!(length > 0.0, "{name} has a gradient");
                let gap = (a - b).norm().double_value(&[]) / length;
                assert!(gap <= 1e-4, "{name} is off by {gap}, full: {full}, {kind:?}");
            }
        }
        Ok(())
    }

    /// The loss of a batch is that of the reference's own form: the ids in a row, each predicted by those before it.
    #[test]
    fn labels_follow_the_prefix() -> Result<()> {
        let llama = llama(Kind::Float)?;
        let ids = [0_i64, 9, 4, 6, 8, 11, 7, 3, 1];
        let all = Tensor::from_slice(&ids).view([1, -1]);
        let prefix = Prefix {
            before_p: Tensor::from_slice(&ids[..2]),
            tokens_btd: llama.embed(&all.narrow(1, 2, 3)),
            lengths_b: Tensor::from_slice(&[3_i64]),
            behind_q: Tensor::from_slice(&ids[5..6]),
        };
        let log_p = llama.log_probabilities(&prefix, &all.narrow(1, 6, 3));
        let logits = llama.logits(&llama.forward(&llama.embed(&all), &all.ones_like(), false), false);
        let wanted = logits.log_softmax(-1, Kind::Float).narrow(1, 5, 3);
        let wanted = wanted.gather(-1, &all.narrow(1, 6, 3).unsqueeze(-1), false).squeeze_dim(-1);
        assert!((log_p - wanted).abs().max().double_value(&[]) < 1e-5);
        Ok(())
    }

    /// What is padded in a batch changes nothing, on either side; the loss is the log probabilities' sum.
    #[test]
    fn clips_of_a_batch_are_as_alone() -> Result<()> {
        let llama = llama(Kind::Float)?;
        let (prefix, labels_bl) = (prefix(), labels());
        let together = llama.log_probabilities(&prefix, &labels_bl);
        let search = BeamSearchConfig { num_beams: 3, max_length: 9, ..BeamSearchConfig::default() };
        let texts = llama.translate(&prefix, &search)?;
        let mut sum = 0.0;
        for (clip, count) in [4, 2, 1].into_iter().enumerate() {
            let (alone, labels_1l) =
                (prefix.of(clip..clip + 1), labels_bl.get(clip as i64).narrow(0, 0, count));
            let log_p = llama.log_probabilities(&alone, &labels_1l.unsqueeze(0));
            let of_batch = together.get(clip as i64).narrow(0, 0, count);
            assert!((log_p.squeeze_dim(0) - &of_batch).abs().max().double_value(&[]) < 1e-5, "clip {clip}");
            sum += of_batch.sum(Kind::Float).double_value(&[]);
            let found = llama.translate(&alone, &search)?.remove(0).remove(0);
            assert_eq!(found.ids, texts[clip][0].ids, "clip {clip}");
            assert!((found.score - texts[clip][0].score).abs() < 1e-5, "clip {clip}");
        }
        let loss = llama.backward(&prefix, &labels_bl, 2.0, false);
        assert!((loss.double_value(&[]) + sum / 2.0).abs() < 1e-4);
        Ok(())
    }

    /// Step by step with a cache, beams that change places and clips that leave: the score is what the whole sequence gives.
    #[test]
    fn decoding_with_a_cache_is_the_whole_pass() -> Result<()> {
        for (kind, bound) in [(Kind::Float, 1e-4), (Kind::BFloat16, 0.05)] {
            let llama = llama(kind)?;
            let prefix = prefix();
            for num_beams in [1, 4] {
                let search = BeamSearchConfig { num_beams, max_length: 40, ..BeamSearchConfig::default() };
                for (clip, found) in llama.translate(&prefix, &search)?.iter().enumerate() {
                    let ids = Tensor::from_slice(&found[0].ids).unsqueeze(0);
                    let log_p = llama.log_probabilities(&prefix.of(clip..clip + 1), &ids);
                    let wanted = log_p.mean(Kind::Float).double_value(&[]);
                    let gap = (found[0].score - wanted).abs();
                    assert!(
                        gap < bound,
                        "clip {clip}, {num_beams} beams, {kind:?}: {} {wanted}",
                        found[0].score
                    );
                }
            }
        }
        Ok(())
    }
}
