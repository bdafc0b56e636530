//! Every choice of a training run, with the paper's values as defaults.

use crate::data::split::check_split;
use crate::head::config::{HeadConfig, LossConfig, Pooling};
use crate::language::beam_search::BeamSearchConfig;
use crate::language::settings::{LanguageSettings, TuningKind};
use crate::training::adamw::AdamWConfig;
use crate::training::schedule::Decay;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result, json};
use std::path::Path;

/// Settings of a run; written as `config.json` into its folder. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    pub head: HeadConfig,
    pub language_model: LanguageSettings,
    pub loss: LossConfig,
    pub optimiser: OptimiserSettings,
    pub text: TextSettings,
    /// Longest clip in frames; longer ones give a window: random in training, the middle one otherwise (SpaMo: 512).
    pub max_frames: usize,
    /// Search for validation and evaluation.
    pub decoding: BeamSearchConfig,
    /// Control experiment: give every clip another clip's features, in all splits. What is scored then is scored
    /// without looking.
    pub shuffle_features: bool,
    /// Control experiment: give every clip its own gestures and another clip's mouthing, in all splits. What mouthing
    /// adds then is not what the lips say.
    pub shuffle_mouthing: bool,
    /// Validate after every so many epochs; the best BLEU-4 decides which weights are kept, of equal ones the best chrF.
    pub validate_every: usize,
    /// Split to validate on. SpaMo's published code takes `test`, which makes its test scores the best of many.
    pub validation_split: String,
    /// Write a checkpoint to resume from after every so many steps, besides those after each epoch; 0: only those.
    pub checkpoint_every: u64,
    /// How many checkpoints to resume from are kept.
    pub keep_checkpoints: usize,
    pub seed: u64,
}

/// AdamW (paper, "Implementation Details").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserSettings {
    pub epochs: usize,
    /// Clips a step, on all devices together.
    pub batch_size: usize,
    /// Parts in which each device takes its clips through the language model, to save memory. The step stays that of
    /// the whole batch.
    pub accumulation: usize,
    /// Compute the inside of the language model's blocks again in the backward pass instead of keeping it: much less
    /// memory, about a quarter more time, the same gradients.
    pub recompute: bool,
    /// Batches that are sorted by length together, to save padding; 1: none.
    pub length_pool: usize,
    /// Learning rate of projections, gate, convolution and contrastive heads.
    pub lr_visual: f64,
    /// Learning rate of the language model's trainable part.
    pub lr_language: f64,
    pub adamw: AdamWConfig,
    /// Decoupled weight decay; biases, norms and temperatures have none.
    pub weight_decay: f64,
    /// Global gradient norm is clipped to this.
    pub clip_norm: f64,
    pub decay: Decay,
    pub warmup_steps: u64,
    /// Stop where the loss is above this: the run has diverged.
    pub stop_above: f64,
}

/// Sentences and prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextSettings {
    /// `{language}` is replaced by the data set's language.
    pub prompt: String,
    /// Overrides the data set's language.
    pub language: Option<String>,
    /// Longest target in tokens, the end token included; longer ones are an error, not cut.
    pub max_target_tokens: usize,
    /// Train although more than a fifth of the words of the training have what the tokenizer has no token for.
    pub allow_unknown_words: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            head: HeadConfig::default(),
            language_model: LanguageSettings::default(),
            loss: LossConfig::default(),
            optimiser: OptimiserSettings::default(),
            text: TextSettings::default(),
            max_frames: 512,
            decoding: BeamSearchConfig::default(),
            shuffle_features: false,
            shuffle_mouthing: false,
            validate_every: 1,
            validation_split: "dev".to_owned(),
            checkpoint_every: 200,
            keep_checkpoints: 2,
            seed: 0,
        }
    }
}

impl Default for OptimiserSettings {
    fn default() -> Self {
        Self {
            epochs: 50,
            batch_size: 16,
            accumulation: 1,
            recompute: false,
            length_pool: 32,
            lr_visual: 5e-5,
            lr_language: 1e-4,
            adamw: AdamWConfig::default(),
            weight_decay: 0.01,
            clip_norm: 1.0,
            decay: Decay::Cosine,
            warmup_steps: 0,
            stop_above: 1000.0,
        }
    }
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            prompt: "Translate the given sentence into {language}.".to_owned(),
            language: None,
            max_target_tokens: 256,
            allow_unknown_words: false,
        }
    }
}

impl OptimiserSettings {
    /// Updates of an epoch over so many clips.
    pub fn steps_per_epoch(&self, clips: usize) -> u64 {
        clips.div_ceil(self.batch_size) as u64
    }

    /// Updates of a whole run.
    pub fn total_steps(&self, clips: usize) -> u64 {
        self.steps_per_epoch(clips) * self.epochs as u64
    }
}

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

    /// Start from `self`, lay the JSON file over it, then `key=value` settings (`optimiser.epochs=10`).
    pub fn with(self, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        const EVERY_FIELD: &str = "config.json of any run shows all fields";
        let parse = |json: &Value| Self::deserialize(json).map_err(|e| e.to_string());
        let mut json = json::value(&self)?;
        if let Some(path) = file {
            let text = regular_file::read_to_string(path, SETTINGS).map_err(Error::io(path))?;
            let over: Value = serde_json::from_str(&text).map_err(|e| {
                Error::input(path, format!("line {}", e.line()), e.to_string(), "correct the file")
            })?;
            if !over.is_object() {
                return Err(Error::input(
                    path,
                    "",
                    "not a JSON object",
                    "write {\"optimiser\": {\"epochs\": 10}}",
                ));
            }
            lay_over(&mut json, over);
            parse(&json).map_err(|e| Error::input(path, "", e, EVERY_FIELD))?;
        }
        for setting in settings {
            let wrong = |what: &str| {
                Error::usage(format!("--set {setting}: {what}"), "write --set optimiser.epochs=10")
            };
            let (key, value) = setting.split_once('=').ok_or_else(|| wrong("no '='"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            let pointer = format!("/{}", key.replace('.', "/"));
            *json.pointer_mut(&pointer).ok_or_else(|| wrong("no such field"))? = value;
            parse(&json).map_err(|e| Error::usage(format!("--set {setting}: {e}"), EVERY_FIELD))?;
        }
        let config = parse(&json).map_err(|e| Error::usage(e, EVERY_FIELD))?;
        config.check()?;
        Ok(config)
    }

    /// Refuse values that no run can have.
    fn check(&self) -> Result<()> {
        let o = &self.optimiser;
        let positive = [
            ("optimiser.epochs", o.epochs),
            ("optimiser.batch_size", o.batch_size),
            ("optimiser.accumulation", o.accumulation),
            ("optimiser.length_pool", o.length_pool),
            ("keep_checkpoints", self.keep_checkpoints),
            ("max_frames", self.max_frames),
            ("validate_every", self.validate_every),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::usage(format!("{name} is 0"), "give at least 1"));
        }
        let finite = [
            ("optimiser.lr_visual", o.lr_visual),
            ("optimiser.lr_language", o.lr_language),
            ("optimiser.weight_decay", o.weight_decay),
            ("optimiser.clip_norm", o.clip_norm),
            ("loss.alpha", self.loss.alpha),
            ("loss.beta", self.loss.beta),
            ("optimiser.stop_above", o.stop_above),
        ];
        if let Some((name, value)) = finite.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            return Err(Error::usage(format!("{name} is {value}"), "give a number that is not negative"));
        }
        if o.clip_norm == 0.0 {
            return Err(Error::usage(
                "optimiser.clip_norm is 0: every gradient would be",
                "give a number above 0",
            ));
        }
        if o.adamw.eps.is_nan() || o.adamw.eps <= 0.0 {
            return Err(Error::usage(
                format!("optimiser.adamw.eps is {}", o.adamw.eps),
                "give a number above 0",
            ));
        }
        let shares = [
            ("optimiser.adamw.beta1", Some(o.adamw.beta1)),
            ("optimiser.adamw.beta2", Some(o.adamw.beta2)),
            ("language_model.dropout", self.language_model.dropout),
        ];
        for (name, value) in shares {
            if let Some(value) = value.filter(|value| !(0.0..1.0).contains(value)) {
                return Err(Error::usage(format!("{name} is {value}"), "give a number from 0 to below 1"));
            }
        }
        if !["f32", "bf16", "auto"].contains(&self.language_model.dtype.as_str()) {
            let what = format!("language_model.dtype is {:?}", self.language_model.dtype);
            return Err(Error::usage(what, "give f32, bf16 or auto"));
        }
        check_split("validation_split", &self.validation_split)?;
        self.language_model.check()?;
        self.decoding.check()
    }
}

/// Replace the fields of `json` that `over` names.
fn lay_over(json: &mut Value, over: Value) {
    match (json, over) {
        (Value::Object(json), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(json.entry(key).or_insert(Value::Null), value);
            }
        }
        (json, over) => *json = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::streams::Streams;
    use crate::language::settings::VtTarget;

    #[test]
    fn settings_are_laid_over_the_papers() {
        let settings = ["optimiser.epochs=3".to_owned(), "head.streams=spatial".to_owned()];
        let config = TrainConfig::default().with(None, &settings).unwrap();
        assert_eq!(config.optimiser.epochs, 3);
        assert_eq!(config.head.streams, Streams::only("spatial"));
        let LossConfig { alpha, beta, symmetric, vt_target, .. } = config.loss;
        assert_eq!((alpha, beta, symmetric, vt_target), (1.0, 0.2, false, VtTarget::Embeddings));
    }

    #[test]
    fn mistakes_are_named() {
        for (setting, named) in [
            ("epochs=3", "no such field"),
            ("optimiser.epochs", "no '='"),
            ("optimiser.epochs=many", "invalid type"),
            ("optimiser.epochs=0", "optimiser.epochs is 0"),
            ("head.streams=a/b", "give names of streams"),
            ("loss.alpha=-1", "loss.alpha is -1"),
            ("optimiser.adamw.beta2=1", "optimiser.adamw.beta2 is 1"),
            ("optimiser.adamw.eps=0", "optimiser.adamw.eps is 0"),
            ("optimiser.clip_norm=0", "optimiser.clip_norm is 0"),
            ("language_model.dropout=1.5", "language_model.dropout is 1.5"),
            ("language_model.dtype=f16", "language_model.dtype is \"f16\""),
        ] {
            let error = TrainConfig::default().with(None, &[setting.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(named), "{setting}: {error}");
        }
    }
}
