//! The training step of T5 with [recomputation](crate::language::recompute), once for the encoder and once for the decoder.
//!
//! The loss is that of the plain pass, and so are the gradients but for the order in which those of the encoder output are
//! added up.

use super::model::T5;
use super::stack::Pass;
use crate::language::cut::{continue_backward, leaf};
use crate::language::recompute::Passed;
use tch::Tensor;

impl T5 {
    /// Forward and backward pass of the labels' summed cross-entropy over `divisor` after encoding `inputs_embeds_bsd`:
    /// adds to the gradients of parameters and inputs, gives the loss.
    pub fn backward_recomputing(
        &self,
        inputs_embeds_bsd: &Tensor,
        mask_bs: &Tensor,
        labels_bt: &Tensor,
        divisor: f64,
    ) -> Tensor {
        let x_bsd = inputs_embeds_bsd.to_kind(self.kind());
        let (encoding, encoder_bias) = cut_bias(self.encoder.encoding(&x_bsd, mask_bs, true));
        let block = |number: usize, x: &Tensor| encoding.block(number, x);
        let encoder = Passed::new(self.encoder.blocks(), self.encoder.begin(x_bsd, true), block);
        let encoded_bsd = self.encoder.finish(encoder.output(), true);
        let encoded_leaf_bsd = leaf(&encoded_bsd);

        let x_btd = self.embed(&self.shift_right(labels_bt));
        let pass = self.decoder.decoding(&x_btd, &encoded_leaf_bsd, mask_bs, true);
        let (decoding, decoder_bias) = cut_bias(pass);
        let block = |number: usize, x: &Tensor| decoding.block(number, x);
        let decoder = Passed::new(self.decoder.blocks(), self.decoder.begin(x_btd, true), block);
        let loss =
            self.label_backward(&self.decoder.finish(decoder.output(), true), labels_bt, divisor, true);

        decoder.backward();
        continue_backward([(&decoder_bias, decoding.bias.grad())]);
        continue_backward([(&encoded_bsd, encoded_leaf_bsd.grad())]);
        drop((decoding, encoded_bsd, encoded_leaf_bsd));
        encoder.backward();
        continue_backward([(&encoder_bias, encoding.bias.grad())]);
        loss
    }
}

/// A pass with a leaf in place of its position bias, and the bias in the graph.
fn cut_bias(mut pass: Pass<'_>) -> (Pass<'_>, Tensor) {
    let bias = pass.bias.shallow_clone();
    if bias.requires_grad() {
        pass.bias = leaf(&bias);
    }
    (pass, bias)
}

#[cfg(test)]
mod tests {
    use super::super::config::T5Config;
    use super::*;
    use crate::language::dropout;
    use crate::language::inputs::IGNORE;
    use crate::language::lora::LoraConfig;
    use crate::language::tuning::Tuning;
    use signclip_common::Result;
    use signclip_common::weights::Weights;
    use tch::{Device, Kind};

    /// The same loss and the same gradients of everything trainable and of the inputs, with dropout, for an adapter and
    /// for the whole model, in both types.
    #[test]
    fn gradients_are_those_of_the_plain_pass() -> Result<()> {
        let config = T5Config {
            vocab_size: 40,
            d_model: 16,
            d_kv: 4,
            d_ff: 24,
            num_heads: 3,
            num_layers: 3,
            num_decoder_layers: Some(2),
            dropout_rate: 0.2,
            ..T5Config::small()
        };
        let lora = LoraConfig { r: 2, ..LoraConfig::default() };
        let mask_bs = Tensor::from_slice2(&[[1i64, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]);
        let labels_bt = Tensor::from_slice2(&[[7i64, 9, 3, 1], [5, 1, IGNORE, IGNORE]]);
        for (full, kind) in [(false, Kind::Float), (false, Kind::BFloat16), (true, Kind::Float)] {
            let run = |recompute: bool| -> Result<(f64, Vec<(String, Tensor)>)> {
                let (base, adapter) =
                    (Weights::fresh(3, Device::Cpu, kind), Weights::fresh(4, Device::Cpu, Kind::Float));
                let tuning = if full { Tuning::Full } else { Tuning::Lora(&lora, &adapter) };
                let t5 = T5::load(&base, &config, tuning)?;
                let mut parameters: Vec<_> =
                    [base.parameters(), adapter.parameters()].into_iter().flatten().collect();
                for (name, parameter) in &parameters {
                    if name.ends_with("lora_B.weight") {
                        let n = parameter.numel() as i64;
                        let values = (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.7).sin() * 0.3;
                        tch::no_grad(|| parameter.shallow_clone().copy_(&values.view_as(parameter)));
                    }
                }
                let inputs = (Tensor::arange(2 * 6 * 16, (Kind::Float, Device::Cpu)) * 1.3).sin();
                let inputs_bsd = inputs.view([2, 6, 16]).set_requires_grad(true);
                dropout::seed(11);
                let loss = if recompute {
                    t5.backward_recomputing(&inputs_bsd, &mask_bs, &labels_bt, 6.0)
                } else {
                    t5.backward_keeping(&inputs_bsd, &mask_bs, &labels_bt, 6.0)
                };
                parameters.push(("inputs".to_owned(), inputs_bsd));
                let grads = parameters.into_iter().map(|(name, p)| (name, p.grad()));
                Ok((loss.double_value(&[]), grads.filter(|(_, grad)| grad.defined()).collect()))
            };
            let (plain, again) = (run(false)?, run(true)?);
            assert_eq!(plain.0, again.0);
            assert_eq!(plain.1.len(), again.1.len());
            assert!(plain.1.len() > 20, "{}", plain.1.len());
            for ((name, a), (_, b)) in plain.1.iter().zip(&again.1) {
                let length = a.norm().double_value(&[]);
                assert!(length > 0.0, "{name} has a gradient");
                let gap = (a - b).norm().double_value(&[]) / length;
                // In bfloat16 what the decoder's blocks give the encoder is added in another order, and the roundings
                // grow on their way back through its blocks.
                let allowed = match kind {
                    Kind::Float => 1e-4,
                    _ if name.contains(".decoder.") => 1e-3,
                    _ if name.contains(".encoder.block.2.") => 2e-2,
                    _ => 0.5,
                };
                assert!(gap <= allowed, "{name} is off by {gap}, full: {full}, {kind:?}");
            }
        }
        Ok(())
    }
}
