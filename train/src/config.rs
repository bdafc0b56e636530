//! Every choice of a training run, with the paper's values as defaults.

use crate::data::batching::steps_per_epoch;
use crate::data::split::check_split;
use crate::data::windowed::Windowed;
use crate::head::config::{HeadConfig, LossConfig};
use crate::language::beam_search::BeamSearchConfig;
use crate::language::settings::LanguageSettings;
use crate::training::adamw::AdamWConfig;
use crate::training::schedule::{Decay, DecayBy, Schedule};
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};

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
    /// The streams that it is for: `all`, or `spatial` alone, with the other streams whole (SpaMo).
    pub max_frames_of: Windowed,
    /// Search for validation and evaluation.
    pub decoding: BeamSearchConfig,
    /// Control experiment: give every clip the same few rows of zeros, so that the language model is alone.
    pub no_features: bool,
    /// Control experiment: give every clip another clip's features, in all splits. What is scored then is scored
    /// without looking.
    pub shuffle_features: bool,
    /// Control experiment: give every clip its own gestures and another clip's mouthing, in all splits. What mouthing
    /// adds then is not what the lips say.
    pub shuffle_mouthing: bool,
    /// Validate after every so many epochs; the best BLEU-4 decides which weights are kept, of equal ones the best chrF.
    pub validate_every: usize,
    /// Stop after so many validations in a row that were not the best so far; null: train all epochs.
    pub patience: Option<usize>,
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
    /// Batches that the clips of a step are divided into, whose losses are averaged. By contrast to `accumulation`, batch
    /// statistics, contrasts and the mean over target tokens are of each of them alone, as in published code.
    pub micro_batches: usize,
    /// Leave out the last step of an epoch where it has fewer clips than the others.
    pub drop_last: bool,
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
    /// These have it too, as in published code.
    pub decay_vectors: bool,
    /// Global gradient norm is clipped to this; null: not at all.
    pub clip_norm: Option<f64>,
    pub decay: Decay,
    pub decay_by: DecayBy,
    /// Share of the learning rates that the cosine ends at.
    pub lr_floor: f64,
    pub warmup_steps: u64,
    /// Warm-up as a share of all steps, in place of `warmup_steps` (SpaMo: 0.1).
    pub warmup_share: f64,
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
    /// Put the prompt before the visual tokens instead of behind them.
    pub prompt_first: bool,
    /// Write visual tokens and prompt as the turn of a user, in the chat format of Llama 3 without a system message; for an
    /// instruct model.
    pub chat: bool,
    /// Overrides whether the data set's rules append a full stop to sentences without one.
    pub final_dot: Option<bool>,
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
            max_frames_of: Windowed::All,
            decoding: BeamSearchConfig::default(),
            no_features: false,
            shuffle_features: false,
            shuffle_mouthing: false,
            validate_every: 1,
            patience: None,
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
            micro_batches: 1,
            drop_last: false,
            recompute: false,
            length_pool: 32,
            lr_visual: 5e-5,
            lr_language: 1e-4,
            adamw: AdamWConfig::default(),
            weight_decay: 0.01,
            decay_vectors: false,
            clip_norm: Some(1.0),
            decay: Decay::Cosine,
            decay_by: DecayBy::Step,
            lr_floor: 0.0,
            warmup_steps: 0,
            warmup_share: 0.0,
            stop_above: 1000.0,
        }
    }
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            prompt: "Translate the given sentence into {language}.".to_owned(),
            language: None,
            prompt_first: false,
            chat: false,
            final_dot: None,
            max_target_tokens: 256,
            allow_unknown_words: false,
        }
    }
}

impl TextSettings {
    /// The prompt for sentences in `language`; `None` where it names the language and that is not known.
    pub fn prompt_in(&self, language: Option<&str>) -> Option<String> {
        match language {
            Some(language) => Some(self.prompt.replace("{language}", language)),
            None => (!self.prompt.contains("{language}")).then(|| self.prompt.clone()),
        }
    }
}

impl OptimiserSettings {
    /// Updates of an epoch over so many clips.
    pub fn steps_per_epoch(&self, clips: usize) -> u64 {
        steps_per_epoch(clips, self.batch_size, self.drop_last)
    }

    /// Updates of a whole run.
    pub fn total_steps(&self, clips: usize) -> u64 {
        self.steps_per_epoch(clips) * self.epochs as u64
    }

    /// The factors on the learning rates of a run over so many clips.
    pub fn schedule(&self, clips: usize) -> Schedule {
        let total_steps = self.total_steps(clips);
        let share = (self.warmup_share * total_steps as f64) as u64;
        Schedule {
            decay: self.decay,
            stride: match self.decay_by {
                DecayBy::Step => 1,
                DecayBy::Epoch => self.steps_per_epoch(clips).max(1),
            },
            floor: self.lr_floor,
            warmup_steps: if self.warmup_share > 0.0 { share } else { self.warmup_steps },
            total_steps,
        }
    }

    /// Clips that are contrasted with each other.
    pub fn contrasted(&self) -> usize {
        self.batch_size.div_ceil(self.micro_batches)
    }
}

impl TrainConfig {
    /// Refuses values that no run can have.
    pub(crate) fn check(&self) -> Result<()> {
        let o = &self.optimiser;
        let positive = [
            ("optimiser.epochs", o.epochs),
            ("optimiser.batch_size", o.batch_size),
            ("optimiser.accumulation", o.accumulation),
            ("optimiser.micro_batches", o.micro_batches),
            ("optimiser.length_pool", o.length_pool),
            ("keep_checkpoints", self.keep_checkpoints),
            ("max_frames", self.max_frames),
            ("validate_every", self.validate_every),
            ("patience", self.patience.unwrap_or(1)),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::usage(format!("{name} is 0"), "give at least 1"));
        }
        let finite = [
            ("optimiser.lr_visual", o.lr_visual),
            ("optimiser.lr_language", o.lr_language),
            ("optimiser.weight_decay", o.weight_decay),
            ("optimiser.clip_norm", o.clip_norm.unwrap_or(1.0)),
            ("loss.alpha", self.loss.alpha),
            ("loss.beta", self.loss.beta),
            ("optimiser.stop_above", o.stop_above),
        ];
        if let Some((name, value)) = finite.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            return Err(Error::usage(format!("{name} is {value}"), "give a number that is not negative"));
        }
        if o.clip_norm == Some(0.0) {
            return Err(Error::usage(
                "optimiser.clip_norm is 0: every gradient would be",
                "give a number above 0, or null for no clipping",
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
            ("optimiser.lr_floor", Some(o.lr_floor)),
            ("optimiser.warmup_share", Some(o.warmup_share)),
        ];
        for (name, value) in shares {
            if let Some(value) = value.filter(|value| !(0.0..1.0).contains(value)) {
                return Err(Error::usage(format!("{name} is {value}"), "give a number from 0 to below 1"));
            }
        }
        if o.warmup_share > 0.0 && o.warmup_steps > 0 {
            let what = "optimiser.warmup_share and optimiser.warmup_steps are both set";
            return Err(Error::usage(what, "set one of the two to 0"));
        }
        if self.loss.scale_bound.is_some_and(|bound| bound.is_nan() || bound <= 0.0) {
            let what = format!("loss.scale_bound is {}", self.loss.scale_bound.unwrap_or_default());
            return Err(Error::usage(what, "give a number above 0, or null for no bound"));
        }
        if self.loss.vt_alone_steps > 0 && self.loss.alpha == 0.0 {
            let what = "loss.vt_alone_steps trains on L_vt alone, and loss.alpha is 0";
            return Err(Error::usage(what, "set loss.vt_alone_steps=0, or another loss.alpha"));
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
