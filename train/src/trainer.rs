//! The training loop: epochs over the train split, validation on dev, the best weights kept.

use crate::adamw::{AdamW, ParameterGroup};
use crate::checkpoint::{self, ADAPTER, BEST, LAST, Progress};
use crate::config::TrainConfig;
use crate::corpus::{Corpus, Window};
use crate::model::{Losses, Named, SignClip};
use crate::schedule::Schedule;
use crate::text::Text;
use crate::translation;
use signclip_common::synthetic::Stream;
use signclip_common::{Error, Result, progress};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tch::Tensor;

/// A run in progress.
pub struct Trainer<'a> {
    pub config: &'a TrainConfig,
    pub model: &'a SignClip,
    pub train: &'a Corpus,
    pub dev: &'a Corpus,
    pub text: &'a Text,
    /// The run's folder.
    pub folder: &'a Path,
}

/// Means over an epoch, for the log.
#[derive(Default)]
struct Means {
    steps: usize,
    total: f64,
    trans: f64,
    vt: f64,
    sm: Option<f64>,
}

impl Trainer<'_> {
    /// Train until the last epoch, going on where an earlier process stopped. Returns where the run stands.
    pub fn run(&self) -> Result<Progress> {
        let options = &self.config.optimiser;
        let steps_per_epoch = self.train.len().div_ceil(options.batch_size) as u64;
        let schedule = Schedule {
            decay: options.decay,
            warmup_steps: options.warmup_steps,
            total_steps: steps_per_epoch * options.epochs as u64,
        };
        let mut adamw = self.optimiser();
        let mut state = self.resume(&mut adamw)?;
        let mut log = Log::open(self.folder)?;
        let left = (options.epochs - state.epoch.min(options.epochs)) as u64 * steps_per_epoch;
        let bar = progress::Progress::new("train", left, "steps");
        while state.epoch < options.epochs {
            let epoch = state.epoch;
            let begun = Instant::now();
            let mut means = Means::default();
            let mut frames = 0;
            for clips in self.train.order(self.config.seed, epoch).chunks(options.batch_size) {
                let batch = self.train.batch(
                    clips,
                    Window::Random { seed: self.config.seed, epoch },
                    self.model.device(),
                );
                // Dropout is a function of (seed, step), so that a resumed run draws the same masks.
                let random = Stream::new(&format!("dropout of step {}", state.step), self.config.seed);
                crate::dropout::seed((random.unit(0) * i64::MAX as f64) as i64);
                let losses = self.model.losses(&batch, self.config, true);
                let norm = self.update(&mut adamw, &losses, schedule.factor(state.step)).map_err(|what| {
                    let ids: Vec<&str> =
                        clips.iter().map(|&c| self.train.store.clips[c].id.as_str()).collect();
                    Error::usage(
                        format!(
                            "step {} (epoch {}): {what}; clips of the batch: {}",
                            state.step,
                            epoch + 1,
                            ids.join(", ")
                        ),
                        "lower the learning rates, or use --set language_model.dtype=f32",
                    )
                })?;
                means.add(&losses);
                frames += batch.frames;
                log.step(&state, &losses, norm, schedule.factor(state.step))?;
                state.step += 1;
                bar.advance(1, || format!("epoch {}, {}", epoch + 1, means.text()));
            }
            state.epoch += 1;
            let seconds = begun.elapsed().as_secs_f64();
            let mut line = format!(
                "epoch {}/{}: {}, {:.0} frames/s",
                state.epoch,
                options.epochs,
                means.text(),
                frames as f64 / seconds
            );
            let last = state.epoch == options.epochs;
            if last || state.epoch.is_multiple_of(self.config.validate_every) {
                let predictions = translation::translate(
                    self.model,
                    self.dev,
                    self.text,
                    &self.config.decoding,
                    options.batch_size,
                )?;
                let scores = translation::score(&predictions);
                let bleu4 = scores.bleu.bleu[3];
                line += &format!(", dev BLEU-4 {bleu4:.2}");
                log.dev(&state, &scores)?;
                if state.best_bleu4.is_none_or(|best| bleu4 > best) {
                    state.best_bleu4 = Some(bleu4);
                    state.best_epoch = state.epoch;
                    checkpoint::save(&self.folder.join(BEST), &self.tensors(), &state)?;
                    self.model.save_adapter(&self.folder.join(ADAPTER))?;
                    line += ", best so far";
                }
            }
            self.save(&adamw, &state)?;
            tracing::info!("{line}");
        }
        bar.finish();
        Ok(state)
    }

    /// One update. `Err` says what is not finite.
    fn update(&self, adamw: &mut AdamW, losses: &Losses, factor: f64) -> Result<f64, String> {
        let total = losses.total.double_value(&[]);
        if !total.is_finite() {
            return Err(format!("the loss is {total}"));
        }
        adamw.zero_grad();
        losses.total.backward();
        let norm = adamw.clip_grad_norm(self.config.optimiser.clip_norm);
        if !norm.is_finite() {
            return Err(format!("the gradient norm is {norm}"));
        }
        adamw.step(factor);
        self.model.clamp_temperatures();
        Ok(norm)
    }

    /// Two learning rates; matrices decay, vectors (biases, norms) and temperatures do not.
    fn optimiser(&self) -> AdamW {
        let options = &self.config.optimiser;
        let groups = |named: &Named, lr: f64| {
            let (matrices, vectors): (Named, Named) = named
                .iter()
                .map(|(n, t)| (n.clone(), t.shallow_clone()))
                .partition(|(_, t): &(String, Tensor)| t.dim() >= 2);
            [
                ParameterGroup { parameters: matrices, lr, weight_decay: options.weight_decay },
                ParameterGroup { parameters: vectors, lr, weight_decay: 0.0 },
            ]
        };
        let visual = groups(&self.model.visual, options.lr_visual);
        let language = groups(&self.model.language, options.lr_language);
        AdamW::new(visual.into_iter().chain(language).collect(), options.adamw)
    }

    /// Everything of the model that training changes.
    fn tensors(&self) -> Named {
        model_tensors(self.model)
    }

    fn save(&self, adamw: &AdamW, state: &Progress) -> Result<()> {
        let mut tensors = self.tensors();
        tensors.extend(adamw.state().into_iter().map(|(name, t)| (format!("{OPTIMISER}{name}"), t)));
        checkpoint::save(&self.folder.join(LAST), &tensors, state)
    }

    fn resume(&self, adamw: &mut AdamW) -> Result<Progress> {
        let file: PathBuf = self.folder.join(LAST);
        if !file.exists() {
            return Ok(Progress::default());
        }
        let (tensors, state) = checkpoint::load(&file)?;
        checkpoint::restore(&file, &self.tensors(), &tensors)?;
        let optimiser =
            tensors.into_iter().filter_map(|(n, t)| Some((n.strip_prefix(OPTIMISER)?.to_owned(), t)));
        adamw.load_state(&optimiser.collect())?;
        tracing::info!("going on after epoch {} of {}", state.epoch, self.config.optimiser.epochs);
        Ok(state)
    }
}

/// Prefix of the optimiser's tensors in a checkpoint.
const OPTIMISER: &str = "optimiser.";

/// Trainable tensors and running statistics under the names of a checkpoint.
pub fn model_tensors(model: &SignClip) -> Named {
    let named = |prefix: &str, list: &Named| -> Named {
        list.iter().map(|(name, t)| (format!("{prefix}{name}"), t.shallow_clone())).collect()
    };
    [named("head.", &model.visual), named("head.", &model.buffers), named("language.", &model.language)]
        .into_iter()
        .flatten()
        .collect()
}

impl Means {
    fn add(&mut self, losses: &Losses) {
        self.steps += 1;
        self.total += losses.total.double_value(&[]);
        self.trans += losses.trans.double_value(&[]);
        self.vt += losses.vt.double_value(&[]);
        if let Some(sm) = &losses.sm {
            *self.sm.get_or_insert(0.0) += sm.double_value(&[]);
        }
    }

    fn text(&self) -> String {
        let n = self.steps.max(1) as f64;
        let sm = self.sm.map_or(String::new(), |sm| format!(", sm {:.3}", sm / n));
        format!("loss {:.3} (trans {:.3}, vt {:.3}{sm})", self.total / n, self.trans / n, self.vt / n)
    }
}

/// `log.jsonl`: one line a step, one a validation.
struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("log.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        Ok(Self { file, path })
    }

    fn step(&mut self, state: &Progress, losses: &Losses, norm: f64, factor: f64) -> Result<()> {
        self.line(&serde_json::json!({
            "step": state.step,
            "epoch": state.epoch + 1,
            "loss": losses.total.double_value(&[]),
            "trans": losses.trans.double_value(&[]),
            "vt": losses.vt.double_value(&[]),
            "sm": losses.sm.as_ref().map(|t| t.double_value(&[])),
            "gradient_norm": norm,
            "lr_factor": factor,
        }))
    }

    fn dev(&mut self, state: &Progress, scores: &crate::metrics::Scores) -> Result<()> {
        self.line(&serde_json::json!({ "step": state.step, "epoch": state.epoch, "dev": scores }))
    }

    fn line(&mut self, value: &serde_json::Value) -> Result<()> {
        writeln!(self.file, "{value}").map_err(Error::io(&self.path))
    }
}
