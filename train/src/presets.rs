//! The settings of others, by name. What they do that breaks an honest evaluation is left out; docs/deviations.md names it.

use crate::config::{OptimiserSettings, TextSettings, TrainConfig};
use crate::data::windowed::Windowed;
use crate::head::config::{HeadConfig, LossConfig, Pooling, StandardiseBy};
use crate::head::gated_fusion::FusionKind;
use crate::head::streams::Streams;
use crate::head::temporal::Steps;
use crate::language::beam_search::{BeamSearchConfig, Normalization};
use crate::language::lora::LoraConfig;
use crate::language::settings::{LanguageSettings, TuningKind};
use crate::language::targets::Targets;
use crate::training::adamw::AdamWConfig;
use crate::training::schedule::DecayBy;
use signclip_common::store::{MOTION, MOUTHING, SPATIAL};

impl TrainConfig {
    /// A small model trained from nothing in minutes on a CPU: for trying the programs out.
    pub fn tiny() -> Self {
        Self {
            head: HeadConfig { d: 128, standardise: true, ..HeadConfig::default() },
            // Standardised streams have no mean over time.
            loss: LossConfig { sm_pooling: Pooling::Max, ..LossConfig::default() },
            language_model: LanguageSettings {
                path: "tiny".to_owned(),
                tuning: TuningKind::Full,
                dtype: "f32".to_owned(),
                ..LanguageSettings::default()
            },
            optimiser: OptimiserSettings {
                epochs: 40,
                lr_visual: 1e-3,
                lr_language: 1e-3,
                ..OptimiserSettings::default()
            },
            validate_every: 5,
            ..Self::default()
        }
    }

    /// [`Self::tiny`] with its streams standardised and decorrelated over the data set, so that L_sm compares means as in the paper.
    pub fn study() -> Self {
        let tiny = Self::tiny();
        Self {
            head: HeadConfig { standardise_by: StandardiseBy::Whitening, ..tiny.head },
            loss: LossConfig { sm_pooling: Pooling::Mean, ..tiny.loss },
            ..tiny
        }
    }

    /// The baseline SpaMo, as its release of April 2025 trains it (`configs/finetune.yaml`, `spamo/t5_slt.py`). With
    /// `head.streams=spatial` or `motion` the modes of its code with one stream.
    pub fn spamo() -> Self {
        const LR: f64 = 6e-4;
        Self {
            head: HeadConfig {
                streams: Streams::of(&[SPATIAL, MOTION]),
                d: 768,
                fusion: FusionKind::AlongTime,
                unconvolved_alone: vec![MOTION.to_owned()],
                norm_over: Steps::All,
                ..HeadConfig::default()
            },
            loss: LossConfig {
                alpha: 1.0,
                symmetric: true,
                vt_mean: Steps::All,
                // While `global_step <= 1000`, which counts from 0.
                vt_alone_steps: 1001,
                scale_bound: None,
                same_sentence_negatives: true,
                ..LossConfig::default()
            },
            language_model: LanguageSettings { lora: lora(&["q", "v"]), ..LanguageSettings::default() },
            optimiser: OptimiserSettings {
                epochs: 500,
                // 8 clips, gradients of two batches.
                batch_size: 16,
                micro_batches: 2,
                length_pool: 1,
                lr_visual: LR,
                lr_language: LR,
                adamw: AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-8 },
                weight_decay: 0.01,
                decay_vectors: true,
                warmup_share: 0.1,
                ..OptimiserSettings::default()
            },
            text: TextSettings {
                prompt: "Translate the given sentence into {language}.".to_owned(),
                ..TextSettings::default()
            },
            max_frames: 512,
            max_frames_of: Windowed::Spatial,
            decoding: BeamSearchConfig { normalization: Normalization::Hf432, ..BeamSearchConfig::default() },
            validate_every: 2,
            patience: Some(50),
            ..Self::default()
        }
    }

    /// The code that the paper's authors published (wwf47/SignMouth), with the defaults of its arguments.
    pub fn authors() -> Self {
        const LR: f64 = 1e-3;
        Self {
            head: HeadConfig {
                d: 768,
                gate_layers: 1,
                unconvolved_alone: vec![MOUTHING.to_owned()],
                norm_over: Steps::All,
                markers: true,
                ..HeadConfig::default()
            },
            loss: LossConfig {
                alpha: 0.1,
                beta: 0.1,
                symmetric: true,
                vt_mean: Steps::All,
                vt_text_tokens: 128,
                sm_over: Steps::All,
                sm_projection: false,
                sm_frames: true,
                shared_temperature: true,
                scale_bound: None,
                same_sentence_negatives: true,
                ..LossConfig::default()
            },
            language_model: LanguageSettings {
                lora: lora(&["q", "k", "v", "o", "wo"]),
                dtype: "f32".to_owned(),
                ..LanguageSettings::default()
            },
            optimiser: OptimiserSettings {
                epochs: 80,
                batch_size: 8,
                drop_last: true,
                length_pool: 1,
                lr_visual: LR,
                lr_language: LR,
                adamw: AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-9 },
                weight_decay: 0.001,
                decay_vectors: true,
                clip_norm: None,
                decay_by: DecayBy::Epoch,
                // From 1e-3 to 1e-8.
                lr_floor: 1e-5,
                ..OptimiserSettings::default()
            },
            text: TextSettings { final_dot: Some(true), ..TextSettings::default() },
            decoding: BeamSearchConfig { early_stopping: true, ..BeamSearchConfig::default() },
            patience: Some(10),
            ..Self::default()
        }
    }
}

/// Rank 16, alpha 32 and dropout 0.1 on these layers.
fn lora(targets: &[&str]) -> LoraConfig {
    LoraConfig { targets: Some(Targets::names(targets)), ..LoraConfig::default() }
}
