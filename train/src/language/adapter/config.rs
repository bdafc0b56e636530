//! `adapter_config.json`: which of its fields and values are understood.
//!
//! PEFT keeps some thirty kinds of adapters apart by the fields of this one file. A field that is taken for harmless and is
//! not gives a model that computes something else without a word, so that the rule is a list of what is understood:
//! every other field must say nothing.

use crate::language::lora::{LoraConfig, MOST_RANKS, OfFile};
use crate::language::targets::{AdapterNames, Patterns, Targets};
use serde_json::{Map, Value, json};
use signclip_common::{Error, Result};
use std::path::Path;

/// Name of the file.
pub(super) const CONFIG: &str = "adapter_config.json";

/// Fields that [`parse`] reads; it checks their values.
const READ: [&str; 10] = [
    "peft_type",
    "bias",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "init_lora_weights",
];

/// Fields that change nothing that a loaded adapter computes, whatever they say: where it comes from, and settings of what
/// another field switches on, which is refused there.
const WITHOUT_EFFECT: [&str; 14] = [
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_version",
    "revision",
    "runtime_config",
    "task_type",
    // Of the initialisation that `init_lora_weights` names. PEFT leaves them in when it turns one into plain LoRA.
    "corda_config",
    "eva_config",
    "loftq_config",
    "lora_ga_config",
    // Of `megatron_config` and `use_qalora`.
    "megatron_core",
    "qalora_group_size",
    // Of PEFT before 0.3: when to add the update to the weights.
    "merge_weights",
];

/// Initialisations that leave the base model as it is. They leave no trace in a trained adapter.
/// The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take the adapter's first value out of the base model's weights, which
/// the adapter's file does not show.
const PLAIN_INITIALISATIONS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// What to do with an adapter that PEFT can load and this program cannot.
pub(super) const MERGE: &str = "add it to its model with PEFT (merge_and_unload, then save_pretrained) and give that folder as \
    language_model.path, or train a plain LoRA adapter";

/// The text of the file for an adapter of the model in `base`, with the smallest set of fields, which every version of
/// PEFT from 0.7.1 on reads: old ones refuse fields that they do not know.
pub(super) fn text(config: &LoraConfig, names: &AdapterNames, base: Option<&Path>) -> String {
    let mut json = json!({
        "peft_type": "LORA",
        "task_type": names.task_type,
        "base_model_name_or_path": base,
        "inference_mode": true,
        "r": config.r,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "bias": "none",
        "fan_in_fan_out": false,
        "target_modules": config.targets_in(names),
        "modules_to_save": null,
    });
    // Fields of later versions only where the adapter came from one.
    let OfFile { rslora, ranks, alphas, .. } = &config.of_file;
    let ranks: Map<String, Value> = ranks.entries().map(|(k, v)| (k.to_owned(), v.into())).collect();
    let alphas: Map<String, Value> = alphas.entries().map(|(k, v)| (k.to_owned(), v.into())).collect();
    let later = [
        ("use_rslora", rslora.then_some(Value::Bool(true))),
        ("rank_pattern", (!ranks.is_empty()).then_some(Value::Object(ranks))),
        ("alpha_pattern", (!alphas.is_empty()).then_some(Value::Object(alphas))),
    ];
    for (field, value) in later {
        if let Some(value) = value {
            json[field] = value;
        }
    }
    format!("{json:#}\n")
}

/// The configuration in the text of a file; `file` is for messages. Errors: a field that is not understood, or a value.
pub(super) fn parse(text: &str, file: &Path) -> Result<LoraConfig> {
    let refused = |field: &str, what: String| Error::input(file, field, what, MERGE);
    let malformed = |field: &str, what: String| {
        Error::input(file, field, what, "save the adapter again with PEFT, or correct the file")
    };
    let json: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
        Error::input(file, format!("line {}", e.line()), e.to_string(), "copy the adapter's folder again")
    })?;
    let field = |name: &str| json.get(name).unwrap_or(&Value::Null);
    let unsupported = |name: &str| Err(refused(name, format!("{} is not supported", field(name))));
    if field("peft_type") != "LORA" {
        return unsupported("peft_type");
    }
    for (name, value) in &json {
        let understood = READ.contains(&name.as_str()) || WITHOUT_EFFECT.contains(&name.as_str());
        if !understood && says_something(value) {
            return match name.as_str() {
                "alora_invocation_tokens" => {
                    let remedy = "such an adapter works behind these tokens only and cannot be merged; train a plain \
                        LoRA adapter";
                    Err(Error::input(file, name, format!("{value} is not supported"), remedy))
                }
                name => unsupported(name),
            };
        }
    }
    if !field("bias").is_null() && field("bias") != "none" {
        return unsupported("bias");
    }
    let plain = match field("init_lora_weights") {
        Value::Null | Value::Bool(_) => true,
        Value::String(name) => PLAIN_INITIALISATIONS.contains(&name.to_lowercase().as_str()),
        _ => false,
    };
    if !plain {
        let what = format!(
            "{} is not supported: it changes the base model's weights, not the adapter alone",
            field("init_lora_weights")
        );
        return Err(refused("init_lora_weights", what));
    }
    let rslora = match field("use_rslora") {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        value => return Err(malformed("use_rslora", format!("{value} where true or false is wanted"))),
    };
    let number = |name: &str, value: &Value| {
        let what = || malformed(name, format!("{value} where a number is wanted"));
        value.as_f64().ok_or_else(what)
    };
    let rank = |name: &str, value: &Value| {
        let what = || {
            malformed(name, format!("{value} where a rank is wanted, a whole number from 1 to {MOST_RANKS}"))
        };
        value.as_i64().filter(|r| (1..=MOST_RANKS).contains(r)).ok_or_else(what)
    };
    let dropout = match field("lora_dropout") {
        Value::Null => 0.0,
        value => number("lora_dropout", value)?,
    };
    let targets: Targets = serde_json::from_value(field("target_modules").clone())
        .map_err(|_| malformed("target_modules", "neither a list of names nor an expression".to_owned()))?;
    let config = LoraConfig {
        r: rank("r", field("r"))?,
        alpha: number("lora_alpha", field("lora_alpha"))?,
        dropout,
        targets: Some(targets),
        of_file: OfFile {
            read: true,
            rslora,
            ranks: patterns(field("rank_pattern"), |value| rank("rank_pattern", value)).ok_or_else(
                || malformed("rank_pattern", "not an object of patterns and ranks".to_owned()),
            )??,
            alphas: patterns(field("alpha_pattern"), |value| number("alpha_pattern", value)).ok_or_else(
                || malformed("alpha_pattern", "not an object of patterns and numbers".to_owned()),
            )??,
        },
    };
    config.check().map_err(|e| malformed("", e.to_string()))?;
    Ok(config)
}

/// The patterns of a field that is an object, or nothing where it is something else.
fn patterns<T: Copy>(field: &Value, value: impl Fn(&Value) -> Result<T>) -> Option<Result<Patterns<T>>> {
    let object = match field {
        Value::Null => return Some(Patterns::new([])),
        Value::Object(object) => object,
        _ => return None,
    };
    let entries = object.iter().map(|(pattern, v)| Ok((pattern.clone(), value(v)?)));
    Some(entries.collect::<Result<Vec<_>>>().and_then(Patterns::new))
}

/// Whether a field says anything: not null, not false, not empty.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file as PEFT 0.21 writes it, with `more` in place of its own fields.
    fn read(more: Value) -> Result<LoraConfig> {
        let mut json = json!({
            "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
            "base_model_name_or_path": "google/flan-t5-xl", "bias": "none", "corda_config": null,
            "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
            "inference_mode": true, "init_lora_weights": true, "kasa_config": null, "layer_replication": null,
            "layers_pattern": null, "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 16, "lora_bias": false,
            "lora_dropout": 0.05, "lora_ga_config": null, "megatron_config": null, "megatron_core": "megatron.core",
            "modules_to_save": null, "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2",
            "qalora_group_size": 16, "r": 8, "rank_pattern": {}, "revision": null, "target_modules": ["q", "v"],
            "target_parameters": null, "task_type": "SEQ_2_SEQ_LM", "trainable_token_indices": null, "use_bdlora": null,
            "use_dora": false, "use_qalora": false, "use_rslora": false, "velora_config": null,
        });
        for (field, value) in more.as_object().expect("fields") {
            json[field] = value.clone();
        }
        parse(&json.to_string(), Path::new(CONFIG))
    }

    #[test]
    fn what_is_plain_lora_is_read() -> Result<()> {
        let plain = read(json!({}))?;
        assert_eq!((plain.r, plain.alpha, plain.dropout), (8, 16.0, 0.05));
        assert_eq!(plain.rank_and_scale("decoder.block.0.layer.0.SelfAttention.q"), (8, 2.0));
        for more in [
            json!({ "init_lora_weights": false }),
            json!({ "init_lora_weights": null }),
            json!({ "init_lora_weights": "gaussian" }),
            json!({ "init_lora_weights": "eva", "eva_config": { "rho": 2.0 } }),
            json!({ "init_lora_weights": "orthogonal" }),
            json!({ "init_lora_weights": "mica" }),
            // Turned into plain LoRA by PEFT, which leaves the rest.
            json!({ "corda_config": { "corda_method": "ipm" }, "lora_ga_config": { "direction": "ArB2r" } }),
            json!({ "loftq_config": { "loftq_bits": 4 }, "runtime_config": { "ephemeral_gpu_offload": false } }),
            json!({ "some_future_field": null, "another": false, "a_third": [], "a_fourth": {}, "a_fifth": "" }),
            json!({ "megatron_core": "mine", "revision": "main", "task_type": null, "peft_version": "99" }),
            json!({ "modules_to_save": [], "exclude_modules": [], "rank_pattern": null, "alpha_pattern": null }),
        ] {
            assert_eq!(read(more.clone())?, plain, "{more}");
        }
        Ok(())
    }

    #[test]
    fn ranks_and_scales_of_patterns() -> Result<()> {
        let config = read(json!({
            "use_rslora": true, "rank_pattern": { "SelfAttention.q": 4 }, "alpha_pattern": { r".*\.v": 12 }
        }))?;
        assert_eq!(config.rank_and_scale("encoder.block.0.layer.0.SelfAttention.q"), (4, 8.0));
        let (r, scale) = config.rank_and_scale("encoder.block.0.layer.0.SelfAttention.v");
        assert_eq!((r, scale), (8, 12.0 / 8_f64.sqrt()));
        Ok(())
    }

    /// Whatever would compute something else, or is not known, is refused in one line with its name.
    #[test]
    fn what_would_compute_something_else_is_refused() {
        let initialisations =
            ["pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq", "lora_ga", "of the future"];
        let initialisations = initialisations.map(|name| ("init_lora_weights", json!(name)));
        let others = [
            ("init_lora_weights", json!(1)),
            ("alora_invocation_tokens", json!([5, 6])),
            ("arrow_config", json!({ "top_k": 2 })),
            ("bias", json!("all")),
            ("ensure_weight_tying", json!(true)),
            ("exclude_modules", json!(["o"])),
            ("exclude_modules", json!("decoder.*")),
            ("fan_in_fan_out", json!(true)),
            ("kasa_config", json!({ "beta": 0.1 })),
            ("layer_replication", json!([[0, 2], [1, 3]])),
            ("layers_pattern", json!("block")),
            ("layers_to_transform", json!([1])),
            ("layers_to_transform", json!(0)),
            ("lora_bias", json!(true)),
            ("megatron_config", json!({ "a": 1 })),
            ("modules_to_save", json!(["lm_head"])),
            ("monteclora_config", json!({ "num_samples": 8 })),
            ("target_parameters", json!(["wi_0.weight"])),
            ("trainable_token_indices", json!([1])),
            ("trainable_token_indices", json!({ "embed_tokens": [1] })),
            ("use_bdlora", json!({ "nblocks": 2 })),
            ("use_dora", json!(true)),
            ("use_qalora", json!(true)),
            ("velora_config", json!({ "num_groups": 4 })),
            ("some_future_field", json!(7)),
            ("another", json!(true)),
            ("a_third", json!("on")),
            ("peft_type", json!("IA3")),
            ("peft_type", json!(null)),
            // Values that must not be rounded, cut or passed over.
            ("r", json!(0)),
            ("r", json!(8.5)),
            ("r", json!(-1)),
            ("r", json!(65_537)),
            ("r", json!(1_u64 << 31)),
            ("r", json!(u64::MAX)),
            ("r", json!(1e300)),
            ("r", json!("8")),
            ("r", json!(null)),
            ("lora_alpha", json!("16")),
            ("lora_dropout", json!("0.1")),
            ("lora_dropout", json!(1.5)),
            ("use_rslora", json!("true")),
            ("use_rslora", json!(1)),
            ("rank_pattern", json!([["q", 4]])),
            ("rank_pattern", json!({ "q": 4.5 })),
            ("rank_pattern", json!({ "q": 0 })),
            ("rank_pattern", json!({ "q": 1_u64 << 31 })),
            ("alpha_pattern", json!("q")),
            ("alpha_pattern", json!({ "q": null })),
            ("target_modules", json!(3)),
            ("target_modules", json!(null)),
            ("target_modules", json!(["q", 3])),
        ];
        for (field, value) in initialisations.into_iter().chain(others) {
            let more = json!({ field: value });
            let error = read(more.clone()).err().map(|e| e.to_string()).unwrap_or_default();
            let named = error.contains(field) || (field == "lora_dropout" && error.contains("lora.dropout"));
            let said = named && error.contains(CONFIG) && error.contains("; ") && !error.contains('\n');
            assert!(said, "{more}: {error}");
        }
    }
}
