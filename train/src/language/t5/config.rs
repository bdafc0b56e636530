//! Hugging Face `config.json` of a T5.

use crate::language::config_fields::ConfigFields;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};
use std::path::Path;

/// The fields of `config.json` that change the network. Others are accepted and ignored: it is Hugging Face's file.
///
/// Deviation: a missing `tie_word_embeddings` means false. Every T5 1.1, Flan-T5 and mT5 has a separate `lm_head`;
/// the library's own default of true is for the original T5, whose ReLU feed-forward is refused anyway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct T5Config {
    pub vocab_size: i64,
    pub d_model: i64,
    pub d_kv: i64,
    pub d_ff: i64,
    pub num_layers: i64,
    /// Layers of the decoder, as many as of the encoder where absent.
    #[serde(default)]
    pub num_decoder_layers: Option<i64>,
    pub num_heads: i64,
    #[serde(default = "default_num_buckets")]
    pub relative_attention_num_buckets: i64,
    #[serde(default = "default_max_distance")]
    pub relative_attention_max_distance: i64,
    #[serde(default = "default_dropout_rate")]
    pub dropout_rate: f64,
    #[serde(default = "default_layer_norm_epsilon")]
    pub layer_norm_epsilon: f64,
    pub feed_forward_proj: String,
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Written by transformers 5, which says true above for every T5: whether the input of `lm_head` is scaled. A
    /// `lm_head` in the file then counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_decoder_outputs: Option<bool>,
    #[serde(default)]
    pub pad_token_id: i64,
    #[serde(default = "default_eos_token_id")]
    pub eos_token_id: i64,
    #[serde(default)]
    pub decoder_start_token_id: i64,
}

fn default_num_buckets() -> i64 {
    32
}

fn default_max_distance() -> i64 {
    128
}

fn default_dropout_rate() -> f64 {
    0.1
}

fn default_layer_norm_epsilon() -> f64 {
    1e-6
}

fn default_eos_token_id() -> i64 {
    1
}

impl T5Config {
    /// Flan-T5 small, 77 million parameters.
    pub fn small() -> Self {
        Self::released(512, 1024, 8, 6)
    }

    /// Flan-T5 base, 248 million parameters.
    pub fn base() -> Self {
        Self::released(768, 2048, 12, 12)
    }

    /// Flan-T5 large, 783 million parameters.
    pub fn large() -> Self {
        Self::released(1024, 2816, 24, 16)
    }

    /// Flan-T5 XL, 2.85 billion parameters: the paper's language model.
    pub fn xl() -> Self {
        Self::released(2048, 5120, 24, 32)
    }

    /// The mT5 of the same size: with a vocabulary of 101 languages. XL has 3.74 billion parameters.
    pub fn multilingual(self) -> Self {
        Self { vocab_size: 250_112, ..self }
    }

    /// About a million parameters, for training from scratch on the demo corpus.
    pub fn tiny(vocab_size: i64) -> Self {
        Self { vocab_size, d_kv: 32, ..Self::released(128, 256, 3, 4) }
    }

    fn released(d_model: i64, d_ff: i64, layers: i64, num_heads: i64) -> Self {
        Self {
            vocab_size: 32128,
            d_model,
            d_kv: 64,
            d_ff,
            num_layers: layers,
            num_decoder_layers: Some(layers),
            num_heads,
            relative_attention_num_buckets: default_num_buckets(),
            relative_attention_max_distance: default_max_distance(),
            dropout_rate: default_dropout_rate(),
            layer_norm_epsilon: default_layer_norm_epsilon(),
            feed_forward_proj: "gated-gelu".to_owned(),
            tie_word_embeddings: false,
            scale_decoder_outputs: None,
            pad_token_id: 0,
            eos_token_id: default_eos_token_id(),
            decoder_start_token_id: 0,
        }
    }

    /// Parse and check the text of a `config.json`; `file` is for messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let config: Self = serde_json::from_str(text).map_err(|e| {
            Error::input(file, "", e.to_string(), "give the config.json of a T5 1.1, Flan-T5 or mT5")
        })?;
        config.check(file)?;
        Ok(config)
    }

    /// The same file read as an mT5's. transformers 5 writes `tie_word_embeddings: true` for every mT5, stores an output layer
    /// of its own where there is one, and never scales its input; the released ones say false.
    pub fn as_mt5(self) -> Self {
        Self { scale_decoder_outputs: self.tie_word_embeddings.then_some(false), ..self }
    }

    /// Refuse what this network is not, naming the field; `file` is for messages.
    pub fn check(&self, file: &Path) -> Result<()> {
        let fields = ConfigFields(file);
        let bad = |field: &str, value: String, remedy: &str| Err(fields.unsupported(field, &value, remedy));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_layers", self.num_layers),
            ("num_decoder_layers", self.decoder_layers()),
            ("num_heads", self.num_heads),
        ];
        fields.sizes(&sizes)?;
        if self.feed_forward_proj != "gated-gelu" {
            let remedy = "use a T5 1.1, Flan-T5 or mT5, whose feed-forward layers are gated-gelu";
            return bad("feed_forward_proj", format!("{:?}", self.feed_forward_proj), remedy);
        }
        let (buckets, distance) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        if !(4..=32).contains(&buckets) || buckets % 4 != 0 {
            return bad("relative_attention_num_buckets", buckets.to_string(), "released models have 32");
        }
        if !(buckets / 2 + 1..=128).contains(&distance) {
            return bad("relative_attention_max_distance", distance.to_string(), "released models have 128");
        }
        fields.dropout("dropout_rate", self.dropout_rate)?;
        fields.epsilon("layer_norm_epsilon", self.layer_norm_epsilon, "1e-6")?;
        let ids = [
            ("pad_token_id", self.pad_token_id),
            ("eos_token_id", self.eos_token_id),
            ("decoder_start_token_id", self.decoder_start_token_id),
        ];
        fields.ids(&ids, self.vocab_size)
    }

    /// Ids of special tokens, as every tokenizer of T5 has them.
    pub fn special_tokens(&self) -> [(i64, &'static str); 2] {
        [(self.pad_token_id, "<pad>"), (self.eos_token_id, "</s>")]
    }

    /// Layers of the decoder.
    pub fn decoder_layers(&self) -> i64 {
        self.num_decoder_layers.unwrap_or(self.num_layers)
    }

    /// Whether `lm_head` shares its weight with the embeddings, where the files have one for it or not. What
    /// transformers 5 saves says that they are shared, and then stores a weight of its own if it has one.
    pub fn ties_head(&self, has_own: bool) -> bool {
        self.tie_word_embeddings && !(has_own && self.scale_decoder_outputs.is_some())
    }

    /// Whether the input of `lm_head` is scaled by `d_model^-0.5`.
    pub fn scales_outputs(&self) -> bool {
        self.scale_decoder_outputs.unwrap_or(self.tie_word_embeddings)
    }

    /// Width of all heads together, which need not be `d_model`.
    pub fn inner_dim(&self) -> i64 {
        self.num_heads * self.d_kv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAN: &str = r#"{"architectures": ["T5ForConditionalGeneration"], "d_ff": 5120, "d_kv": 64, "d_model": 2048,
        "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0, "is_encoder_decoder": true, "layer_norm_epsilon": 1e-06, "model_type": "t5",
        "num_decoder_layers": 24, "num_heads": 32, "num_layers": 24, "output_past": true, "pad_token_id": 0,
        "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32,
        "tie_word_embeddings": false, "use_cache": true, "vocab_size": 32128}"#;

    /// As transformers wrote it for mT5-XL: with fields of later versions, and without those that have their defaults.
    #[test]
    fn the_file_of_mt5_xl_is_the_preset() {
        let mt5 = r#"{"architectures": ["MT5ForConditionalGeneration"], "d_ff": 5120, "d_kv": 64, "d_model": 2048,
            "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
            "dense_act_fn": "gelu_new", "is_gated_act": true, "initializer_factor": 1.0, "is_encoder_decoder": true,
            "layer_norm_epsilon": 1e-06, "model_type": "mt5", "num_decoder_layers": 24, "num_heads": 32,
            "num_layers": 24, "output_past": true, "pad_token_id": 0, "relative_attention_num_buckets": 32,
            "tie_word_embeddings": false, "tokenizer_class": "T5Tokenizer", "use_cache": true,
            "vocab_size": 250112}"#;
        let config = T5Config::parse(mt5, Path::new("config.json")).expect("valid");
        assert_eq!(config.as_mt5(), T5Config::xl().multilingual());

        // As transformers 5.24 writes it again: its `lm_head` is in the file, and nothing is scaled.
        let again = mt5.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
        let again = T5Config::parse(&again, Path::new("config.json")).expect("valid").as_mt5();
        assert!(!again.ties_head(true) && again.ties_head(false) && !again.scales_outputs());
    }

    fn message(from: &str, to: &str) -> String {
        let text = FLAN.replace(from, to);
        assert_ne!(text, FLAN, "{from} is not in the example");
        T5Config::parse(&text, Path::new("config.json")).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_file_of_flan_t5_xl_is_the_preset() {
        assert_eq!(T5Config::parse(FLAN, Path::new("config.json")).expect("valid"), T5Config::xl());
    }

    #[test]
    fn what_the_network_is_not_is_refused_by_field() {
        assert!(message("gated-gelu", "relu").contains("feed_forward_proj"));
        assert!(message("\"d_kv\": 64", "\"d_kv\": 0").contains("d_kv"));
        assert!(message("\"d_kv\": 64,", "").contains("d_kv"));
        assert!(message("num_buckets\": 32", "num_buckets\": 33").contains("num_buckets"));
        assert!(message("max_distance\": 128", "max_distance\": 8").contains("max_distance"));
        assert!(message("\"eos_token_id\": 1", "\"eos_token_id\": 40000").contains("eos_token_id"));
    }
}
