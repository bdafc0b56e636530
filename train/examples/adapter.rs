//! Adapters between this program and Hugging Face PEFT; what `just check-peft` drives.
//!
//! ```text
//! adapter make   --base MODEL --batch FILE --out DIR --logits FILE        train a little, write the adapter
//! adapter logits --base MODEL --batch FILE [--adapter DIR] --logits FILE  read a model, and an adapter
//! adapter merge  --base MODEL --adapter DIR --out DIR                     a model without an adapter
//! adapter greedy --base MODEL --batch FILE --tokens N                     ids of the first input's text, as JSON
//! ```
//!
//! `--batch` is a safetensors file with `inputs_embeds [b, s, d]`, `attention_mask [b, s]` and `labels [b, t]`, which of a
//! decoder-only model are those of the logits at every position.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

use clap::{Parser, Subcommand};
use signclip_common::safetensors_file::{self, SafetensorsFile};
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, atomic};
use signclip_train::language::beam_search::BeamSearchConfig;
use signclip_train::language::family::LanguageConfig;
use signclip_train::language::lora::LoraConfig;
use signclip_train::language::targets::Targets;
use signclip_train::language::tuning::Tuning;
use signclip_train::language::{LanguageModel, adapter, label_loss};
use signclip_train::training::adamw::{AdamW, AdamWConfig, ParameterGroup};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tch::{Device, Kind, Tensor, no_grad};

/// Make, read and merge adapters.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a new adapter for some steps and write it
    Make {
        #[arg(long)]
        base: PathBuf,
        #[arg(long)]
        batch: PathBuf,
        #[arg(long)]
        out: PathBuf,
        #[arg(long)]
        logits: PathBuf,
        /// A regular expression [default: the layers of the paper]
        #[arg(long)]
        targets: Option<String>,
    },
    /// Logits of a model, with an adapter if one is given
    Logits {
        #[arg(long)]
        base: PathBuf,
        #[arg(long)]
        batch: PathBuf,
        #[arg(long)]
        adapter: Option<PathBuf>,
        #[arg(long)]
        logits: PathBuf,
    },
    /// Add an adapter to the weights of its model
    Merge {
        #[arg(long)]
        base: PathBuf,
        #[arg(long)]
        adapter: PathBuf,
        #[arg(long)]
        out: PathBuf,
    },
    /// The text that greedy search finds for the first of the inputs
    Greedy {
        #[arg(long)]
        base: PathBuf,
        #[arg(long)]
        batch: PathBuf,
        #[arg(long)]
        tokens: usize,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Make { base, batch, out, logits, targets } => {
            let default = LoraConfig { dropout: 0.0, ..LoraConfig::default() };
            let targets = targets.clone().map(Targets::Pattern);
            let lora = LoraConfig { targets, ..default };
            let weights = Weights::fresh(1, Device::Cpu, Kind::Float);
            let (config, model) = load(base, Tuning::Lora(&lora, &weights))?;
            let batch = Batch::open(batch)?;
            let group = ParameterGroup { parameters: weights.parameters(), lr: 0.01, weight_decay: 0.01 };
            let mut adamw = AdamW::new(vec![group], AdamWConfig::default());
            for _ in 0..5 {
                adamw.zero_grad();
                label_loss::mean(&batch.logits(&model), &batch.labels_bt).backward();
                adamw.step(1.0);
            }
            adapter::save(out, &lora, config.adapter_names(), Some(base), &weights.parameters())?;
            write(logits, &no_grad(|| batch.logits(&model)))
        }
        Command::Logits { base, batch, adapter, logits } => {
            let adapter = adapter.as_deref().map(|folder| adapter::open(folder, Device::Cpu)).transpose()?;
            let tuning =
                adapter.as_ref().map_or(Tuning::Frozen, |(lora, weights)| Tuning::Lora(lora, weights));
            let (_, model) = load(base, tuning)?;
            write(logits, &no_grad(|| Ok::<_, Error>(Batch::open(batch)?.logits(&model)))?)
        }
        Command::Merge { base, adapter, out } => adapter::merge(base, adapter, out),
        Command::Greedy { base, batch, tokens } => {
            let (_, model) = load(base, Tuning::Frozen)?;
            println!("{:?}", Batch::open(batch)?.greedy(&model, *tokens)?);
            Ok(())
        }
    }
}

fn load(base: &Path, tuning: Tuning) -> Result<(LanguageConfig, LanguageModel)> {
    let config = LanguageConfig::read(base)?;
    let model = LanguageModel::load(&Weights::open(base, Device::Cpu, Kind::Float)?, &config, tuning)?;
    Ok((config, model))
}

fn write(file: &Path, logits: &Tensor) -> Result<()> {
    let table = [("logits".to_owned(), logits.kind(), logits.size())];
    atomic::write_with(file, |out| safetensors_file::write(out, &[], &table, |_| Ok(logits.shallow_clone())))
}

struct Batch {
    inputs_bsd: Tensor,
    mask_bs: Tensor,
    labels_bt: Tensor,
}

impl Batch {
    fn open(path: &Path) -> Result<Self> {
        let file = SafetensorsFile::open(path)?;
        let get = |name| {
            file.tensor(name).unwrap_or_else(|| Err(Error::input(path, name, "missing", "write it anew")))
        };
        Ok(Self {
            inputs_bsd: get("inputs_embeds")?,
            mask_bs: get("attention_mask")?,
            labels_bt: get("labels")?,
        })
    }

    fn logits(&self, model: &LanguageModel) -> Tensor {
        match model {
            LanguageModel::T5(t5) => {
                let encoder_bsd = t5.encode(&self.inputs_bsd, &self.mask_bs, false);
                t5.decode(&t5.shift_right(&self.labels_bt), &encoder_bsd, &self.mask_bs, false)
            }
            LanguageModel::Llama(llama) => {
                llama.logits(&llama.forward(&self.inputs_bsd, &self.mask_bs, false), false)
            }
        }
    }

    /// Ids of at most `tokens` tokens for the first input, which has no padding.
    fn greedy(&self, model: &LanguageModel, tokens: usize) -> Result<Vec<i64>> {
        let search = BeamSearchConfig { num_beams: 1, max_length: tokens + 1, ..BeamSearchConfig::default() };
        let inputs_bsd = self.inputs_bsd.narrow(0, 0, 1);
        let mask_bs = self.mask_bs.narrow(0, 0, 1);
        let mut texts = match model {
            LanguageModel::T5(t5) => {
                t5.generate(&no_grad(|| t5.encode(&inputs_bsd, &mask_bs, false)), &mask_bs, &search)?
            }
            LanguageModel::Llama(llama) => llama.generate(&inputs_bsd, &mask_bs, &search)?,
        };
        Ok(texts.remove(0).remove(0).ids)
    }
}
