//! What a training will take, told before the language model is loaded: parameters and memory.

use crate::config::TrainConfig;
use crate::head::config::Widths;
use crate::head::sign_head::SignHead;
use crate::head::temporal::out_length;
use crate::language::LanguageModel;
use crate::language::adapter;
use crate::language::family::LanguageConfig;
use crate::language::lora::LoraConfig;
use crate::language::settings::TuningKind;
use crate::language::tuning::Tuning;
use signclip_common::weights::Weights;
use signclip_common::{Result, machine, tensor_file};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind};

/// Bytes for each trained value: float32 master, gradient, and two moments.
const TRAINED: u64 = 16;
/// Bytes kept for the backward pass by each byte of the inputs and outputs of a linear layer: those themselves, and what
/// lies between them. Fitted to the peaks of Flan-T5-XL in bf16 with LoRA, plain and recomputing
/// (`just bench-xl`); not checked with other models.
const KEPT: f64 = 2.25;
/// Float32 arrays as large as the fused features that the head keeps.
const HEAD_ARRAYS: u64 = 20;
/// libtorch, and what is not in any of these sums.
const PROGRAM: u64 = 350 << 20;
/// Arrays as large as the logits that their loss needs, and the logits in float32 that are made at once at most.
const LOGIT_ARRAYS: u64 = 3;
const MOST_LOGITS: u64 = 1 << 26;

/// Names and shapes of a model's tensors.
type Table = Vec<(String, Vec<i64>)>;

/// Parameters and memory of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirements {
    /// Values of the language model that stay as they are, and those that are trained.
    frozen: u64,
    language: u64,
    /// Trained values of the visual head.
    visual: u64,
    /// The most bytes that each device will hold, as an estimate.
    pub memory: u64,
}

/// The largest step on one device.
#[derive(Debug, Clone, Copy)]
pub struct LargestStep {
    /// Frames of the longest clip, tokens of the prompt and of the longest target.
    pub frames: usize,
    pub prompt: usize,
    pub target: usize,
    /// Devices that share the clips of a step.
    pub devices: usize,
}

impl Requirements {
    /// Of the language model in `folder`, or of the one with `config` that is trained from nothing, computed in `kind`;
    /// for streams of these widths.
    pub fn of(
        settings: &TrainConfig,
        folder: Option<&Path>,
        config: &LanguageConfig,
        kind: Kind,
        widths: &BTreeMap<String, i64>,
        step: LargestStep,
    ) -> Result<Self> {
        let table: Table = match folder {
            Some(folder) => {
                let files = tensor_file::open_all(folder)?;
                let shapes = files.iter().flat_map(|file| {
                    file.names()
                        .into_iter()
                        .map(|name| (name.to_owned(), file.shape(name).unwrap_or_default()))
                });
                shapes.collect()
            }
            None => {
                let weights = Weights::fresh(0, Device::Cpu, Kind::Float);
                LanguageModel::load(&weights, config, Tuning::Full)?;
                weights.parameters().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
            }
        };
        let all = table.iter().map(|(_, shape)| values(shape)).sum();
        let lm = &settings.language_model;
        let (frozen, language) = match lm.tuning {
            TuningKind::Full => (0, all),
            TuningKind::Frozen => (all, 0),
            TuningKind::Lora => {
                let of_file = lm.adapter.as_deref().map(|folder| adapter::open(folder, Device::Cpu));
                let of_file = of_file.transpose()?.map(|(lora, _)| lora);
                (all, adapter_values(&table, of_file.as_ref().unwrap_or(&lm.lora), config)?)
            }
        };
        let (width, vocabulary) = embeddings(&table);
        let visual = visual_values(settings, widths, width)?;
        let weights = match lm.tuning {
            TuningKind::Full => 0,
            _ => frozen * kind.elt_size_in_bytes() as u64,
        };
        let optimiser = &settings.optimiser;
        let clips = optimiser.batch_size.div_ceil(step.devices).div_ceil(optimiser.accumulation) as u64;
        let head = settings.head.d as u64 * (optimiser.batch_size * step.frames) as u64 * 4 * HEAD_ARRAYS;
        let prefix = out_length(settings.head.conv, step.frames as i64) as u64 + step.prompt as u64;
        let kept = kept(&table, clips, prefix, step.target as u64, optimiser.recompute);
        let activations = (kept as f64 * KEPT) as u64 * kind.elt_size_in_bytes() as u64;
        let logits = (clips * step.target as u64 * vocabulary).min(MOST_LOGITS) * 4 * LOGIT_ARRAYS;
        let memory = PROGRAM + weights + (language + visual) * TRAINED + head + activations + logits;
        Ok(Self { frozen, language, visual, memory })
    }

    /// Log them; a warning where this machine does not have the memory for `devices` on its CPU.
    pub fn tell(&self, devices: usize) {
        let Self { frozen, language, visual, memory } = self;
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        tracing::info!(
            "{} parameters are trained ({visual} of the visual head, {language} of the language model), {frozen} are \
             frozen; about {} of memory expected on each device",
            visual + language,
            gib(*memory)
        );
        let needed = memory * devices as u64;
        if let Some(available) =
            machine::available_memory().filter(|available| devices > 0 && needed > *available)
        {
            tracing::warn!(
                "that is {} on the CPU, more than the {} that this machine has free: --set optimiser.recompute=true, \
                 --set optimiser.accumulation=2 or more, or a smaller language model take less",
                gib(needed),
                gib(available)
            );
        }
    }
}

fn values(shape: &[i64]) -> u64 {
    shape.iter().product::<i64>().unsigned_abs()
}

/// Outputs and inputs of a linear layer, by the name and the shape of its weight.
fn linear((name, shape): &(String, Vec<i64>)) -> Option<(&str, u64, u64)> {
    match (name.strip_suffix(".weight")?, shape.as_slice()) {
        (module, &[outputs, inputs]) => Some((module, outputs.unsigned_abs(), inputs.unsigned_abs())),
        _ => None,
    }
}

/// The block that a module is in: its path up to the first number.
fn block(module: &str) -> Option<&str> {
    let number = module.split('.').find(|part| part.parse::<u32>().is_ok())?;
    let at = module.find(&format!(".{number}."))?;
    module.get(..at + 1 + number.len())
}

/// Values of an adapter.
fn adapter_values(table: &Table, lora: &LoraConfig, config: &LanguageConfig) -> Result<u64> {
    let targets = lora.targets_in(config.adapter_names()).matcher()?;
    let adapted = table.iter().filter_map(linear).filter(|(module, ..)| targets.target_of(module).is_some());
    Ok(adapted
        .map(|(module, out, inputs)| lora.rank_and_scale(module).0.unsigned_abs() * (out + inputs))
        .sum())
}

/// Width of the model and its number of tokens: the table outside all blocks that is longest.
fn embeddings(table: &Table) -> (u64, u64) {
    let outside = table.iter().filter_map(linear).filter(|(module, ..)| block(module).is_none());
    let longest = outside.max_by_key(|(_, rows, _)| *rows);
    longest.map_or((1, 1), |(_, rows, width)| (width, rows))
}

/// Trained values of the visual head.
fn visual_values(settings: &TrainConfig, streams: &BTreeMap<String, i64>, width: u64) -> Result<u64> {
    let widths = Widths { streams: streams.clone(), language: width as i64 };
    settings.head.validate(&widths)?;
    let weights = Weights::fresh(0, Device::Cpu, Kind::Float);
    weights.build(&[], |part| SignHead::new(part, &settings.head, &widths, &settings.loss))?;
    Ok(weights.parameters().iter().map(|(_, tensor)| tensor.numel() as u64).sum())
}

/// Inputs and outputs of the linear layers of all blocks for so many clips, whose sequences have a prefix and a target: an
/// encoder reads the one, a decoder the other; a model without an encoder reads both. With `recompute` the inputs of all
/// blocks, and those of one block inside.
fn kept(table: &Table, clips: u64, prefix: u64, target: u64, recompute: bool) -> u64 {
    let has_encoder = table.iter().any(|(name, _)| name.starts_with("encoder."));
    let mut blocks: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (module, outputs, inputs) in table.iter().filter_map(linear) {
        let Some(block) = block(module) else { continue };
        let tokens = match (has_encoder, module.starts_with("decoder.")) {
            (true, true) => target,
            (true, false) => prefix,
            (false, _) => prefix + target,
        };
        let (all, input) = blocks.entry(block).or_default();
        *all += clips * tokens * (outputs + inputs);
        *input = (*input).max(clips * tokens * inputs);
    }
    let all = blocks.values().map(|(all, _)| all);
    match recompute {
        false => all.sum(),
        true => blocks.values().map(|(_, input)| input).sum::<u64>() + all.max().copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::family::Tiny;
    use crate::language::t5::T5Config;

    /// The numbers are those of the model when it is built.
    #[test]
    fn parameters_are_those_of_the_model() -> Result<()> {
        let config = Tiny::T5.config(40);
        let widths = BTreeMap::from([("spatial".to_owned(), 12), ("mouthing".to_owned(), 6)]);
        let step = LargestStep { frames: 100, prompt: 5, target: 9, devices: 1 };
        let of = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
            let settings = TrainConfig::tiny().with(None, &settings)?;
            Requirements::of(&settings, None, &config, Kind::Float, &widths, step)
        };
        let count =
            |weights: &Weights| weights.parameters().iter().map(|(_, t)| t.numel() as u64).sum::<u64>();
        let whole = Weights::fresh(1, Device::Cpu, Kind::Float);
        LanguageModel::load(&whole, &config, Tuning::Full)?;
        let full = of(&[])?;
        assert_eq!((full.frozen, full.language), (0, count(&whole)));
        let (base, adapter) =
            (Weights::fresh(1, Device::Cpu, Kind::Float), Weights::fresh(1, Device::Cpu, Kind::Float));
        let lora = LoraConfig { r: 3, ..LoraConfig::default() };
        LanguageModel::load(&base, &config, Tuning::Lora(&lora, &adapter))?;
        let adapted = of(&["language_model.tuning=lora", "language_model.lora.r=3"])?;
        assert_eq!((adapted.frozen, adapted.language), (count(&whole), count(&adapter)));
        assert_eq!(adapted.visual, full.visual);
        // Less to train, and less to keep, is less memory; a device more takes its share.
        assert!(adapted.memory < full.memory);
        Ok(())
    }

    /// By hand: a decoder of one block in front of which an encoder of two has read the prefix.
    #[test]
    fn what_is_kept() {
        let row = |name: &str, shape: &[i64]| (name.to_owned(), shape.to_vec());
        let encoder = |i: usize| row(&format!("encoder.block.{i}.layer.0.q.weight"), &[8, 4]);
        let table = vec![
            row("shared.weight", &[100, 4]),
            encoder(0),
            encoder(1),
            row("decoder.block.0.layer.0.q.weight", &[2, 4]),
            row("decoder.block.0.layer.0.layer_norm.weight", &[4]),
        ];
        assert_eq!(embeddings(&table), (4, 100));
        assert_eq!(kept(&table, 3, 10, 5, false), 3 * (2 * 10 * 12 + 5 * 6));
        assert_eq!(kept(&table, 3, 10, 5, true), 3 * (2 * 10 * 4 + 5 * 4 + 10 * 12));
        let alone = vec![
            row("model.embed_tokens.weight", &[50, 4]),
            row("model.layers.11.mlp.up_proj.weight", &[6, 4]),
        ];
        assert_eq!(kept(&alone, 3, 10, 5, false), 3 * 15 * 10);
        assert_eq!(block("model.layers.11.mlp.up_proj"), Some("model.layers.11"));
    }

    /// Of Flan-T5-XL with four clips of 492 frames, as measured: 9.2 GiB, and 6.9 with recomputation (docs/cluster.md).
    #[test]
    fn memory_is_near_to_what_was_measured() -> Result<()> {
        let T5Config { d_model: d, d_ff: f, .. } = T5Config::xl();
        let mut table: Table = vec![("shared".to_owned(), 32_128), ("lm_head".to_owned(), 32_128)]
            .into_iter()
            .map(|(name, rows)| (format!("{name}.weight"), vec![rows, d]))
            .collect();
        for (stack, attentions) in
            [("encoder", &["SelfAttention"][..]), ("decoder", &["SelfAttention", "EncDecAttention"])]
        {
            for at in (0..24).map(|i| format!("{stack}.block.{i}.layer.0")) {
                for attention in attentions {
                    table.extend(
                        ["q", "k", "v", "o"].map(|m| (format!("{at}.{attention}.{m}.weight"), vec![d, d])),
                    );
                }
                table.extend(
                    ["wi_0", "wi_1"].map(|m| (format!("{at}.DenseReluDense.{m}.weight"), vec![f, d])),
                );
                table.push((format!("{at}.DenseReluDense.wo.weight"), vec![d, f]));
            }
        }
        let config = LanguageConfig::T5(T5Config::xl());
        let adapter = adapter_values(&table, &LoraConfig::default(), &config)?;
        let widths = BTreeMap::from([("spatial".to_owned(), 2048), ("mouthing".to_owned(), 1024)]);
        let settings = TrainConfig::default();
        let trained = adapter + visual_values(&settings, &widths, d as u64)?;
        let weights: u64 = table.iter().map(|(_, shape)| values(shape)).sum();
        for (recompute, measured) in [(false, 9.2), (true, 6.9)] {
            let activations = kept(&table, 4, 120, 32, recompute) as f64 * KEPT * 2.0;
            let head = 4 * HEAD_ARRAYS * 4 * 492 * settings.head.d as u64;
            let all = (PROGRAM + 2 * weights + TRAINED * trained + head) as f64 + activations;
            let gib = all / f64::from(1 << 30);
            assert!((gib / measured - 1.0).abs() < 0.1, "{gib:.2} GiB, measured {measured}");
        }
        Ok(())
    }
}
