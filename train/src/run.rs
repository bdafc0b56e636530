//! A run's folder, and a model ready to train or evaluate in it.

use crate::checkpoint::{self, BEST};
use crate::config::{TrainConfig, TuningKind, language_model_folder};
use crate::corpus::Corpus;
use crate::model::{LanguageBase, SignClip};
use crate::t5::T5Config;
use crate::text::{Text, word_tokenizer};
use crate::trainer::model_tensors;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result, atomic, devices, memory};
use std::path::{Path, PathBuf};
use tch::Device;

/// `config.json` of a run: the effective settings and what they were applied to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// Folder with the splits' feature stores.
    pub features: PathBuf,
    /// Folder of the language model; absent where it is trained from nothing.
    pub language_model: Option<PathBuf>,
    pub prompt: String,
    pub settings: TrainConfig,
    pub tool: String,
}

/// Name of the run's description.
const CONFIG: &str = "config.json";
/// Vocabulary of a language model trained from nothing.
const TOKENIZER: &str = "tokenizer.json";

impl RunInfo {
    /// What a new run on `corpus` will be.
    pub fn new(
        features: &Path,
        settings: TrainConfig,
        weights: Option<&Path>,
        corpus: &Corpus,
    ) -> Result<Self> {
        let path = &settings.language_model.path;
        let language_model = match path.as_str() {
            "tiny" if settings.language_model.tuning == TuningKind::Full => None,
            "tiny" => {
                return Err(Error::usage(
                    "the language model \"tiny\" is trained from nothing",
                    "set language_model.tuning=full",
                ));
            }
            path => Some(language_model_folder(path, weights)?),
        };
        let language = settings.text.language.as_ref().or(corpus.store.info.language.as_ref());
        let prompt = match language {
            Some(language) => settings.text.prompt.replace("{language}", language),
            None if !settings.text.prompt.contains("{language}") => settings.text.prompt.clone(),
            None => {
                return Err(Error::input(
                    &corpus.store.folder,
                    "language",
                    "the data set does not say its language, which the prompt names",
                    "add --set text.language=German",
                ));
            }
        };
        let tool = format!("signclip train {}", env!("CARGO_PKG_VERSION"));
        Ok(Self { features: features.to_path_buf(), language_model, prompt, settings, tool })
    }

    /// Read the description of the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(CONFIG);
        let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
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
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        atomic::write(&folder.join(CONFIG), text.as_bytes())
    }

    /// Copy what describes the run in `from` into `to`.
    pub fn copy_into(&self, from: &Path, to: &Path) -> Result<()> {
        self.write(to)?;
        let tokenizer = from.join(TOKENIZER);
        if tokenizer.exists() {
            let bytes = std::fs::read(&tokenizer).map_err(Error::io(&tokenizer))?;
            atomic::write(&to.join(TOKENIZER), &bytes)?;
        }
        Ok(())
    }

    /// The tokenizer. That of a model trained from nothing is made of `training` texts once and kept in `folder`.
    pub fn text(&self, folder: &Path, training: Option<&Corpus>) -> Result<Text> {
        let Some(model) = &self.language_model else {
            let file = folder.join(TOKENIZER);
            if let Some(corpus) = training.filter(|_| !file.exists()) {
                let sentences = corpus.texts.iter().map(String::as_str).chain([self.prompt.as_str()]);
                atomic::write(&file, word_tokenizer(sentences).as_bytes())?;
            }
            return Text::load(&file);
        };
        Text::load(&model.join(TOKENIZER))
    }

    /// The model on `device` with the run's best weights, and where the run stood when they were written.
    pub fn trained(
        &self,
        folder: &Path,
        corpus: &Corpus,
        text: &Text,
        device: Device,
    ) -> Result<(SignClip, checkpoint::Progress)> {
        let best = folder.join(BEST);
        let (tensors, state) = checkpoint::load(&best)?;
        let model = self.model(corpus, text, device)?;
        checkpoint::restore(&best, &model_tensors(&model), &tensors, &self.settings)?;
        memory::keep();
        Ok((model, state))
    }

    /// Build the model on `device`.
    pub fn model(&self, corpus: &Corpus, text: &Text, device: Device) -> Result<SignClip> {
        let config = match &self.language_model {
            Some(folder) => T5Config::read(&folder.join("config.json"))?,
            None => T5Config::tiny(text.vocabulary() as i64),
        };
        let base = LanguageBase {
            config,
            folder: self.language_model.as_deref(),
            kind: devices::compute_kind(&self.settings.language_model.dtype, device)?,
        };
        SignClip::new(&self.settings, &base, corpus, text, &self.prompt, device)
    }
}
