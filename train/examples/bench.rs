//! Timing and peak memory of the language model half, for comparison with a Python program on the same libtorch.
//!
//! ```text
//! bench weights  --size base --dtype bf16 --out target/bench/base-bf16    a Hugging Face folder of computed weights
//! bench train    --model target/bench/base-bf16 --dtype bf16              steps of SignClip with LoRA and AdamW
//! bench generate --model target/bench/base-bf16 --dtype bf16              beam search without an end token
//! bench generate --model target/bench/base-bf16 --gpus 0                  on a GPU
//! ```
//!
//! Weights are of an official size and random; features and labels are random. Everything else is what the trainer
//! and `evaluate` run. Each command prints one JSON object.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

mod bench {
    pub(crate) mod folder;
    pub(crate) mod measure;
}

use bench::{folder, measure};
use clap::{Parser, Subcommand, ValueEnum};
use signclip_common::{Result, devices, environment, memory};
use signclip_train::language::family::LanguageConfig;
use signclip_train::language::llama::LlamaConfig;
use signclip_train::language::t5::T5Config;
use std::path::PathBuf;
use std::process::ExitCode;
use tch::Device;

/// Time the language model half of SignClip.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a folder of random weights, unless it is there
    Weights {
        #[arg(long, value_enum, default_value = "base")]
        size: Size,
        #[arg(long, default_value = "bf16")]
        dtype: String,
        #[arg(long)]
        out: PathBuf,
    },
    /// Time training steps
    Train {
        #[command(flatten)]
        shape: Shape,
        #[arg(long, default_value_t = 32)]
        text_tokens: i64,
        #[arg(long, default_value_t = 3)]
        steps: usize,
        /// Recompute activations in the backward pass
        #[arg(long)]
        recompute: bool,
    },
    /// Time the translation of a batch by beam search
    Generate {
        #[command(flatten)]
        shape: Shape,
        #[arg(long, default_value_t = 30)]
        new_tokens: usize,
        #[arg(long, default_value_t = 5)]
        beams: usize,
        #[arg(long, default_value_t = 3)]
        repeat: usize,
    },
}

/// What both timings share.
#[derive(Debug, clap::Args)]
struct Shape {
    /// Folder that `weights` wrote
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value = "bf16")]
    dtype: String,
    #[arg(long, default_value_t = 4)]
    batch: i64,
    #[arg(long, default_value_t = 120)]
    visual_tokens: i64,
    /// The device: a CUDA number or cpu
    #[arg(long, default_value = "cpu")]
    gpus: String,
}

impl Shape {
    fn open(&self) -> Result<measure::Batch> {
        let device = devices::open_one(&self.gpus)?;
        let kind = devices::compute_kind(&self.dtype, device)?;
        Ok(measure::Batch { device, kind, clips: self.batch, visual_tokens: self.visual_tokens })
    }
}

/// Official sizes of Flan-T5, mT5 and Llama, and a small Llama.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    Small,
    Base,
    Large,
    Xl,
    LlamaSmall,
    #[value(name = "llama-3.2-3b")]
    Llama32,
    #[value(name = "llama-3.1-8b")]
    Llama31,
    Mt5Xl,
}

impl Size {
    fn config(self) -> LanguageConfig {
        match self {
            Self::Small => LanguageConfig::T5(T5Config::small()),
            Self::Base => LanguageConfig::T5(T5Config::base()),
            Self::Large => LanguageConfig::T5(T5Config::large()),
            Self::Xl => LanguageConfig::T5(T5Config::xl()),
            Self::LlamaSmall => LanguageConfig::Llama(LlamaConfig::small()),
            Self::Llama32 => LanguageConfig::Llama(LlamaConfig::llama32_3b()),
            Self::Llama31 => LanguageConfig::Llama(LlamaConfig::llama31_8b()),
            Self::Mt5Xl => LanguageConfig::T5(T5Config::xl().multilingual()),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // As in the programs: evaluate has them, train has not.
    if matches!(args.command, Command::Generate { .. }) {
        environment::huge_pages();
    }
    environment::for_gpus();
    memory::start();
    match run(&args) {
        Ok(Some(json)) => println!("{json}"),
        Ok(None) => {}
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn run(args: &Args) -> Result<Option<serde_json::Value>> {
    Ok(match &args.command {
        Command::Weights { size, dtype, out } => {
            folder::write(out, &size.config(), devices::compute_kind(dtype, Device::Cpu)?)?;
            None
        }
        Command::Train { shape, text_tokens, steps, recompute } => {
            Some(measure::train(&shape.model, shape.open()?, *text_tokens, *steps, *recompute)?)
        }
        Command::Generate { shape, new_tokens, beams, repeat } => {
            Some(measure::generate(&shape.model, shape.open()?, *new_tokens, *beams, *repeat)?)
        }
    })
}
