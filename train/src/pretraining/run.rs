//! Training a small T5 on sentences: from a file of them to a Hugging Face folder.

use crate::config::TextSettings;
use crate::data::batching::permutation;
use crate::language::dropout;
use crate::language::family::LanguageConfig;
use crate::language::inputs::{IGNORE, Prefix};
use crate::language::t5::{T5, T5Config, word_tokenizer};
use crate::language::text::Text;
use crate::language::tuning::Tuning;
use crate::pretraining::sentences::Sentences;
use crate::pretraining::tasks::{Example, LONGEST, Tasks, further_words};
use crate::training::adamw::{AdamW, AdamWConfig, ParameterGroup};
use crate::training::checkpoint::{self, Progress as Reached};
use crate::training::model::Named;
use crate::training::schedule::{Decay, Schedule};
use serde::{Deserialize, Serialize};
use serde_json::json;
use signclip_common::json as text;
use signclip_common::progress::Progress;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::synthetic::Random;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, atomic, difference, safetensors_file};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What the training is; written beside the model.
pub const TRAINING: &str = "training.json";
/// Where a training that is not done stands.
const CHECKPOINT: &str = "checkpoint.safetensors";
/// Steps that a kill costs at most.
const CHECKPOINT_EVERY: u64 = 50;

const BATCH: usize = 64;
const LR: f64 = 1e-3;
const WARMUP: f64 = 0.05;
const CLIP_NORM: f64 = 1.0;

/// What a training is, by which it is known again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Of the file of sentences.
    pub text_sha256: String,
    pub sentences: usize,
    pub prompt: String,
    pub epochs: usize,
    pub seed: u64,
    pub batch_size: usize,
    pub learning_rate: f64,
    pub tool: String,
}

impl Training {
    pub fn new(sentences: &Sentences, epochs: usize, seed: u64) -> Result<Self> {
        let prompt = TextSettings::default().prompt_in(sentences.language.as_deref());
        let prompt = prompt.ok_or_else(|| {
            Error::usage(
                "the data set does not say its language, which the prompt names",
                "add it to the data set",
            )
        })?;
        Ok(Self {
            text_sha256: sentences.sha256.clone(),
            sentences: sentences.texts.len(),
            prompt,
            epochs,
            seed,
            batch_size: BATCH,
            learning_rate: LR,
            tool: format!("signclip train-language {}", env!("CARGO_PKG_VERSION")),
        })
    }

    fn steps_per_epoch(&self) -> usize {
        self.sentences.div_ceil(self.batch_size)
    }

    fn total_steps(&self) -> u64 {
        (self.steps_per_epoch() * self.epochs) as u64
    }

    /// Whether `folder` has this model. Errors: it has another one.
    pub fn is_done(&self, folder: &Path) -> Result<bool> {
        if !folder.join("config.json").exists() {
            return Ok(false);
        }
        let file = folder.join(TRAINING);
        let remedy = "give another --out";
        let content = regular_file::read(&file, SETTINGS).map_err(|_| {
            Error::input(folder, "config.json", "a language model that this program did not train", remedy)
        })?;
        let there: Self =
            serde_json::from_slice(&content).map_err(|e| Error::input(&file, "", e.to_string(), remedy))?;
        match difference::between(&there, self)? {
            None => Ok(true),
            Some((field, there, here)) => Err(Error::input(
                &file,
                field,
                format!("this model has {there}, the command gives {here}"),
                remedy,
            )),
        }
    }
}

/// A training on one device.
pub struct Pretraining {
    training: Training,
    folder: PathBuf,
    config: T5Config,
    tokenizer: String,
    model: T5,
    named: Named,
    /// Ids of each sentence, without the end token.
    sentences: Vec<Vec<i64>>,
    tasks: Tasks,
    /// Behind the input of a translation, and of a sentence with gaps.
    prompt: Tensor,
    end: Tensor,
    device: Device,
}

impl Pretraining {
    /// Everything ready for the first step. Errors: a sentence that is too long.
    pub fn new(training: Training, sentences: &Sentences, folder: &Path, device: Device) -> Result<Self> {
        let texts = || sentences.texts.iter().map(String::as_str);
        let further = further_words(texts());
        let tokenizer = word_tokenizer(texts().chain([training.prompt.as_str(), &further]));
        let text = Text::parse(tokenizer.as_bytes(), &folder.join("tokenizer.json"))?;
        let config = T5Config::tiny(text.own_vocabulary()? as i64);
        let weights = Weights::fresh(training.seed, device, Kind::Float);
        let model = T5::load(&weights, &config, Tuning::Full)?;
        let mut ids = Vec::with_capacity(sentences.texts.len());
        for (number, sentence) in sentences.texts.iter().enumerate() {
            let mut of_sentence = text.encode(sentence)?;
            of_sentence.pop();
            if of_sentence.len() > LONGEST {
                let what = format!("sentence {} has {} tokens", number + 1, of_sentence.len());
                return Err(Error::usage(what, format!("give sentences of {LONGEST} tokens at most")));
            }
            ids.push(of_sentence);
        }
        let tensor = |ids: &[i64]| Tensor::from_slice(ids).to_device(device);
        let end = config.eos_token_id;
        Ok(Self {
            prompt: tensor(&text.encode_prompt(&training.prompt)?),
            end: tensor(&[end]),
            tasks: Tasks::new(&text, end)?,
            named: weights.parameters(),
            sentences: ids,
            folder: folder.to_path_buf(),
            training,
            config,
            tokenizer,
            model,
            device,
        })
    }

    /// Trains to the end, from where an earlier process stopped, and writes the folder. Returns the mean loss of a token in
    /// the last epoch, of either task, or none where an earlier process trained it.
    pub fn run(&self) -> Result<[Option<f64>; 2]> {
        let total = self.training.total_steps();
        let (matrices, vectors): (Named, Named) = self
            .named
            .iter()
            .map(|(name, t)| (name.clone(), t.shallow_clone()))
            .partition(|(_, t)| t.dim() >= 2);
        let group = |parameters, weight_decay| ParameterGroup { parameters, lr: LR, weight_decay };
        let mut adamw = AdamW::new(vec![group(matrices, 0.01), group(vectors, 0.0)], AdamWConfig::default());
        let first = self.resume(&mut adamw)?;
        let warmup_steps = (WARMUP * total as f64) as u64;
        let schedule =
            Schedule { decay: Decay::Cosine, stride: 1, floor: 0.0, warmup_steps, total_steps: total };
        let progress = Progress::new("train-language", total - first, "steps");
        let mut order = (usize::MAX, Vec::new());
        let mut losses = [(0.0, 0_u32); 2];
        for step in first..total {
            let (epoch, place) = (
                step as usize / self.training.steps_per_epoch(),
                step as usize % self.training.steps_per_epoch(),
            );
            if order.0 != epoch {
                let random = Random::new(&format!("sentences of epoch {epoch}"), self.training.seed);
                order = (epoch, permutation(self.sentences.len(), &random));
                losses = Default::default();
            }
            let behind = &order.1[place * BATCH..];
            let loss =
                self.step(&mut adamw, step, &behind[..BATCH.min(behind.len())], schedule.factor(step))?;
            let (sum, count) = &mut losses[step as usize % 2];
            (*sum, *count) = (*sum + loss, *count + 1);
            progress.advance(1, || format!("epoch {}/{}, loss {loss:.3}", epoch + 1, self.training.epochs));
            if (step + 1).is_multiple_of(CHECKPOINT_EVERY) {
                self.save(&adamw, step + 1)?;
            }
        }
        progress.finish();
        self.write()?;
        Ok(losses.map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))))
    }

    /// One update: of gaps filled in even steps, of translations in odd ones. Gives the mean loss of a token.
    fn step(&self, adamw: &mut AdamW, step: u64, sentences: &[usize], lr_factor: f64) -> Result<f64> {
        let seed = self.training.seed;
        let gaps = step.is_multiple_of(2);
        let draw = |sentence: usize| Random::new(&format!("gaps of step {step}, sentence {sentence}"), seed);
        let example = |&sentence: &usize| match gaps {
            true => self.tasks.denoising(&self.sentences[sentence], &draw(sentence)),
            false => self.tasks.translation(&self.sentences[sentence]),
        };
        let examples: Vec<Example> = sentences.iter().map(example).collect();
        let (inputs_bs, lengths_b) = self.padded(examples.iter().map(|example| &example.input), 0);
        let (labels_bl, targets_b) = self.padded(examples.iter().map(|example| &example.target), IGNORE);
        let prefix = Prefix {
            before_p: self.end.narrow(0, 0, 0),
            tokens_btd: self.model.embed(&inputs_bs),
            lengths_b,
            behind_q: if gaps { self.end.shallow_clone() } else { self.prompt.shallow_clone() },
        };
        dropout::seed(
            (Random::new(&format!("dropout of step {step}"), seed).unit(0) * i64::MAX as f64) as i64,
        );
        adamw.zero_grad();
        let tokens = targets_b.sum(Kind::Int64).int64_value(&[]);
        let loss = self.model.backward(&prefix, &labels_bl, tokens as f64, false).double_value(&[]);
        let norm = adamw.clip_grad_norm(CLIP_NORM);
        if !norm.is_finite() || !loss.is_finite() {
            let what = format!("step {step}: the loss is {loss}, the gradient norm {norm}");
            return Err(Error::usage(
                what,
                "run the same command again with another --seed, into another --out",
            ));
        }
        adamw.step(lr_factor);
        Ok(loss)
    }

    /// Ids as `[b, longest]` with `fill` behind them, and their lengths `[b]`.
    fn padded<'e>(&self, ids: impl Iterator<Item = &'e Vec<i64>> + Clone, fill: i64) -> (Tensor, Tensor) {
        let longest = ids.clone().map(Vec::len).max().unwrap_or_default();
        let lengths: Vec<i64> = ids.clone().map(|ids| ids.len() as i64).collect();
        let rows: Vec<i64> = ids
            .flat_map(|ids| ids.iter().copied().chain(std::iter::repeat_n(fill, longest - ids.len())))
            .collect();
        let rows = Tensor::from_slice(&rows).view([lengths.len() as i64, longest as i64]);
        (rows.to_device(self.device), Tensor::from_slice(&lengths).to_device(self.device))
    }

    fn save(&self, adamw: &AdamW, step: u64) -> Result<()> {
        let mut tensors: Named =
            self.named.iter().map(|(n, t)| (format!("model.{n}"), t.shallow_clone())).collect();
        tensors.extend(adamw.state().into_iter().map(|(n, t)| (format!("{OPTIMISER}{n}"), t)));
        let epoch = step as usize / self.training.steps_per_epoch();
        let reached = Reached { epoch, step, ..Reached::default() };
        checkpoint::save(&self.folder.join(CHECKPOINT), &tensors, &reached, &self.training)
    }

    /// The step to resume with. Errors: a checkpoint of another training.
    fn resume(&self, adamw: &mut AdamW) -> Result<u64> {
        let file = self.folder.join(CHECKPOINT);
        if !file.exists() {
            return Ok(0);
        }
        let there = checkpoint::settings_of(&file).unwrap_or_default();
        if let Some((field, there, here)) = difference::first(&there, &text::value(&self.training)?) {
            let what = format!("this training began with {there}, the command gives {here}");
            return Err(Error::input(&file, field, what, "give another --out, or remove the folder"));
        }
        let (tensors, reached) = checkpoint::load(&file)?;
        let model = self.named.iter().map(|(n, t)| (format!("model.{n}"), t.shallow_clone())).collect();
        checkpoint::restore(&file, &model, &tensors, &self.training)?;
        let state = tensors.into_iter().filter_map(|(n, t)| Some((n.strip_prefix(OPTIMISER)?.to_owned(), t)));
        adamw.load_state(&state.collect())?;
        Ok(reached.step)
    }

    /// The folder, as transformers has it; `config.json` comes last, and says that the model is whole.
    fn write(&self) -> Result<()> {
        let table: Vec<_> = self.named.iter().map(|(name, t)| (name.clone(), t.kind(), t.size())).collect();
        atomic::write_with(&self.folder.join("model.safetensors"), |out| {
            safetensors_file::write(out, &[], &table, |i| Ok(self.named[i].1.shallow_clone()))
        })?;
        let tokenizer = json!({ "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<pad>",
            "unk_token": "<unk>" });
        let config = LanguageConfig::T5(self.config.clone()).to_json()?;
        for (name, content) in [
            ("tokenizer.json", self.tokenizer.clone()),
            ("tokenizer_config.json", text::pretty(&tokenizer)?),
            (TRAINING, text::pretty(&self.training)?),
            ("config.json", text::pretty(&config)?),
        ] {
            atomic::write(&self.folder.join(name), content.as_bytes())?;
        }
        let checkpoint = self.folder.join(CHECKPOINT);
        match std::fs::remove_file(&checkpoint) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&checkpoint)(e)),
            _ => Ok(()),
        }
    }
}

/// What stands before the names of the optimiser's state.
const OPTIMISER: &str = "optimiser.";
