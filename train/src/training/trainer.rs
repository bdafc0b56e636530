//! The training loop: epochs over the train split, validation, checkpoints, the best weights kept.

use crate::card;
use crate::data::corpus::Corpus;
use crate::data::loader::{Loader, Plan, Step};
use crate::language::text::Text;
use crate::metrics::units::Units;
use crate::training::adamw::{AdamW, ParameterGroup};
use crate::training::best::{Decider, decider};
use crate::training::checkpoint::{self, ADAPTER, BEST, Progress};
use crate::training::failure;
use crate::training::gradients::sum_gradients;
use crate::training::model::{Losses, Named, SignClip};
use crate::training::run::RunInfo;
use crate::training::step_log::{StepLog, Timing, Update};
use crate::training::tensorboard::EventFile;
use crate::training::translation;
use signclip_common::collective::Collective;
use signclip_common::{Error, Result, json, memory, progress};
use std::path::Path;
use std::time::Instant;
use tch::Tensor;

/// A run in progress on one device.
pub struct Trainer<'a> {
    pub info: &'a RunInfo,
    pub model: &'a SignClip,
    pub train: &'a Corpus,
    pub dev: &'a Corpus,
    pub text: &'a Text,
    /// The run's folder.
    pub folder: &'a Path,
    /// The other devices.
    pub collective: &'a Collective,
}

/// What the first device shows and writes.
struct Record {
    log: StepLog,
    events: EventFile,
    bar: progress::Progress,
}

/// Means over the steps of an epoch that this process did.
#[derive(Default)]
struct Means {
    steps: usize,
    sums: [f64; 4],
    frames: f64,
    seconds: f64,
    busy: f64,
}

impl Trainer<'_> {
    /// Trains until the last epoch, resuming where an earlier process stopped. Returns where the run stands.
    pub fn run(&self) -> Result<Progress> {
        let settings = &self.info.settings;
        let options = &settings.optimiser;
        let steps_per_epoch = options.steps_per_epoch(self.train.len());
        if steps_per_epoch == 0 {
            let what = format!(
                "optimiser.drop_last leaves nothing of {} clips in batches of {}",
                self.train.len(),
                options.batch_size
            );
            return Err(Error::usage(
                what,
                "set a smaller optimiser.batch_size, or optimiser.drop_last=false",
            ));
        }
        let schedule = options.schedule(self.train.len());
        let mut adamw = self.optimiser();
        let mut state = self.resume(&mut adamw)?;
        memory::keep();
        let contrasts = settings.loss.alpha > 0.0 || settings.loss.beta > 0.0;
        if contrasts && options.contrasted().min(self.train.len()) == 1 && self.collective.leads() {
            tracing::warn!("a single clip has nothing to be contrasted with: L_vt and L_sm are 0");
        }
        let split = &settings.validation_split;
        if self.decider() == Decider::Chrf && self.collective.leads() {
            tracing::warn!(
                "no sentence of {split} has four words, so BLEU-4 says nothing: chrF chooses the best weights"
            );
        }
        let mut record = match self.collective.leads() {
            true => Some(Record {
                log: StepLog::open(self.folder, state.step)?,
                events: EventFile::create(self.folder, state.step)?,
                bar: progress::Progress::new("train", schedule.total_steps - state.step, "steps"),
            }),
            false => None,
        };
        let plan = Plan {
            first: state.step,
            end: if state.out_of_patience(settings) { state.step } else { schedule.total_steps },
            batch_size: options.batch_size,
            micro_batches: options.micro_batches,
            drop_last: options.drop_last,
            pool: options.length_pool,
            seed: settings.seed,
            rank: self.collective.rank(),
            size: self.collective.size(),
            device: self.model.device(),
        };
        let mut means = Means::default();
        std::thread::scope(|scope| {
            let mut loader = Loader::start(scope, self.train, plan);
            loop {
                let begun = Instant::now();
                let Some(step) = loader.next() else { return Ok::<_, Error>(()) };
                let step = step?;
                let lr_factor = schedule.factor(step.number);
                let computing = Instant::now();
                let (losses, gradient_norm) = self.update(&mut adamw, &step, lr_factor, &state)?;
                let computed = computing.elapsed().as_secs_f64();
                let seconds = begun.elapsed().as_secs_f64();
                let timing = Timing {
                    seconds,
                    frames_per_second: step.frames() as f64 / seconds,
                    busy: computed / seconds,
                    waited: loader.waited().as_secs_f64() / seconds,
                };
                let epoch = step.epoch + 1;
                let update = Update { step: step.number, epoch, losses, gradient_norm, lr_factor, timing };
                means.add(&update, step.frames());
                if let Some(record) = &mut record {
                    record.update(&update, &means, options)?;
                }
                state.step += 1;
                if state.step.is_multiple_of(steps_per_epoch) {
                    self.finish_epoch(&mut state, &adamw, &mut record, &std::mem::take(&mut means))?;
                    if state.out_of_patience(settings) && state.step < schedule.total_steps {
                        if self.collective.leads() {
                            tracing::info!(
                                "stopped: nothing better than epoch {} in {} validations (patience)",
                                state.choice.best_epoch,
                                settings.patience.unwrap_or_default()
                            );
                        }
                        return Ok(());
                    }
                } else if settings.checkpoint_every > 0
                    && state.step.is_multiple_of(settings.checkpoint_every)
                {
                    self.save(&adamw, &state, record.as_ref())?;
                }
            }
        })?;
        if let Some(record) = &record {
            record.bar.finish();
        }
        Ok(state)
    }

    /// One update of all devices together: what the losses were, and the norm of the gradient.
    fn update(
        &self,
        adamw: &mut AdamW,
        step: &Step,
        lr_factor: f64,
        state: &Progress,
    ) -> Result<(Losses, f64)> {
        let settings = &self.info.settings;
        let statistics: Vec<Tensor> = self.model.buffers.iter().map(|(_, t)| t.copy()).collect();
        adamw.zero_grad();
        let losses = self.model.backward(step, settings, self.collective)?;
        let stop_above = settings.optimiser.stop_above;
        let mut wrong = None;
        let mut norm = 0.0;
        if !losses.total.is_finite() {
            wrong = Some(format!("the loss is {}", losses.total));
        } else if losses.total > stop_above {
            wrong = Some(format!("the loss is {:.1}, above optimiser.stop_above={stop_above}", losses.total));
        } else {
            // The visual head's are those of the whole batch on every device.
            sum_gradients(self.collective, &self.model.language)?;
            norm = adamw.clip_grad_norm(settings.optimiser.clip_norm.unwrap_or(f64::INFINITY));
            if !norm.is_finite() {
                wrong = Some(format!("the gradient norm is {norm}"));
            }
        }
        let Some(wrong) = wrong else {
            adamw.step(lr_factor);
            self.model.clamp_temperatures();
            return Ok((losses, norm));
        };
        for ((_, buffer), before) in self.model.buffers.iter().zip(&statistics) {
            buffer.shallow_clone().copy_(before);
        }
        if let Some(error) = failure::damaged_weights(self.folder, self.info)? {
            return Err(error);
        }
        let kept =
            failure::save(self.folder, self.info, step, &self.everything(adamw), state, self.collective)?;
        let ids: Vec<&str> = step.clips().map(|clip| self.train.store.clips[clip].id.as_str()).collect();
        Err(Error::usage(
            format!(
                "step {} (epoch {}): {wrong}; clips of the batch: {}; kept in {}",
                step.number,
                step.epoch + 1,
                ids.join(", "),
                kept.display()
            ),
            "lower the learning rates, or use --set language_model.dtype=f32",
        ))
    }

    /// Validate where it is time for it, write a checkpoint, and say how the epoch went.
    fn finish_epoch(
        &self,
        state: &mut Progress,
        adamw: &AdamW,
        record: &mut Option<Record>,
        means: &Means,
    ) -> Result<()> {
        let settings = &self.info.settings;
        state.epoch += 1;
        let mut line = format!("epoch {}/{}: {}", state.epoch, settings.optimiser.epochs, means.text());
        let last = state.epoch == settings.optimiser.epochs;
        if last || state.epoch.is_multiple_of(settings.validate_every) {
            let predictions = translation::translate(
                self.model,
                self.dev,
                self.text,
                &settings.decoding,
                card::searched(self.model.device(), settings.optimiser.batch_size),
                self.collective,
            )?;
            let scores = translation::score(&predictions, self.units());
            let (bleu4, chrf) = (scores.bleu.bleu[3], scores.chrf.score);
            let split = &settings.validation_split;
            line += &format!(", {split} BLEU-4 {bleu4:.2}, chrF {chrf:.2}");
            let best = state.choice.validated(state.epoch, self.decider(), bleu4, chrf);
            let json = json::value(&scores)?;
            if let Some(record) = record {
                record.log.validation(state, split, &json)?;
                let [bleu4_tag, chrf_tag] = ["bleu4", "chrf"].map(|score| format!("{split}/{score}"));
                record.events.scalars(state.step, &[(&bleu4_tag, bleu4), (&chrf_tag, chrf)])?;
            }
            if best {
                line += ", best so far";
                if let Some(decider) = state.choice.decided_by {
                    line += &format!(" by {}", decider.name());
                }
                if self.collective.leads() {
                    let best = self.folder.join(BEST);
                    checkpoint::save(&best, &self.model.tensors(), state, settings)?;
                    self.model.save_adapter(&self.folder.join(ADAPTER))?;
                }
            }
        }
        self.save(adamw, state, record.as_ref())?;
        if self.collective.leads() {
            tracing::info!("{line}");
            let last = last || state.out_of_patience(settings);
            if let Some(warning) = state.choice.warning(&settings.validation_split).filter(|_| last) {
                tracing::warn!("{warning}");
            }
        }
        Ok(())
    }

    fn units(&self) -> Units {
        Units::of(self.dev.store.info.language.as_deref())
    }

    /// What the best weights are chosen by.
    fn decider(&self) -> Decider {
        decider(self.dev.texts.iter().map(String::as_str), self.units())
    }

    /// Two learning rates; matrices decay, vectors (biases, norms) and temperatures do not, unless that is set.
    fn optimiser(&self) -> AdamW {
        let options = &self.info.settings.optimiser;
        let of_vectors = if options.decay_vectors { options.weight_decay } else { 0.0 };
        let groups = |named: &Named, lr: f64| {
            let (matrices, vectors): (Named, Named) = named
                .iter()
                .map(|(n, t)| (n.clone(), t.shallow_clone()))
                .partition(|(_, t): &(String, Tensor)| t.dim() >= 2);
            [
                ParameterGroup { parameters: matrices, lr, weight_decay: options.weight_decay },
                ParameterGroup { parameters: vectors, lr, weight_decay: of_vectors },
            ]
        };
        let visual = groups(&self.model.visual, options.lr_visual);
        let language = groups(&self.model.language, options.lr_language);
        AdamW::new(visual.into_iter().chain(language).collect(), options.adamw)
    }

    /// Everything that training changes.
    fn everything(&self, adamw: &AdamW) -> Named {
        let mut tensors = self.model.tensors();
        tensors.extend(adamw.state().into_iter().map(|(name, t)| (format!("{OPTIMISER}{name}"), t)));
        tensors
    }

    /// Writes a checkpoint to resume from and removes older ones. The first device does it for all.
    fn save(&self, adamw: &AdamW, state: &Progress, record: Option<&Record>) -> Result<()> {
        let Some(record) = record else { return Ok(()) };
        record.log.sync()?;
        let file = checkpoint::after(self.folder, state.step);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        checkpoint::save(&file, &self.everything(adamw), state, &self.info.settings)?;
        checkpoint::keep_newest(self.folder, self.info.settings.keep_checkpoints)
    }

    /// Continues after the newest checkpoint, on any number of devices. Errors: it is of another configuration; the best
    /// weights so far are gone; not all devices see the same checkpoint.
    fn resume(&self, adamw: &mut AdamW) -> Result<Progress> {
        let mut state = Progress::default();
        let mut checkpoints = checkpoint::all(self.folder)?;
        if let Some(file) = checkpoints.pop() {
            let (tensors, found) = checkpoint::load(&file).map_err(|e| match (e, checkpoints.last()) {
                (Error::Input { file, place, what, .. }, Some(before)) => {
                    let remedy = format!("delete it to resume from {}", before.display());
                    Error::Input { file, place, what, remedy }
                }
                (e, _) => e,
            })?;
            checkpoint::restore(&file, &self.model.tensors(), &tensors, &self.info.settings)?;
            let optimiser =
                tensors.into_iter().filter_map(|(n, t)| Some((n.strip_prefix(OPTIMISER)?.to_owned(), t)));
            adamw.load_state(&optimiser.collect())?;
            state = found;
            let best = self.folder.join(BEST);
            if state.choice.best_bleu4.is_some() && !best.is_file() {
                let what =
                    format!("gone; it had the best weights so far, of epoch {}", state.choice.best_epoch);
                return Err(Error::input(
                    best,
                    "",
                    what,
                    "put it back, or start a new run in another folder",
                ));
            }
        }
        let steps = self.collective.gather(state.step.to_le_bytes().to_vec())?;
        if steps.iter().any(|other| *other != steps[0]) {
            return Err(Error::input(
                self.folder,
                checkpoint::FOLDER,
                "not all devices find the same newest checkpoint",
                "the run's folder must be on a file system that all machines share",
            ));
        }
        if state.step > 0 && self.collective.leads() {
            let epochs = self.info.settings.optimiser.epochs;
            tracing::info!("resuming after epoch {} of {epochs}, step {}", state.epoch, state.step);
        }
        Ok(state)
    }
}

impl Record {
    fn update(
        &mut self,
        update: &Update,
        means: &Means,
        options: &crate::config::OptimiserSettings,
    ) -> Result<()> {
        self.log.update(update)?;
        let Update { losses, timing, lr_factor, .. } = update;
        let mut scalars = vec![
            ("loss/total", losses.total),
            ("optimiser/gradient_norm", update.gradient_norm),
            ("optimiser/lr_visual", options.lr_visual * lr_factor),
            ("optimiser/lr_language", options.lr_language * lr_factor),
            ("speed/frames_per_second", timing.frames_per_second),
            ("speed/busy", timing.busy),
        ];
        scalars.extend(losses.trans.map(|trans| ("loss/trans", trans)));
        scalars.extend(losses.vt.map(|vt| ("loss/vt", vt)));
        scalars.extend(losses.sm.map(|sm| ("loss/sm", sm)));
        // After the update, as the scores of a validation are.
        self.events.scalars(update.step + 1, &scalars)?;
        self.bar.advance(1, || format!("epoch {}, {}", update.epoch, means.text()));
        Ok(())
    }
}

/// Prefix of the optimiser's tensors in a checkpoint.
const OPTIMISER: &str = "optimiser.";

impl Means {
    fn add(&mut self, update: &Update, frames: usize) {
        let Update { losses, timing, .. } = update;
        let parts = [Some(losses.total), losses.trans, losses.vt, losses.sm].map(Option::unwrap_or_default);
        self.sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        self.steps += 1;
        self.frames += frames as f64;
        self.seconds += timing.seconds;
        self.busy += timing.busy * timing.seconds;
    }

    fn text(&self) -> String {
        let [total, trans, vt, sm] = self.sums.map(|sum| sum / self.steps.max(1) as f64);
        let parts = [("vt", vt), ("sm", sm)].map(|(name, part)| match part {
            0.0 => String::new(),
            part => format!(", {name} {part:.3}"),
        });
        format!(
            "loss {total:.3} (trans {trans:.3}{}), {:.0} frames/s, {:.1} % busy",
            parts.concat(),
            self.frames / self.seconds.max(1e-9),
            100.0 * self.busy / self.seconds.max(1e-9)
        )
    }
}
