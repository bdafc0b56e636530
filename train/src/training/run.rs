//! A run's folder, and a model ready to train or evaluate in it.

use crate::config::TrainConfig;
use crate::data::corpus::{Corpus, SplitIdentity};
use crate::language::adapter;
use crate::language::family::{self, LanguageConfig, Tiny};
use crate::language::folder;
use crate::language::identity::of_language_model;
use crate::language::settings::TuningKind;
use crate::language::text::Text;
use crate::training::checkpoint::{self, BEST};
use crate::training::making::Making;
use crate::training::model::{LanguageBase, SignClip};
use crate::training::origin::Origin;
use crate::training::places::{FromRun, recorded};
use crate::training::requirements::{LargestStep, Requirements};
use serde::{Deserialize, Serialize};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result, atomic, devices, difference, memory};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Device;

/// `config.json` of a run: the effective settings and what they were applied to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// Folder with the splits' feature stores, where it was last used.
    pub features: PathBuf,
    /// Folders of further streams of the same clips.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<PathBuf>,
    /// Folder of the language model, likewise; absent where it is trained from nothing.
    pub language_model: Option<PathBuf>,
    /// Both as seen from the run's folder.
    #[serde(default, skip_serializing_if = "FromRun::is_empty")]
    pub from_run: FromRun,
    /// What the language model is, wherever it lies ([`of_language_model`]); empty in runs of earlier versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub language_model_sha256: BTreeMap<String, String>,
    /// The run whose weights this one began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// When the run was given more epochs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended: Vec<Extension>,
    pub prompt: String,
    pub settings: TrainConfig,
    /// The clips of the training and of the validation split, by the split's name.
    pub clips: BTreeMap<String, SplitIdentity>,
    /// How the features in use were made.
    pub extraction: Making,
    pub tool: String,
}

/// More epochs for a run that had begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    pub from_epochs: usize,
    pub to_epochs: usize,
    /// Updates after which the learning rates follow the schedule of the new number of epochs.
    pub at_step: u64,
}

/// Name of the run's description.
pub const CONFIG: &str = "config.json";
/// Vocabulary of a language model trained from nothing.
const TOKENIZER: &str = "tokenizer.json";
/// The adapter that the run started from, as it was then.
pub const FIRST_ADAPTER: &str = "first-adapter";

impl RunInfo {
    /// What a new run on the splits `corpus` and `dev` of `features` will be, with the language model in a folder, or
    /// none that is trained from nothing. Errors: clips are missing and that is not allowed; features of the two that
    /// were not made alike.
    pub fn new(
        features: &[PathBuf],
        mut settings: TrainConfig,
        language_model: Option<&Path>,
        [corpus, dev]: [&Corpus; 2],
        allow_missing: bool,
    ) -> Result<Self> {
        if language_model.is_none() && settings.language_model.tuning != TuningKind::Full {
            let what =
                format!("the language model {:?} is trained from nothing", settings.language_model.path);
            return Err(Error::usage(what, "set language_model.tuning=full"));
        }
        let lora = &mut settings.language_model.lora;
        lora.targets = Some(lora.targets.take().unwrap_or(family::adapter_names(language_model)?.targets()));
        let language_model_sha256 = language_model.map(of_language_model).transpose()?.unwrap_or_default();
        let language = settings.text.language.as_ref().or(corpus.store.info.language.as_ref());
        let language = language.filter(|language| !language.trim().is_empty());
        let prompt = settings.text.prompt_in(language.map(String::as_str)).ok_or_else(|| {
            Error::input(
                &corpus.store.folder,
                "language",
                "the data set does not say its language, which the prompt names",
                "add --set text.language=German",
            )
        })?;
        let extraction = Making::of(corpus.stores().map(|store| &store.info), &settings.head.streams);
        let mut clips = BTreeMap::new();
        for (split, corpus) in [("train", corpus), (&settings.validation_split, dev)] {
            clips.insert(split.to_owned(), corpus.identity(corpus.missing(allow_missing)?));
        }
        let tool = format!("signclip train {}", env!("CARGO_PKG_VERSION"));
        let info = Self {
            features: recorded(&features[0])?,
            joined: features[1..].iter().map(|folder| recorded(folder)).collect::<Result<_>>()?,
            language_model: language_model.map(recorded).transpose()?,
            from_run: FromRun::default(),
            language_model_sha256,
            from: None,
            extended: Vec::new(),
            prompt,
            settings,
            clips,
            extraction,
            tool,
        };
        info.check_features(dev.descriptions())?;
        Ok(info)
    }

    /// The first field in which the run described by `begun` is another one, with the value there and here. Where
    /// features, language model and adapter lie makes no difference, but what they are; of a run of an earlier version
    /// that says nothing of that, the places count as long as they are there. `folder` is that of the run.
    pub fn difference(&self, begun: &Self, folder: &Path) -> Result<Option<(String, String, String)>> {
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            (Err(_), _) => true,
            _ => false,
        };
        let mut begun = Self {
            tool: self.tool.clone(),
            from_run: self.from_run.clone(),
            extended: self.extended.clone(),
            ..begun.clone()
        };
        let known = begun.clips.values().all(|clips| clips.features.is_some());
        for (split, clips) in &mut begun.clips {
            if let (None, Some(here)) = (&clips.features, self.clips.get(split)) {
                clips.features.clone_from(&here.features);
            }
        }
        if known || same(&begun.features, &self.features) {
            begun.features.clone_from(&self.features);
            begun.joined.clone_from(&self.joined);
        }
        if let (Some(then), Some(now)) = (&begun.language_model, &self.language_model)
            && (!begun.language_model_sha256.is_empty() || same(then, now))
        {
            begun.language_model.clone_from(&self.language_model);
            if begun.language_model_sha256.is_empty() {
                begun.language_model_sha256.clone_from(&self.language_model_sha256);
            }
            if begun.language_model_sha256 == self.language_model_sha256 {
                begun.settings.language_model.path.clone_from(&self.settings.language_model.path);
            }
        }
        let own = folder.join(FIRST_ADAPTER);
        let (then, now) = (&mut begun.settings.language_model.adapter, &self.settings.language_model.adapter);
        if then.is_some() && now.as_ref().is_some_and(|now| own.is_dir() && adapter::is_same(&own, now)) {
            then.clone_from(now);
        }
        if let (Some(then), Some(now)) = (&mut begun.from, &self.from)
            && then.sha256 == now.sha256
        {
            then.clone_from(now);
        }
        // The network or setting that made other features says more than that they are others.
        match begun.extraction.difference(&self.extraction) {
            None => difference::between(&begun, self),
            Some((_, [field, then, now])) => Ok(Some((format!("extraction.{field}"), then, now))),
        }
    }

    /// A run that has begun in `folder` continues with the settings and the features that it began with, or with more
    /// epochs. Without `--from` it is from where it was.
    pub fn check_resumable(&self, folder: &Path) -> Result<()> {
        let begun = Self::read(folder)?;
        let mut now = self.clone();
        if let Some(from) = now.from.take()
            && begun.from.as_ref().is_none_or(|begun| begun.sha256 != from.sha256)
        {
            let what = format!(
                "the run in this folder did not begin with the weights that {} has now",
                from.run.display()
            );
            let remedy = "leave out --from to resume, or give another folder: --run DIR";
            return Err(Error::input(folder.join(CONFIG), "from", what, remedy));
        }
        now.from.clone_from(&begun.from);
        let (then, epochs) = (begun.settings.optimiser.epochs, &mut now.settings.optimiser.epochs);
        *epochs = if *epochs > then { then } else { *epochs };
        now.difference(&begun, folder)?.map_or(Ok(()), |(field, begun, now)| {
            let what = format!("the run in this folder began with {begun}, this command has {now}");
            let remedy =
                "use the same settings and features to resume, or another folder (train --run, ablate --out)";
            Err(Error::input(folder.join(CONFIG), field, what, remedy))
        })
    }

    /// Continue the run in `folder`, unless it is another one ([`Self::check_resumable`]): take over what happened to it, and
    /// write down where things are now, and more epochs, unless it is only `looked` at.
    pub fn resume(&mut self, folder: &Path, looked: bool) -> Result<()> {
        self.check_resumable(folder)?;
        let begun = Self::read(folder)?;
        self.from = self.from.take().or(begun.from);
        self.extended = begun.extended;
        // What the run began with stays in its description.
        self.settings.language_model.adapter = begun.settings.language_model.adapter;
        let (then, now) = (begun.settings.optimiser.epochs, self.settings.optimiser.epochs);
        if now > then {
            let newest =
                checkpoint::all(folder)?.pop().map(|file| checkpoint::progress(&file)).transpose()?;
            let at_step = newest.map_or(0, |progress| progress.step);
            tracing::info!(
                "{now} epochs instead of {then}: from step {at_step} on, the learning rates follow the schedule of {now}; the \
                 steps before had that of {then}"
            );
            self.extended.push(Extension { from_epochs: then, to_epochs: now, at_step });
        }
        if looked { Ok(()) } else { self.write(folder) }
    }

    /// What anybody must know who reads scores of this run on `split`.
    pub fn caveats(&self, split: &str) -> Vec<String> {
        let of_others = |what| format!("control experiment: every clip was given the {what} of another one");
        let mut caveats = Vec::new();
        if self.extraction.is_computed() {
            let what = "UNTRAINED networks with computed weights made the features: the scores say nothing about real signing";
            caveats.push(what.to_owned());
        }
        let blank = "control experiment: the features of every clip were zeros";
        caveats.extend(self.settings.no_features.then(|| blank.to_owned()));
        caveats.extend(self.settings.shuffle_features.then(|| of_others("features")));
        caveats.extend(self.settings.shuffle_mouthing.then(|| of_others("mouthing")));
        if self.settings.validation_split == split {
            caveats.push(format!("the weights were chosen by their scores on {split} itself"));
        }
        let missing = self.clips.iter().filter(|(_, clips)| clips.missing > 0);
        caveats.extend(missing.map(|(name, clips)| {
            format!(
                "in training, {} of {} clips of {name} were missing",
                clips.missing,
                clips.missing + clips.clips
            )
        }));
        caveats
    }

    /// The folders of all stores, the first one first.
    pub fn folders(&self) -> Vec<PathBuf> {
        std::iter::once(&self.features).chain(&self.joined).cloned().collect()
    }

    /// The flags that name them.
    pub fn feature_flags(&self) -> String {
        let flag = |folder: PathBuf| format!("--features {}", folder.display());
        self.folders().into_iter().map(flag).collect::<Vec<_>>().join(" ")
    }

    /// Read the description of the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(CONFIG);
        let text = regular_file::read_to_string(&file, SETTINGS).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::input(&file, "", "no run here", "train one with: train --features cache/NAME")
            }
            _ => Error::Io { file: file.clone(), source: e },
        })?;
        serde_json::from_str(&text).map_err(|e| {
            let remedy = "it is damaged or of another version of this tool; start a new run";
            Error::input(&file, format!("line {}", e.line()), e.to_string(), remedy)
        })
    }

    /// Write the description into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let from_run = FromRun::of(folder, &self.folders(), self.language_model.as_deref());
        let text = serde_json::to_string_pretty(&Self { from_run, ..self.clone() }).map_err(|e| {
            let remedy = "JSON holds UTF-8 only: give the folders other names, or links to them";
            Error::usage(format!("{}: {e}", folder.join(CONFIG).display()), remedy)
        })?;
        atomic::write(&folder.join(CONFIG), (text + "\n").as_bytes())
    }

    /// Begin the run in `folder`: its description, and what it needs for good: the vocabulary of a model that is trained
    /// from nothing, and the adapter that it starts from, which may change where it lies.
    pub fn begin(&self, folder: &Path, training: &Corpus) -> Result<()> {
        if self.language_model.is_none() {
            atomic::write(&folder.join(TOKENIZER), self.vocabulary(training)?.as_bytes())?;
        }
        if let Some(adapter) = &self.settings.language_model.adapter {
            adapter::copy(adapter, &folder.join(FIRST_ADAPTER))?;
        }
        self.write(folder)
    }

    /// Copy what describes the run in `from` into `to`.
    pub fn copy_into(&self, from: &Path, to: &Path) -> Result<()> {
        let tokenizer = from.join(TOKENIZER);
        if tokenizer.exists() {
            let bytes = regular_file::read(&tokenizer, SETTINGS).map_err(Error::io(&tokenizer))?;
            atomic::write(&to.join(TOKENIZER), &bytes)?;
        }
        if from.join(FIRST_ADAPTER).is_dir() {
            adapter::copy(&from.join(FIRST_ADAPTER), &to.join(FIRST_ADAPTER))?;
        }
        self.write(to)
    }

    /// The tokenizer of the run in `folder`.
    pub fn text(&self, folder: &Path) -> Result<Text> {
        let folder = self.language_model.as_deref().unwrap_or(folder);
        self.as_the_model_has_it(Text::load(&folder::tokenizer(folder))?)
    }

    /// The tokenizer that a run on `training` would have.
    pub fn text_of(&self, training: &Corpus) -> Result<Text> {
        self.as_the_model_has_it(match &self.language_model {
            Some(model) => Text::load(&folder::tokenizer(model))?,
            None => Text::parse(self.vocabulary(training)?.as_bytes(), Path::new(TOKENIZER))?,
        })
    }

    fn as_the_model_has_it(&self, text: Text) -> Result<Text> {
        self.language_config(&text)?.text(text, self.settings.text.chat)
    }

    /// The configuration of the language model with this tokenizer.
    fn language_config(&self, text: &Text) -> Result<LanguageConfig> {
        match &self.language_model {
            Some(folder) => LanguageConfig::read(folder),
            None => Ok(self.tiny()?.config(text.own_vocabulary()? as i64)),
        }
    }

    /// The language model that is trained from nothing.
    fn tiny(&self) -> Result<Tiny> {
        let path = &self.settings.language_model.path;
        Tiny::named(path).ok_or_else(|| {
            let what = format!("the run has no folder of its language model {path:?}");
            Error::usage(what, "start a new run: its config.json was changed by hand")
        })
    }

    /// Of the words of the training, or that of the run whose weights are taken over.
    fn vocabulary(&self, training: &Corpus) -> Result<String> {
        match &self.from {
            Some(from) => {
                let file = from.run.join(TOKENIZER);
                regular_file::read_to_string(&file, SETTINGS).map_err(Error::io(&file))
            }
            None => {
                let texts = training.texts.iter().map(String::as_str);
                Ok(self.tiny()?.tokenizer(texts.chain([self.prompt.as_str()])))
            }
        }
    }

    /// The model on `device` with the run's best weights, and where the run stood when they were written. Errors: no
    /// weights yet, features in `corpus` that are not made as those of the training.
    pub fn trained(
        &self,
        folder: &Path,
        corpus: &Corpus,
        text: &Text,
        device: Device,
    ) -> Result<(SignClip, checkpoint::Progress)> {
        self.check_features(corpus.descriptions())?;
        let best = folder.join(BEST);
        let (tensors, state) = checkpoint::load(&best)?;
        let model = self.model(folder, corpus, text, device)?;
        checkpoint::restore(&best, &model.tensors(), &tensors, &self.settings)?;
        memory::keep();
        Ok((model, state))
    }

    /// The settings of the run in `folder`, which keeps the adapter that it started from.
    fn settings_in(&self, folder: &Path) -> TrainConfig {
        let mut settings = self.settings.clone();
        let own = folder.join(FIRST_ADAPTER);
        if let Some(adapter) = settings.language_model.adapter.as_mut().filter(|_| own.is_dir()) {
            *adapter = own;
        }
        settings
    }

    /// What training in `folder` on `corpus`, which has been tokenised by `text`, will take of each of so many devices.
    pub fn requirements(
        &self,
        folder: &Path,
        corpus: &Corpus,
        text: &Text,
        device: Device,
        devices: usize,
    ) -> Result<Requirements> {
        let kind = devices::compute_kind(&self.settings.language_model.dtype, device)?;
        let step = LargestStep {
            frames: corpus.frames().into_iter().max().unwrap_or_default(),
            prompt: text.encode_prompt(&self.prompt)?.len(),
            target: (0..corpus.len()).map(|clip| corpus.target(clip).len()).max().unwrap_or_default(),
            devices,
        };
        let (model, config) = (self.language_model.as_deref(), self.language_config(text)?);
        Requirements::of(&self.settings_in(folder), model, &config, kind, &corpus.widths(), step)
    }

    /// Build the model of the run in `folder` on `device`.
    pub fn model(&self, folder: &Path, corpus: &Corpus, text: &Text, device: Device) -> Result<SignClip> {
        let config = self.language_config(text)?;
        let kind = devices::compute_kind(&self.settings.language_model.dtype, device)?;
        devices::warn_of_slow_bf16(kind, &[device]);
        let base = LanguageBase { config, folder: self.language_model.as_deref(), kind };
        SignClip::new(&self.settings_in(folder), &base, corpus, text, &self.prompt, device)
    }
}
