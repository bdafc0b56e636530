//! Hugging Face `config.json` of a Llama.

use super::rope::{RopeScaling, inverse_frequencies};
use crate::language::config_fields::ConfigFields;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signclip_common::{Error, Result};
use std::path::Path;

/// The fields of `config.json` that change the network. Others are accepted and ignored: it is Hugging Face's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    pub vocab_size: i64,
    pub hidden_size: i64,
    pub intermediate_size: i64,
    pub num_hidden_layers: i64,
    pub num_attention_heads: i64,
    /// As many as of the queries where absent.
    #[serde(default)]
    pub num_key_value_heads: Option<i64>,
    /// `hidden_size / num_attention_heads` where absent.
    #[serde(default)]
    pub head_dim: Option<i64>,
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    #[serde(default = "default_hidden_act")]
    pub hidden_act: String,
    #[serde(default)]
    pub attention_bias: bool,
    #[serde(default)]
    pub mlp_bias: bool,
    #[serde(default)]
    pub attention_dropout: f64,
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    #[serde(default)]
    pub tie_word_embeddings: bool,
    #[serde(default = "default_bos_token_id")]
    pub bos_token_id: i64,
    #[serde(default = "default_eos_token_id")]
    pub eos_token_id: Ends,
}

/// The token that ends a text, or several of which any does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ends {
    One(i64),
    Several(Vec<i64>),
}

impl Ends {
    /// The first is the one that a target ends with.
    pub fn ids(&self) -> &[i64] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Several(ids) => ids,
        }
    }
}

fn default_rms_norm_eps() -> f64 {
    1e-6
}

fn default_hidden_act() -> String {
    "silu".to_owned()
}

fn default_rope_theta() -> f64 {
    10_000.0
}

fn default_bos_token_id() -> i64 {
    1
}

fn default_eos_token_id() -> Ends {
    Ends::One(2)
}

/// What a remedy says of the models that are supported.
const SUPPORTED: &str = "give the folder of a Llama 3, 3.1 or 3.2";

impl LlamaConfig {
    /// Llama 3.2 3B, 3.21 billion parameters.
    pub fn llama32_3b() -> Self {
        let base = Self { tie_word_embeddings: true, ..Self::released(3072, 8192, 28, 24, 32.0) };
        Self { head_dim: Some(128), ..base }
    }

    /// Llama 3.1 8B, 8.03 billion parameters.
    pub fn llama31_8b() -> Self {
        Self::released(4096, 14336, 32, 32, 8.0)
    }

    /// About 200 million parameters, for measuring.
    pub fn small() -> Self {
        let base = Self {
            vocab_size: 32_000,
            tie_word_embeddings: true,
            ..Self::released(1024, 2816, 16, 16, 32.0)
        };
        Self { bos_token_id: 1, eos_token_id: Ends::One(2), ..base }
    }

    /// About half a million parameters, for tests.
    pub fn tiny(vocab_size: i64) -> Self {
        Self {
            vocab_size,
            num_key_value_heads: Some(2),
            bos_token_id: 0,
            eos_token_id: Ends::One(1),
            ..Self::released(128, 256, 3, 4, 32.0)
        }
    }

    fn released(hidden_size: i64, intermediate_size: i64, layers: i64, heads: i64, factor: f64) -> Self {
        Self {
            vocab_size: 128_256,
            hidden_size,
            intermediate_size,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: Some(8),
            head_dim: None,
            rms_norm_eps: 1e-5,
            hidden_act: default_hidden_act(),
            attention_bias: false,
            mlp_bias: false,
            attention_dropout: 0.0,
            rope_theta: 500_000.0,
            rope_scaling: Some(RopeScaling::llama3(factor)),
            tie_word_embeddings: false,
            bos_token_id: 128_000,
            eos_token_id: Ends::One(128_001),
        }
    }

    /// Parse and check the text of a `config.json`; `file` is for messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let wrong = |e: serde_json::Error| Error::input(file, "", e.to_string(), SUPPORTED);
        let mut json: Value = serde_json::from_str(text).map_err(wrong)?;
        // Transformers 5 writes both of these as one field.
        if let Some(parameters) = json.get_mut("rope_parameters").map(Value::take).filter(|p| !p.is_null()) {
            if let Some(theta) = parameters.get("rope_theta") {
                json["rope_theta"] = theta.clone();
            }
            json["rope_scaling"] = parameters;
        }
        // Older files have another name for the kind, and a kind that is none.
        if let Some(scaling) = json.get_mut("rope_scaling").and_then(Value::as_object_mut) {
            if let Some(kind) = scaling.remove("type") {
                scaling.entry("rope_type").or_insert(kind);
            }
            let kind = scaling.get("rope_type").cloned().unwrap_or_default();
            match kind.as_str() {
                Some("llama3") => {}
                Some("default") => json["rope_scaling"] = Value::Null,
                _ => {
                    let remedy = "this program has the types default and llama3: give the folder of a Llama 3, 3.1 or 3.2";
                    return Err(Error::input(
                        file,
                        "rope_scaling.rope_type",
                        format!("{kind} is not supported"),
                        remedy,
                    ));
                }
            }
        }
        let config: Self = serde_json::from_value(json).map_err(wrong)?;
        config.check(file)?;
        Ok(config)
    }

    /// Refuse what this network is not, naming the field; `file` is for messages.
    pub fn check(&self, file: &Path) -> Result<()> {
        let fields = ConfigFields(file);
        let bad = |field: &str, value: String, remedy: &str| Err(fields.unsupported(field, &value, remedy));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.key_value_heads()),
        ];
        fields.sizes(&sizes)?;
        if self.num_attention_heads % self.key_value_heads() != 0 {
            let remedy = "the heads of the queries are a multiple of these";
            return bad("num_key_value_heads", self.key_value_heads().to_string(), remedy);
        }
        if !(2..=1 << 12).contains(&self.head_dim()) || self.head_dim() % 2 != 0 {
            return bad("head_dim", self.head_dim().to_string(), "released models have 64 or 128");
        }
        if self.hidden_act != "silu" {
            return bad("hidden_act", format!("{:?}", self.hidden_act), SUPPORTED);
        }
        for (field, has) in [("attention_bias", self.attention_bias), ("mlp_bias", self.mlp_bias)] {
            if has {
                return bad(field, "true".to_owned(), SUPPORTED);
            }
        }
        fields.dropout("attention_dropout", self.attention_dropout)?;
        fields.epsilon("rms_norm_eps", self.rms_norm_eps, "1e-5")?;
        if !(self.rope_theta >= 1.0 && self.rope_theta.is_finite()) {
            return bad("rope_theta", self.rope_theta.to_string(), "released models have 500000");
        }
        if let Some(field) = self.rope_scaling.as_ref().and_then(RopeScaling::impossible) {
            let field = format!("rope_scaling.{field}");
            return bad(&field, "its value".to_owned(), "download config.json again");
        }
        if self.eos_token_id.ids().is_empty() {
            return bad("eos_token_id", "[]".to_owned(), "name the token that ends a text");
        }
        let mut ids: Vec<(&str, i64)> =
            self.eos_token_id.ids().iter().map(|id| ("eos_token_id", *id)).collect();
        ids.push(("bos_token_id", self.bos_token_id));
        fields.ids(&ids, self.vocab_size)
    }

    /// Heads of keys and values.
    pub fn key_value_heads(&self) -> i64 {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> i64 {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// See [`inverse_frequencies`].
    pub fn inverse_frequencies(&self) -> Vec<f64> {
        inverse_frequencies(self.head_dim(), self.rope_theta, self.rope_scaling.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the hub has it.
    const LLAMA_32_3B: &str = r#"{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": 128001, "head_dim": 128, "hidden_act": "silu", "hidden_size": 3072,
        "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
        "model_type": "llama", "num_attention_heads": 24, "num_hidden_layers": 28, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0,
        "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
        "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 128256}"#;

    fn parse(from: &str, to: &str) -> Result<LlamaConfig> {
        let text = LLAMA_32_3B.replace(from, to);
        assert!(from == to || text != LLAMA_32_3B, "{from} is not in the example");
        LlamaConfig::parse(&text, Path::new("config.json"))
    }

    #[test]
    fn the_files_of_the_hub_are_the_presets() -> Result<()> {
        assert_eq!(parse("", "")?, LlamaConfig::llama32_3b());
        let of_8b = LLAMA_32_3B
            .replace("3072", "4096")
            .replace("\"intermediate_size\": 8192", "\"intermediate_size\": 14336")
            .replace("heads\": 24", "heads\": 32")
            .replace("layers\": 28", "layers\": 32")
            .replace("32.0", "8.0")
            .replace("\"head_dim\": 128, ", "")
            .replace("embeddings\": true", "embeddings\": false");
        assert_eq!(LlamaConfig::parse(&of_8b, Path::new("config.json"))?, LlamaConfig::llama31_8b());
        let instruct = parse("_id\": 128001", "_id\": [128001, 128008, 128009]")?;
        assert_eq!(instruct.eos_token_id.ids(), [128_001, 128_008, 128_009]);
        Ok(())
    }

    /// The rotary embedding as other versions of transformers write it.
    #[test]
    fn forms_of_the_rope() -> Result<()> {
        let five = parse("\"rope_scaling\": {", "\"rope_parameters\": {\"rope_theta\": 500000.0, ")?;
        assert_eq!(five, LlamaConfig::llama32_3b());
        assert_eq!(parse("\"rope_type\": \"llama3\"", "\"type\": \"llama3\"")?, LlamaConfig::llama32_3b());
        assert_eq!(parse("\"rope_type\": \"llama3\"", "\"rope_type\": \"default\"")?.rope_scaling, None);
        for kind in ["linear", "dynamic", "yarn", "longrope"] {
            let error =
                parse("\"llama3\"", &format!("\"{kind}\"")).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains("config.json, rope_scaling.rope_type") && error.contains(kind), "{error}");
            assert!(error.contains("default and llama3") && !error.contains('\n'), "{error}");
        }
        Ok(())
    }

    #[test]
    fn what_the_network_is_not_is_refused_by_field() {
        for (from, to, field) in [
            ("\"silu\"", "\"gelu\"", "hidden_act"),
            ("attention_bias\": false", "attention_bias\": true", "attention_bias"),
            ("mlp_bias\": false", "mlp_bias\": true", "mlp_bias"),
            ("heads\": 24", "heads\": 25", "num_key_value_heads"),
            ("\"head_dim\": 128", "\"head_dim\": 127", "head_dim"),
            ("\"hidden_size\": 3072", "\"hidden_size\": 0", "hidden_size"),
            ("\"hidden_size\": 3072,", "", "hidden_size"),
            ("_id\": 128001", "_id\": 128256", "eos_token_id"),
            ("_id\": 128001", "_id\": []", "eos_token_id"),
            ("\"factor\": 32.0", "\"factor\": 0", "rope_scaling.factor"),
            ("\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0", "rope_scaling.high_freq_factor"),
        ] {
            let error = parse(from, to).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(field) && error.contains("; "), "{to}: {error}");
        }
    }
}
