//! SignClip put together: the trainable visual head in front of the language model.
//!
//! Shapes: b clips, s encoder positions, l target tokens, d width of the language model.

use crate::config::{OptimiserSettings, TrainConfig};
use crate::data::batch::Batch;
use crate::data::corpus::Corpus;
use crate::data::loader::{Step, StepBatch};
use crate::head::config::{LossConfig, Widths};
use crate::head::sign_head::{HeadOutput, SignHead};
use crate::head::temporal::Steps;
use crate::language::LanguageModel;
use crate::language::adapter;
use crate::language::beam_search::{BeamSearchConfig, Hypothesis};
use crate::language::cut::{leaf, summed_gradient};
use crate::language::dropout;
use crate::language::family::LanguageConfig;
use crate::language::inputs::{IGNORE, Prefix};
use crate::language::lora::LoraConfig;
use crate::language::prompt::Prompt;
use crate::language::settings::TuningKind;
use crate::language::targets::AdapterNames;
use crate::language::text::Text;
use crate::language::tuning::Tuning;
use signclip_common::collective::{Collective, share};
use signclip_common::synthetic::Random;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What a checkpoint keeps of the model: named trainable tensors and running statistics.
pub type Named = Vec<(String, Tensor)>;

/// The model on one device.
pub struct SignClip {
    head: SignHead,
    language_model: LanguageModel,
    adapter_names: &'static AdapterNames,
    /// How the language model is adapted, and the folder that it is in.
    lora: Option<(LoraConfig, Option<PathBuf>)>,
    /// Ids before the visual tokens, and behind them.
    prompt: [Tensor; 2],
    device: Device,
    /// Trainable tensors of the visual head and of the language model.
    pub visual: Named,
    pub language: Named,
    /// Running statistics.
    pub buffers: Named,
}

/// The parts of the loss of one step, of all clips on all devices (paper, "Training details").
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    pub total: f64,
    /// Absent in steps of L_vt alone.
    pub trans: Option<f64>,
    /// Absent where its weight is 0.
    pub vt: Option<f64>,
    /// Absent where its weight is 0, and where one stream is used alone.
    pub sm: Option<f64>,
}

/// L_trans, L_vt and L_sm of a batch on the device, as far as there are any: float64 `[1]` each.
type Parts = [Option<Tensor>; 3];

/// The language model before it is built: its configuration and where its weights are.
pub struct LanguageBase<'p> {
    pub config: LanguageConfig,
    /// Absent: trained from nothing.
    pub folder: Option<&'p Path>,
    pub kind: Kind,
}

impl Losses {
    /// Add a share of `other`.
    fn add(&mut self, other: &Self, share: f64) {
        let parts = [(&mut self.trans, other.trans), (&mut self.vt, other.vt), (&mut self.sm, other.sm)];
        for (sum, part) in parts {
            *sum = part.map(|part| sum.unwrap_or(0.0) + part * share);
        }
        self.total += other.total * share;
    }
}

impl SignClip {
    /// Builds for the stream widths of `corpus` and the texts of `text`.
    pub fn new(
        config: &TrainConfig,
        base: &LanguageBase,
        corpus: &Corpus,
        text: &Text,
        prompt: &str,
        device: Device,
    ) -> Result<Self> {
        base.config.check_tokenizer(text, base.folder.is_some())?;
        let prompt = Prompt::new(&base.config, text, prompt, config.text.prompt_first, config.text.chat)?;
        Self::build(config, base, corpus.widths(), &prompt, device)
    }

    /// Builds for streams of these widths, with the prompt around them. Everything fresh is a pure
    /// function of the seed.
    pub fn build(
        config: &TrainConfig,
        base: &LanguageBase,
        streams: BTreeMap<String, i64>,
        prompt: &Prompt,
        device: Device,
    ) -> Result<Self> {
        let lm = &config.language_model;
        let mut language_config = base.config.clone();
        if let Some(rate) = lm.dropout {
            language_config.set_dropout(rate);
        }
        let fresh = |kind| Weights::fresh(config.seed, device, kind);
        let weights = match base.folder {
            Some(folder) => Weights::open(folder, device, base.kind)?,
            None => fresh(base.kind),
        };
        let (lora, adapter) = match &lm.adapter {
            Some(folder) => adapter::open(folder, device)?,
            None => (lm.lora.clone(), fresh(Kind::Float)),
        };
        let tuning = match lm.tuning {
            TuningKind::Lora => Tuning::Lora(&lora, &adapter),
            TuningKind::Full => Tuning::Full,
            TuningKind::Frozen => Tuning::Frozen,
        };
        let language_model = LanguageModel::load(&weights, &language_config, tuning)?;
        let widths = Widths { streams, language: language_model.width() };
        config.head.validate(&widths)?;
        let visual = fresh(Kind::Float);
        // The head computes in the type of the language model; its masters, norms and losses are float32.
        let head = visual.build(&[], |part| {
            SignHead::new(&part.in_kind(base.kind), &config.head, &widths, &config.loss)
        })?;
        let language = [weights.parameters(), adapter.parameters()].into_iter().flatten().collect();
        Ok(Self {
            head,
            language_model,
            adapter_names: language_config.adapter_names(),
            prompt: [&prompt.before, &prompt.behind].map(|ids| Tensor::from_slice(ids).to_device(device)),
            lora: (lm.tuning == TuningKind::Lora).then_some((lora, base.folder.map(Path::to_path_buf))),
            device,
            visual: visual.parameters(),
            language,
            buffers: visual.buffers(),
        })
    }

    /// Whiten the streams by the rows of `training`, where the settings say so. For a run that begins; later the statistics
    /// are in its checkpoints.
    pub fn whiten(&self, training: &Corpus) {
        if self.head.is_whitened() {
            self.head.whiten(&training.statistics());
        }
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// Trainable tensors and running statistics under the names of a checkpoint.
    pub fn tensors(&self) -> Named {
        let lists = [("head", &self.visual), ("head", &self.buffers), ("language", &self.language)];
        let named = |(prefix, list): (&str, &Named)| -> Named {
            list.iter().map(|(name, t)| (format!("{prefix}.{name}"), t.shallow_clone())).collect()
        };
        lists.into_iter().flat_map(named).collect()
    }

    /// Forward and backward pass of one step: adds the gradients of L_total = L_trans + α L_vt + β L_sm, or of its mean
    /// over the batches of the step, to those of the parameters.
    pub fn backward(&self, step: &Step, config: &TrainConfig, collective: &Collective) -> Result<Losses> {
        let of_batches: Vec<Parts> = (0..step.batches.len())
            .map(|number| self.backward_batch(step, number, config, collective))
            .collect::<Result<_>>()?;
        // Fetched once: a GPU would stop for each of them.
        let present: Vec<Tensor> = of_batches.iter().flatten().flatten().map(Tensor::shallow_clone).collect();
        let mut fetched = match present.is_empty() {
            true => Vec::new(),
            false => Vec::<f64>::try_from(Tensor::cat(&present, 0))?,
        }
        .into_iter();
        let share = 1.0 / step.batches.len() as f64;
        let mut losses = Losses::default();
        for parts in of_batches {
            let [trans, vt, sm] = parts.map(|part| part.and_then(|_| fetched.next()));
            let loss = &config.loss;
            let total = trans.unwrap_or(0.0) + vt.unwrap_or(0.0) * loss.alpha + sm.unwrap_or(0.0) * loss.beta;
            losses.add(&Losses { total, trans, vt, sm }, share);
        }
        Ok(losses)
    }

    /// [`Self::backward`] of one of the batches, with its share of the loss.
    ///
    /// Every device computes the visual head and the contrastive losses of the whole batch, and takes its own share of
    /// the clips through the language model, in parts where memory is short. The graph is cut at the visual tokens:
    /// their gradients are summed over the devices, and each goes back through the head with the sums. So the head's
    /// gradients are those of the whole batch on every device; the language model's are [still to be
    /// summed](crate::training::gradients::sum_gradients).
    fn backward_batch(
        &self,
        step: &Step,
        number: usize,
        config: &TrainConfig,
        collective: &Collective,
    ) -> Result<Parts> {
        let (part, loss) = (&step.batches[number], &config.loss);
        let share = 1.0 / step.batches.len() as f64;
        let vt_alone = step.number < loss.vt_alone_steps;
        let head = self.see(&part.batch, true)?;
        let z_t = match self.head.has_loss_vt() {
            true => Some(self.sentence_embeddings(part, loss, collective)?),
            false => None,
        };
        let mut terms = Vec::new();
        let mut trans = None;
        if !vt_alone {
            let tokens = leaf(&head.sequence);
            let prefix = self.prefix(&tokens, &head.sequence_lengths);
            let of_devices = self.translation(&prefix, step, number, config, collective.rank());
            collective.sum(&of_devices)?;
            trans = Some(of_devices.shallow_clone());
            let gradient = summed_gradient(&tokens, collective)?;
            terms.push((&head.sequence * gradient).sum(head.sequence.kind()));
        }

        let same = (!loss.same_sentence_negatives).then_some(&part.same);
        let vt = z_t.and_then(|z_t| self.head.loss_vt(&head.z_v, &z_t, same, loss.symmetric));
        let pair = head.z_s.as_ref().zip(head.z_m.as_ref()).filter(|_| !vt_alone);
        let mut sm = pair.and_then(|(z_s, z_m)| self.head.loss_sm(z_s, z_m, same, loss.symmetric));
        if let (Some(sm), Some(frames)) = (&mut sm, self.head.loss_frames(&head)) {
            *sm += frames;
        }
        for (part, weight) in [(&vt, loss.alpha), (&sm, loss.beta)] {
            terms.extend(part.as_ref().map(|part| part * (weight * share)));
        }
        if let Some(objective) = terms.into_iter().reduce(|sum, term| sum + term) {
            objective.backward();
        }
        let fetchable = |part: Tensor| part.detach().to_kind(Kind::Double).view([1]);
        Ok([trans, vt.map(fetchable), sm.map(fetchable)])
    }

    /// Forward and backward pass through the language model from the visual tokens, part by part: this device's share
    /// of L_trans of the batch (float64, `[1]`), the batch's share of its gradients added to those of the parameters and of
    /// the tokens.
    fn translation(
        &self,
        prefix: &Prefix,
        step: &Step,
        number: usize,
        config: &TrainConfig,
        rank: usize,
    ) -> Tensor {
        let OptimiserSettings { accumulation, recompute, .. } = config.optimiser;
        let batches = step.batches.len();
        let StepBatch { batch, own, tokens, .. } = &step.batches[number];
        let mut trans = Tensor::zeros([1], (Kind::Double, self.device));
        let parts = accumulation.min(own.len());
        for part in 0..parts {
            // Dropout is a function of this, so that a resumed run draws the same masks.
            let drawn = number * accumulation + part;
            let draw = format!("dropout of step {}, device {rank}, part {drawn}", step.number);
            dropout::seed((Random::new(&draw, config.seed).unit(0) * i64::MAX as f64) as i64);
            let range = share(own.len(), part, parts);
            let clips = own.start + range.start..own.start + range.end;
            let labels_bl = batch.labels.narrow(0, clips.start as i64, clips.len() as i64);
            let divisor = (tokens * batches) as f64;
            trans += self.language_model.backward(&prefix.of(clips), &labels_bl, divisor, recompute);
        }
        trans * batches as f64
    }

    /// Writes the adapter of the language model as a folder for PEFT, if there is one.
    pub fn save_adapter(&self, folder: &Path) -> Result<()> {
        match &self.lora {
            Some((config, base)) => {
                adapter::save(folder, config, self.adapter_names, base.as_deref(), &self.language)
            }
            None => Ok(()),
        }
    }

    /// Bring the temperatures back into their range after an update.
    pub fn clamp_temperatures(&self) {
        self.head.clamp_temperatures();
    }

    /// Best translations of each clip of a batch, best first.
    pub fn translate(&self, batch: &Batch, search: &BeamSearchConfig) -> Result<Vec<Vec<Hypothesis>>> {
        let _frozen = tch::no_grad_guard();
        let head = self.see(batch, false)?;
        let prefix = self.prefix(&head.sequence, &head.sequence_lengths);
        let found = self.language_model.translate(&prefix, search)?;
        match found.iter().flatten().any(|hypothesis| hypothesis.score.is_nan()) {
            true => Err(Error::usage(
                "translation scores are NaN: the features or the run's weights contain NaN",
                "check the features with extract --verify, and train again",
            )),
            false => Ok(found),
        }
    }

    /// The best that the language model says without any visual token; none where its prompt is empty, too.
    pub fn translate_nothing(&self, search: &BeamSearchConfig) -> Result<Option<Hypothesis>> {
        if self.prompt.iter().all(|ids| ids.numel() == 0) {
            return Ok(None);
        }
        let _frozen = tch::no_grad_guard();
        let tokens_btd = Tensor::zeros([1, 1, self.language_model.width()], (Kind::Float, self.device));
        let prefix = self.prefix(&tokens_btd, &Tensor::zeros([1], (Kind::Int64, Device::Cpu)));
        Ok(self.language_model.translate(&prefix, search)?.into_iter().flatten().next())
    }

    /// What the head makes of a batch: gate, fused features, visual tokens.
    pub fn see(&self, batch: &Batch, train: bool) -> Result<HeadOutput> {
        self.head.forward(&batch.streams, train)
    }

    /// The fused features of the moments that some target tokens rest on, `[b, d]` float32: for each clip the mean of
    /// Z_fused over time, weighted by |gradient · Z_fused| of the summed log probability of the tokens that
    /// `chosen_bl` (bool) marks among the labels.
    pub fn features_behind(&self, batch: &Batch, chosen_bl: &Tensor) -> Result<Tensor> {
        let head = self.see(batch, false)?;
        let prefix = self.prefix(&head.sequence, &head.sequence_lengths);
        let log_p_bl = self.language_model.log_probabilities(&prefix, &batch.labels);
        let sum = log_p_bl.masked_select(chosen_bl).sum(Kind::Float);
        let gradient = Tensor::run_backward(&[&sum], &[&head.fused], false, false);
        let fused_btd = head.fused.detach().to_kind(Kind::Float);
        let weight_bt1 =
            (gradient[0].to_kind(Kind::Float) * &fused_btd).sum_dim_intlist(-1, true, Kind::Float).abs();
        let total_b1 =
            weight_bt1.sum_dim_intlist(1, false, Kind::Float).clamp_min(f64::from(f32::MIN_POSITIVE));
        Ok((weight_bt1 * fused_btd).sum_dim_intlist(1, false, Kind::Float) / total_b1)
    }

    fn prefix(&self, tokens_btd: &Tensor, lengths_b: &Tensor) -> Prefix {
        let [before, behind] = &self.prompt;
        Prefix {
            before_p: before.shallow_clone(),
            tokens_btd: tokens_btd.shallow_clone(),
            lengths_b: lengths_b.shallow_clone(),
            behind_q: behind.shallow_clone(),
        }
    }

    /// z_t of all clips, `[b, d]`. Each device computes those of its own share and gets the others' as constants, so
    /// that the sum of the language model's gradients over the devices counts every clip once.
    fn sentence_embeddings(
        &self,
        part: &StepBatch,
        loss: &LossConfig,
        collective: &Collective,
    ) -> Result<Tensor> {
        let [start, own, all] = [part.own.start, part.own.len(), part.batch.clips.len()].map(|n| n as i64);
        let own_bd = match own {
            0 => Tensor::zeros([0, self.language_model.width()], (Kind::Float, self.device)),
            _ => {
                let mut labels_bl = part.batch.labels.narrow(0, start, own);
                let padding = loss.vt_mean == Steps::All;
                let missing = loss.vt_text_tokens as i64 - labels_bl.size()[1];
                if padding && missing > 0 {
                    labels_bl = labels_bl.f_pad([0, missing], "constant", IGNORE as f64)?;
                }
                self.language_model.sentence_embedding(&labels_bl, loss.vt_target, padding)
            }
        };
        let behind = all - start - own;
        let all_bd = own_bd.detach().constant_pad_nd([0, 0, start, behind]);
        collective.sum(&all_bd.view(-1))?;
        Ok(Tensor::cat(&[all_bd.narrow(0, 0, start), own_bd, all_bd.narrow(0, start + own, behind)], 0))
    }
}
