//! The flags that say with which settings to train.

use crate::config::TrainConfig;
use clap::ValueEnum;
use signclip_common::Result;
use std::path::PathBuf;

/// A preset, and what replaces its settings.
#[derive(Debug, Clone, clap::Args)]
pub struct SettingFlags {
    /// Starting point of the settings
    #[arg(long, value_enum, default_value = "paper")]
    pub preset: Preset,
    /// JSON file with settings that differ from the preset
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, as in optimiser.epochs=10
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Use what is there although some clips have no features: they failed, or are not extracted yet
    #[arg(long)]
    pub allow_missing: bool,
}

/// Sets of defaults.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Preset {
    /// The paper's values.
    Paper,
    /// A small model trained from nothing.
    Tiny,
    /// The small model for the study's rendered corpora; with a small language model of `train-language`, and LoRA.
    Study,
    /// The baseline SpaMo, on the streams spatial and motion.
    Spamo,
    /// The code that the paper's authors published.
    Authors,
}

impl Preset {
    /// Its settings.
    pub fn settings(self) -> TrainConfig {
        match self {
            Self::Paper => TrainConfig::default(),
            Self::Tiny => TrainConfig::tiny(),
            Self::Study => TrainConfig::study(),
            Self::Spamo => TrainConfig::spamo(),
            Self::Authors => TrainConfig::authors(),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Tiny => "tiny",
            Self::Study => "study",
            Self::Spamo => "spamo",
            Self::Authors => "authors",
        }
    }
}

impl SettingFlags {
    /// The settings that come out. Errors: a field that is not there, a value that it cannot have.
    pub fn effective(&self) -> Result<TrainConfig> {
        self.preset.settings().with(self.config.as_deref(), &self.set)
    }
}
