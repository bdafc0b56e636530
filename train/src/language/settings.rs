//! Which language model a run has, and what of it is trained.

use crate::language::family::{self, Tiny};
use crate::language::folder;
use crate::language::lora::LoraConfig;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result, json, places};
use std::path::{Path, PathBuf};

/// The language model and how it is adapted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageSettings {
    /// Hugging Face folder; relative paths are looked for below the weights folder. `tiny`: a small T5 trained from
    /// nothing, with a vocabulary of the training sentences' words; `tiny-llama`: a small Llama, likewise.
    pub path: String,
    pub tuning: TuningKind,
    pub lora: LoraConfig,
    /// Start from this adapter, a folder that PEFT or an earlier run wrote; its configuration replaces `lora`.
    pub adapter: Option<PathBuf>,
    /// Compute type of the language model: `f32`, `bf16`, or `auto`.
    pub dtype: String,
    /// Dropout inside the language model in training; absent: what its `config.json` says.
    pub dropout: Option<f64>,
}

/// What of the language model is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TuningKind {
    /// Low-rank adapters on a frozen model (paper).
    #[default]
    Lora,
    /// Every weight; for small models.
    Full,
    /// Nothing.
    Frozen,
}

/// The sentence embedding z_t: a mean over the target tokens, the end token included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VtTarget {
    /// Of their rows in the language model's embedding table, as SpaMo's code does.
    #[default]
    Embeddings,
    /// Of the language model's encoder output for the sentence, as the paper's text reads; of a model without an encoder,
    /// of its last hidden states. The model is taken as it is at that step, with its adapters and without dropout, and
    /// gets no gradient from L_vt.
    Encoder,
}

impl Default for LanguageSettings {
    fn default() -> Self {
        Self {
            path: "flan-t5-xl".to_owned(),
            tuning: TuningKind::Lora,
            lora: LoraConfig::default(),
            adapter: None,
            dtype: "auto".to_owned(),
            dropout: None,
        }
    }
}

impl LanguageSettings {
    /// Refuse settings of an adapter where there is none, or where another one is read.
    pub fn check(&self) -> Result<()> {
        // A run writes down which layers the family adapts, which then are not the user's choice.
        let mut lora = self.lora.clone();
        lora.targets = lora.targets.filter(|targets| !family::are_default(targets));
        let own = lora != LoraConfig::default();
        let tuning = json::value(&self.tuning)?;
        let tuning = format!("language_model.tuning={}", tuning.as_str().unwrap_or_default());
        let without = match (self.tuning, &self.adapter) {
            (TuningKind::Lora, None) => None,
            (TuningKind::Lora, Some(_)) if own => {
                let what = "language_model.lora is set beside language_model.adapter, whose own configuration counts";
                return Err(Error::usage(what, "leave one of the two out"));
            }
            (TuningKind::Lora, Some(_)) => None,
            (_, Some(_)) => Some("language_model.adapter"),
            (_, None) => own.then_some("language_model.lora"),
        };
        if let Some(field) = without {
            let what = format!("{field} is set, and {tuning} trains the model without an adapter");
            let remedy = "leave it out, or set language_model.tuning=lora; a model with an adapter added to its weights \
                (evaluate export, or PEFT's merge_and_unload) is given as language_model.path";
            return Err(Error::usage(what, remedy));
        }
        self.lora.check()
    }
}

/// Where the language model's folder is: as `given` by a flag, else as the setting says, else below the weights folder;
/// none for `tiny`, which is trained from nothing. Errors name the places.
pub fn language_model_folder(
    path: &str,
    weights: Option<&Path>,
    given: Option<&Path>,
) -> Result<Option<PathBuf>> {
    match (Tiny::named(path), given) {
        (Some(_), Some(_)) => {
            let what = format!("--language-model: the language model {path:?} is trained from nothing");
            return Err(Error::usage(
                what,
                "leave it out, or name another model: --set language_model.path=NAME",
            ));
        }
        (Some(_), None) => return Ok(None),
        (_, Some(given)) => return folder::check_files(given).map(|()| Some(given.to_path_buf())),
        _ => {}
    }
    let below = places::weights_folders(weights).into_iter().map(|folder| folder.join(path));
    let places: Vec<PathBuf> = std::iter::once(path.into()).chain(below).collect();
    let whole = places.iter().find(|place| folder::check_files(place).is_ok());
    let begun = || places.iter().find(|place| folder::is_model(place));
    let folder = whole.or_else(begun).cloned().ok_or_else(|| {
        let looked: Vec<String> =
            places.iter().map(|p| p.join("config.json").display().to_string()).collect();
        Error::usage(
            format!("the language model {path} was not found; looked for {}", looked.join(", ")),
            "download its folder (docs/weights.md), give --weights DIR or --language-model DIR, or try --preset tiny",
        )
    })?;
    folder::check_files(&folder).map(|()| Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::t5;

    /// The settings that a run wrote down can be given to another one, which adapts nothing.
    #[test]
    fn the_familys_targets_are_not_the_users() {
        let check = |lora: LoraConfig| {
            LanguageSettings { tuning: TuningKind::Full, lora, ..LanguageSettings::default() }.check()
        };
        let lora = LoraConfig { targets: Some(t5::ADAPTER.targets()), ..LoraConfig::default() };
        assert!(check(lora.clone()).is_ok());
        assert!(check(LoraConfig { r: 4, ..lora }).is_err());
    }
}
