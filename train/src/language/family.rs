//! Families of language models: `model_type` in a folder's `config.json` chooses one, as in transformers.

use crate::language::llama::{self, Llama, LlamaConfig, chat};
use crate::language::t5::{self, T5, T5Config};
use crate::language::targets::{AdapterNames, Targets};
use crate::language::text::Text;
use crate::language::tied_head::TiedHead;
use serde::Deserialize;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result, json};
use std::path::Path;

/// Configuration of a language model.
#[derive(Debug, Clone, PartialEq)]
pub enum LanguageConfig {
    T5(T5Config),
    Llama(LlamaConfig),
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
            #[serde(default)]
            quantization_config: Option<serde_json::Value>,
        }
        fn t5() -> String {
            "t5".to_owned()
        }
        let remedy = "give the folder of a T5 1.1, Flan-T5 or mT5 (model_type t5 or mt5), or of a Llama 3, 3.1 or 3.2 \
            (model_type llama)";
        let model: Model =
            serde_json::from_str(text).map_err(|e| Error::input(file, "", e.to_string(), remedy))?;
        if let Some(quantised) = model.quantization_config {
            let method = quantised["quant_method"].as_str().unwrap_or("an unknown method");
            let what = format!("the weights are quantised ({method}), which is not supported");
            let remedy = "give the folder of the same model in bfloat16, float16 or float32";
            return Err(Error::input(file, "quantization_config", what, remedy));
        }
        match model.model_type.as_str() {
            "t5" => T5Config::parse(text, file).map(Self::T5),
            "mt5" => T5Config::parse(text, file).map(|config| Self::T5(config.as_mt5())),
            "llama" => LlamaConfig::parse(text, file).map(Self::Llama),
            other => Err(Error::input(file, "model_type", format!("{other:?} is not supported"), remedy)),
        }
    }

    /// What [`Self::parse`] reads.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        let (mut json, model_type) = match self {
            Self::T5(config) => (json::value(config)?, "t5"),
            Self::Llama(config) => (json::value(config)?, "llama"),
        };
        json["model_type"] = model_type.into();
        Ok(json)
    }

    /// Replaces the dropout of training.
    pub fn set_dropout(&mut self, rate: f64) {
        match self {
            Self::T5(config) => config.dropout_rate = rate,
            Self::Llama(config) => config.attention_dropout = rate,
        }
    }

    /// What adapters of the model are called.
    pub fn adapter_names(&self) -> &'static AdapterNames {
        match self {
            Self::T5(_) => &t5::ADAPTER,
            Self::Llama(_) => &llama::ADAPTER,
        }
    }

    /// The output layer, if it shares its weight with the embeddings in files that have tensors as `has` says.
    pub fn tied_head(&self, has: impl Fn(&str) -> bool) -> Option<TiedHead> {
        match self {
            Self::T5(config) => T5::tied_head(config, has),
            Self::Llama(config) => Llama::tied_head(config),
        }
    }

    /// The class of transformers that reads the model.
    pub fn transformers_class(&self) -> &'static str {
        match self {
            Self::T5(_) => "T5ForConditionalGeneration",
            Self::Llama(_) => "LlamaForCausalLM",
        }
    }

    /// The tokenizer as the family has it, which for a decoder-only one adds an end token to targets and nothing else;
    /// with `chat`, that of an answer. Errors: a model without a chat format.
    pub fn text(&self, text: Text, chat: bool) -> Result<Text> {
        let Self::Llama(config) = self else { return Ok(text) };
        let ends = config.eos_token_id.ids();
        if !chat {
            return Ok(text.ending_with(ends[0]));
        }
        let end = text.special(chat::END).filter(|end| ends.contains(end));
        match end.filter(|_| chat::TOKENS.iter().all(|token| text.special(token).is_some())) {
            Some(end) => Ok(text.ending_with(end)),
            None => {
                let what = "text.chat is set, and the language model is not an instruct model: its tokenizer does not have \
                    the tokens of Llama 3's chat format, or its eos_token_id does not have <|eot_id|>";
                Err(Error::input(
                    text.file(),
                    "",
                    what,
                    "leave it out, or give the folder of an instruct model",
                ))
            }
        }
    }

    /// Refuses the tokenizer of another model; `trained`: the model is not trained from nothing.
    pub fn check_tokenizer(&self, text: &Text, trained: bool) -> Result<()> {
        let refuse = |what: String| {
            let remedy = "use the tokenizer of the language model's own folder";
            Err(Error::input(text.file(), "vocabulary", what, remedy))
        };
        let size = match self {
            Self::T5(config) => {
                for (id, token) in config.special_tokens() {
                    if text.token(id).as_deref() != Some(token) {
                        return refuse(format!("the id {id} is not {token}, as in the language model"));
                    }
                }
                config.vocab_size
            }
            Self::Llama(config) => {
                let ends = config.eos_token_id.ids().iter();
                for id in ends.chain([&config.bos_token_id]) {
                    let special = text.token(*id).and_then(|token| text.special(&token));
                    if special.is_none() {
                        return refuse(format!(
                            "the id {id} is not a special token, as in the language model"
                        ));
                    }
                }
                if let Some(other) = text.added()?.first().filter(|id| **id != config.bos_token_id) {
                    let begin = config.bos_token_id;
                    return refuse(format!(
                        "it begins texts with the id {other}, the language model with {begin}"
                    ));
                }
                config.vocab_size
            }
        };
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

/// Small models that are trained from nothing, one of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiny {
    T5,
    Llama,
}

impl Tiny {
    /// All of them by their names.
    pub const NAMED: [(&'static str, Self); 2] = [("tiny", Self::T5), ("tiny-llama", Self::Llama)];

    /// The model with this name, if it is one of them.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, tiny)| tiny)
    }

    /// With so many tokens.
    pub fn config(self, vocabulary: i64) -> LanguageConfig {
        match self {
            Self::T5 => LanguageConfig::T5(T5Config::tiny(vocabulary)),
            Self::Llama => LanguageConfig::Llama(LlamaConfig::tiny(vocabulary)),
        }
    }

    /// `tokenizer.json` with the words of `sentences` as vocabulary.
    pub fn tokenizer<'t>(self, sentences: impl Iterator<Item = &'t str>) -> String {
        match self {
            Self::T5 => t5::word_tokenizer(sentences),
            Self::Llama => llama::word_tokenizer(sentences),
        }
    }
}

/// Whether these are the layers that some family adapts where the settings do not say.
pub fn are_default(targets: &Targets) -> bool {
    [&t5::ADAPTER, &llama::ADAPTER].iter().any(|names| *targets == names.targets())
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
            assert_eq!(LanguageConfig::parse(&json.to_string(), file)?, Tiny::T5.config(40));
        }
        for other in ["gemma", "umt5", ""] {
            json["model_type"] = other.into();
            let error = LanguageConfig::parse(&json.to_string(), file).err().map(|e| e.to_string());
            let parts = [
                "models/x/config.json, model_type: ",
                &format!("{other:?}"),
                "; ",
                "T5 1.1, Flan-T5 or mT5",
                "Llama 3, 3.1 or 3.2",
            ];
            assert!(error.as_ref().is_some_and(|e| parts.iter().all(|part| e.contains(part))), "{error:?}");
        }
        Ok(())
    }

    #[test]
    fn quantised_folders_are_refused() {
        let mut json = serde_json::to_value(T5Config::tiny(40)).unwrap_or_default();
        for model_type in ["t5", "llama"] {
            json["model_type"] = model_type.into();
            json["quantization_config"] =
                serde_json::json!({ "quant_method": "bitsandbytes", "load_in_4bit": true });
            let error = LanguageConfig::parse(&json.to_string(), Path::new("a/config.json")).err();
            let error = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(
                error.contains("a/config.json, quantization_config") && error.contains("bitsandbytes"),
                "{error}"
            );
        }
    }

    /// The tokens that a Llama's configuration names must be special ones of the tokenizer, which begins texts as it does.
    #[test]
    fn the_tokenizer_of_another_llama_is_refused() -> Result<()> {
        let json = Tiny::T5.tokenizer(["am montag regen."].into_iter());
        let text = Text::parse(json.as_bytes(), Path::new("tokenizer.json"))?;
        let said = |begin: i64, end: i64, size: i64| {
            let ends = llama::Ends::Several(vec![2, end]);
            let config = LlamaConfig { bos_token_id: begin, eos_token_id: ends, ..LlamaConfig::tiny(size) };
            let checked = LanguageConfig::Llama(config).check_tokenizer(&text, true);
            checked.err().map(|e| e.to_string()).unwrap_or_default()
        };
        // What the tokenizer of a T5 adds to an empty text is its end token, 1.
        assert_eq!(said(1, 0, 7), "");
        assert!(
            said(0, 1, 7).contains("begins texts with the id 1, the language model with 0"),
            "{}",
            said(0, 1, 7)
        );
        assert!(said(1, 4, 7).contains("the id 4 is not a special token"), "{}", said(1, 4, 7));
        assert!(said(1, 0, 6).contains("go up to 6, the language model has 6"), "{}", said(1, 0, 6));
        let instruct = LanguageConfig::Llama(LlamaConfig::tiny(7)).text(text, true);
        assert!(instruct.err().is_some_and(|e| e.to_string().contains("not an instruct model")));
        Ok(())
    }

    #[test]
    fn the_tokenizer_of_another_model_is_refused() -> Result<()> {
        let json = Tiny::T5.tokenizer(["am montag regen."].into_iter());
        let text = |json: &str| Text::parse(json.as_bytes(), Path::new("tokenizer.json"));
        let said = |json: &str, size: i64, trained| -> Result<String> {
            let checked = Tiny::T5.config(size).check_tokenizer(&text(json)?, trained);
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
