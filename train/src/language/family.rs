//! Families of language models: `model_type` in a folder's `config.json` chooses one, as in transformers.

use crate::language::t5::{self, T5, T5Config};
use crate::language::targets::{AdapterNames, Targets};
use crate::language::text::Text;
use crate::language::tied_head::TiedHead;
use serde::Deserialize;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result};
use std::path::Path;

/// Configuration of a language model.
#[derive(Debug, Clone, PartialEq)]
pub enum LanguageConfig {
    T5(T5Config),
}

impl LanguageConfig {
    /// Reads and checks the `config.json` in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("config.json");
        let text = regular_file::read_to_string(&file, SETTINGS).map_err(Error::io(&file))?;
        Self::parse(&text, &file)
    }

    /// Parses and checks the text of a `config.json`; `file` is for messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Model {
            /// Every folder of the hub has it.
            #[serde(default = "t5")]
            model_type: String,
        }
        fn t5() -> String {
            "t5".to_owned()
        }
        let remedy = "give the folder of a T5 1.1, Flan-T5 or mT5 (model_type t5 or mt5)";
        let model: Model =
            serde_json::from_str(text).map_err(|e| Error::input(file, "", e.to_string(), remedy))?;
        match model.model_type.as_str() {
            "t5" | "mt5" => T5Config::parse(text, file).map(Self::T5),
            other => Err(Error::input(file, "model_type", format!("{other:?} is not supported"), remedy)),
        }
    }

    /// A small model to train from nothing, with so many tokens ([`tiny_tokenizer`]).
    pub fn tiny(vocabulary: i64) -> Self {
        Self::T5(T5Config::tiny(vocabulary))
    }

    /// Replaces the dropout of training.
    pub fn set_dropout(&mut self, rate: f64) {
        match self {
            Self::T5(config) => config.dropout_rate = rate,
        }
    }

    /// What adapters of the model are called.
    pub fn adapter_names(&self) -> &'static AdapterNames {
        match self {
            Self::T5(_) => &t5::ADAPTER,
        }
    }

    /// The output layer, if it shares its weight with the embeddings in files that have tensors as `has` says.
    pub fn tied_head(&self, has: impl Fn(&str) -> bool) -> Option<TiedHead> {
        match self {
            Self::T5(config) => T5::tied_head(config, has),
        }
    }

    /// The class of transformers that reads the model.
    pub fn transformers_class(&self) -> &'static str {
        match self {
            Self::T5(_) => "T5ForConditionalGeneration",
        }
    }

    /// Refuses the tokenizer of another model; `trained`: the model is not trained from nothing.
    pub fn check_tokenizer(&self, text: &Text, trained: bool) -> Result<()> {
        let (size, special) = match self {
            Self::T5(config) => (config.vocab_size, config.special_tokens()),
        };
        let refuse = |what: String| {
            let remedy = "use the tokenizer of the language model's own folder";
            Err(Error::input(text.file(), "vocabulary", what, remedy))
        };
        for (id, token) in special {
            if text.token(id).as_deref() != Some(token) {
                return refuse(format!("the id {id} is not {token}, as in the language model"));
            }
        }
        // A model's table is longer than its tokenizer's, up to a multiple of 128.
        let spare = size - text.vocabulary() as i64;
        match spare < 0 || (spare >= 128 && trained) {
            true => {
                refuse(format!("its ids go up to {}, the language model has {size}", text.vocabulary() - 1))
            }
            false => Ok(()),
        }
    }
}

/// `tokenizer.json` for a [tiny](LanguageConfig::tiny) model, with the words of `sentences` as vocabulary.
pub fn tiny_tokenizer<'t>(sentences: impl Iterator<Item = &'t str>) -> String {
    t5::word_tokenizer(sentences)
}

/// Whether these are the layers that some family adapts where the settings do not say.
pub fn are_default(targets: &Targets) -> bool {
    *targets == t5::ADAPTER.targets()
}

/// What adapters are called of the model in `folder`, or of a tiny one where there is none.
pub fn adapter_names(folder: Option<&Path>) -> Result<&'static AdapterNames> {
    folder
        .map_or(Ok(&t5::ADAPTER), |folder| LanguageConfig::read(folder).map(|config| config.adapter_names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_type_chooses_the_family() -> Result<()> {
        let file = Path::new("models/x/config.json");
        let mut json = serde_json::to_value(T5Config::tiny(40)).unwrap_or_default();
        for model_type in ["t5", "mt5"] {
            json["model_type"] = model_type.into();
            assert_eq!(LanguageConfig::parse(&json.to_string(), file)?, LanguageConfig::tiny(40));
        }
        for other in ["llama", "umt5", ""] {
            json["model_type"] = other.into();
            let error = LanguageConfig::parse(&json.to_string(), file).err().map(|e| e.to_string());
            let parts =
                ["models/x/config.json, model_type: ", &format!("{other:?}"), "; ", "T5 1.1, Flan-T5 or mT5"];
            assert!(error.as_ref().is_some_and(|e| parts.iter().all(|part| e.contains(part))), "{error:?}");
        }
        Ok(())
    }

    #[test]
    fn the_tokenizer_of_another_model_is_refused() -> Result<()> {
        let json = tiny_tokenizer(["am montag regen."].into_iter());
        let text = |json: &str| Text::parse(json.as_bytes(), Path::new("tokenizer.json"));
        let said = |json: &str, size: i64, trained| -> Result<String> {
            let checked = LanguageConfig::tiny(size).check_tokenizer(&text(json)?, trained);
            Ok(checked.err().map(|e| e.to_string()).unwrap_or_default())
        };
        assert_eq!(said(&json, 7, true)?, "");
        assert_eq!(said(&json, 134, true)?, "");
        assert!(said(&json, 135, true)?.contains("its ids go up to 6, the language model has 135"));
        assert_eq!(said(&json, 135, false)?, "");
        assert!(said(&json, 6, false)?.contains("go up to 6"));
        let other = json.replace("<pad>", "<s>");
        assert!(said(&other, 7, true)?.contains("the id 0 is not <pad>"));
        Ok(())
    }
}
