//! Adapters as Hugging Face PEFT keeps them: a folder with `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Written with the smallest set of fields, which every version of PEFT from 0.7.1 on reads: it refuses fields that it
//! does not know. Read with any fields; those that change the arithmetic are followed or refused.

use crate::lora::{LoraConfig, LoraPair, OfFile};
use crate::model::Named;
use crate::targets::{Patterns, Targets};
use serde_json::{Map, Value, json};
use signclip_common::safetensors_file::{self, SafetensorsFile};
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, atomic};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor, no_grad_guard};

const CONFIG: &str = "adapter_config.json";
const MODEL: &str = "adapter_model.safetensors";
/// What PEFT puts before the module paths of the base model.
const PREFIX: &str = "base_model.model.";

/// Write an adapter of the model in `base` as a PEFT folder. `parameters` are those of its weights, under PEFT's names.
pub fn save(folder: &Path, config: &LoraConfig, base: Option<&Path>, parameters: &Named) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let table: Vec<_> = parameters.iter().map(|(name, t)| (name.clone(), t.kind(), t.size())).collect();
    atomic::write_with(&folder.join(MODEL), |file| {
        safetensors_file::write(file, &[], &table, |i| Ok(parameters[i].1.shallow_clone()))
    })?;
    let mut json = json!({
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": base,
        "inference_mode": true,
        "r": config.r,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "bias": "none",
        "fan_in_fan_out": false,
        "target_modules": config.targets,
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
    let text = serde_json::to_string_pretty(&json).unwrap_or_default() + "\n";
    atomic::write(&folder.join(CONFIG), text.as_bytes())
}

/// Read the folder of an adapter: its configuration, and its weights in float32.
pub fn open(folder: &Path, device: Device) -> Result<(LoraConfig, Weights)> {
    let file = folder.join(CONFIG);
    if !file.is_file() {
        let what = format!("no {CONFIG} here");
        return Err(Error::input(folder, "", what, "give the folder that PEFT or train wrote"));
    }
    let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
    let config = parse(&text, &file)?;
    let model = folder.join(MODEL);
    if !model.is_file() && folder.join("adapter_model.bin").is_file() {
        let what = "the adapter is a pickle, adapter_model.bin";
        return Err(Error::input(folder, "", what, "save it with safe_serialization=True"));
    }
    Ok((config, Weights::open(&model, device, Kind::Float)?))
}

/// Copy the adapter of folder `from`.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    open(from, Device::Cpu)?;
    std::fs::create_dir_all(to).map_err(Error::io(to))?;
    for name in [MODEL, CONFIG] {
        let file = from.join(name);
        let bytes = std::fs::read(&file).map_err(Error::io(&file))?;
        atomic::write(&to.join(name), &bytes)?;
    }
    Ok(())
}

/// Whether the adapters of two folders are the same to the last byte.
pub fn is_same(one: &Path, other: &Path) -> bool {
    [MODEL, CONFIG].iter().all(|name| {
        let read = |folder: &Path| std::fs::read(folder.join(name)).ok();
        read(one).is_some_and(|bytes| read(other) == Some(bytes))
    })
}

/// The configuration in the text of an `adapter_config.json`; `file` is for messages.
fn parse(text: &str, file: &Path) -> Result<LoraConfig> {
    let wrong = |field: &str, what: String| {
        Error::input(file, field, what, "give a LoRA adapter of PEFT for a sequence-to-sequence model")
    };
    let json: Value = serde_json::from_str(text).map_err(|e| wrong("", e.to_string()))?;
    if json["peft_type"] != "LORA" {
        return Err(wrong("peft_type", format!("{} is not supported", json["peft_type"])));
    }
    if !json["bias"].is_null() && json["bias"] != "none" {
        return Err(wrong("bias", format!("{} is not supported", json["bias"])));
    }
    // Every one of these changes which layers are adapted, or how.
    for field in [
        "use_dora",
        "fan_in_fan_out",
        "lora_bias",
        "modules_to_save",
        "layers_to_transform",
        "layer_replication",
        "exclude_modules",
        "target_parameters",
        "trainable_token_indices",
    ] {
        if is_set(&json[field]) {
            return Err(wrong(field, format!("{} is not supported", json[field])));
        }
    }
    let number = |field: &str| json[field].as_f64().ok_or_else(|| wrong(field, "not a number".to_owned()));
    let targets: Targets = serde_json::from_value(json["target_modules"].clone())
        .map_err(|_| wrong("target_modules", "neither a list of names nor an expression".to_owned()))?;
    let entries = |field: &str| json[field].as_object().cloned().unwrap_or_default().into_iter();
    let value = |field: &'static str, (pattern, value): (String, Value)| {
        value.as_f64().map(|v| (pattern, v)).ok_or_else(|| wrong(field, "not a number".to_owned()))
    };
    let ranks = entries("rank_pattern").map(|e| value("rank_pattern", e).map(|(p, v)| (p, v as i64)));
    let alphas = entries("alpha_pattern").map(|e| value("alpha_pattern", e));
    let config = LoraConfig {
        r: number("r")? as i64,
        alpha: number("lora_alpha")?,
        dropout: json["lora_dropout"].as_f64().unwrap_or(0.0),
        targets,
        of_file: OfFile {
            read: true,
            rslora: json["use_rslora"] == true,
            ranks: Patterns::new(ranks.collect::<Result<Vec<_>>>()?)?,
            alphas: Patterns::new(alphas.collect::<Result<Vec<_>>>()?)?,
        },
    };
    config.check().map_err(|e| wrong("", e.to_string()))?;
    Ok(config)
}

/// Whether a field says something other than its default of nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

/// Write the model of folder `base` with the adapter of folder `adapter` added to its weights, as a folder that
/// transformers and [`crate::t5::T5`] read without any adapter. One tensor is in memory at a time.
pub fn merge(base: &Path, adapter: &Path, out: &Path) -> Result<()> {
    let _no_grad = no_grad_guard();
    let (config, _) = open(adapter, Device::Cpu)?;
    let updates = SafetensorsFile::open(&adapter.join(MODEL))?;
    let key = |module: &str, part: &str| format!("{PREFIX}{module}.{part}.weight");
    let files = safetensors_file::open_all(base)?;
    let has = |weight: &str| files.iter().any(|file| file.shape(weight).is_some());
    for name in updates.names().filter(|name| name.contains(".lora_A.")) {
        let module = name.strip_prefix(PREFIX).unwrap_or(name).replace(".lora_A.", ".");
        if !has(&module) {
            let what = format!("the base model has no layer for {name}");
            return Err(Error::input(adapter.join(MODEL), "", what, "give the model that it was trained on"));
        }
    }
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    for file in files {
        let names: Vec<&str> = file.names().collect();
        let entry = |&name: &&str| {
            let shape = file.shape(name).unwrap_or_default().to_vec();
            (name.to_owned(), file.kind(name).unwrap_or(Kind::Float), shape)
        };
        let table: Vec<_> = names.iter().map(entry).collect();
        let get = |file: &SafetensorsFile, name: &str| -> Result<Tensor> {
            file.tensor(name)
                .unwrap_or_else(|| Err(Error::input(&file.path, name, "missing", "save it again")))
        };
        let merged = |i: usize| -> Result<Tensor> {
            let weight = get(&file, names[i])?;
            let module = names[i].strip_suffix(".weight").unwrap_or_default();
            let a_name = key(module, "lora_A");
            if updates.shape(&a_name).is_none() {
                return Ok(weight);
            }
            let (a_ri, b_or) = (get(&updates, &a_name)?, get(&updates, &key(module, "lora_B"))?);
            let pair = LoraPair::new(a_ri, b_or, config.rank_and_scale(module).1);
            Ok((weight.to_kind(Kind::Float) + pair.delta()).to_kind(weight.kind()))
        };
        let path = out.join(file.path.file_name().unwrap_or_default());
        atomic::write_with(&path, |file| safetensors_file::write(file, &[], &table, merged))?;
    }
    for entry in std::fs::read_dir(base).map_err(Error::io(base))?.flatten() {
        let from: PathBuf = entry.path();
        // Configuration and tokenizer; not the unmerged weights in other formats that a clone of a hub has.
        let wanted = |ext: &std::ffi::OsStr| ext == "json" || ext == "model" || ext == "txt";
        if from.is_file() && from.extension().is_some_and(wanted) {
            std::fs::copy(&from, out.join(entry.file_name())).map_err(Error::io(&from))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM", "r": 8, "lora_alpha": 16,
        "lora_dropout": 0.05, "bias": "none", "fan_in_fan_out": false, "target_modules": ["q", "v"],
        "modules_to_save": null, "base_model_name_or_path": "google/flan-t5-xl", "inference_mode": true"#;

    fn read(more: &str) -> Result<LoraConfig> {
        parse(&format!("{MINIMAL}{more}}}"), Path::new(CONFIG))
    }

    #[test]
    fn fields_of_later_versions() -> Result<()> {
        let config =
            read(r#", "use_dora": false, "loftq_config": {}, "eva_config": null, "some_future_field": 7"#)?;
        assert_eq!((config.r, config.alpha, config.dropout), (8, 16.0, 0.05));
        assert_eq!(config.rank_and_scale("decoder.block.0.layer.0.SelfAttention.q"), (8, 2.0));
        let config = read(
            r#", "use_rslora": true, "rank_pattern": {"SelfAttention.q": 4}, "alpha_pattern": {".*\\.v": 12}"#,
        )?;
        assert_eq!(config.rank_and_scale("encoder.block.0.layer.0.SelfAttention.q"), (4, 8.0));
        let (r, scale) = config.rank_and_scale("encoder.block.0.layer.0.SelfAttention.v");
        assert_eq!((r, scale), (8, 12.0 / 8_f64.sqrt()));
        Ok(())
    }

    #[test]
    fn what_would_compute_something_else_is_refused() {
        for (more, field) in [
            (r#", "use_dora": true"#, "use_dora"),
            (r#", "exclude_modules": ["o"]"#, "exclude_modules"),
            (r#", "layers_to_transform": [1]"#, "layers_to_transform"),
            (r#", "bias": "all""#, "bias"),
            (r#", "modules_to_save": ["lm_head"]"#, "modules_to_save"),
            (r#", "target_modules": 3"#, "target_modules"),
            (r#", "peft_type": "IA3""#, "peft_type"),
            (r#", "r": 0"#, "r is 0"),
        ] {
            // The last of two equal keys counts.
            let error = read(more).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(
                error.contains(field) && error.contains(CONFIG) && !error.contains('\n'),
                "{more}: {error}"
            );
        }
    }

    /// What is saved is read back, and the file has none of the fields that an old PEFT would refuse.
    #[test]
    fn round_trip() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let targets = Targets::Pattern(r".*\.(q|v)".to_owned());
        let config = LoraConfig { r: 2, alpha: 3.0, dropout: 0.0, targets, ..LoraConfig::default() };
        let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).reshape([2, 2]);
        let name = format!("{PREFIX}encoder.q.lora_A.weight");
        save(folder.path(), &config, None, &vec![(name.clone(), a.copy())])?;
        let json: Value = serde_json::from_str(
            &std::fs::read_to_string(folder.path().join(CONFIG)).map_err(Error::io(CONFIG))?,
        )
        .unwrap_or_default();
        assert!(json.get("use_rslora").is_none() && json.get("rank_pattern").is_none(), "{json}");
        let (read, _) = open(folder.path(), Device::Cpu)?;
        let of_file = OfFile { read: true, ..OfFile::default() };
        assert_eq!(read, LoraConfig { of_file, ..config });
        let stored = SafetensorsFile::open(&folder.path().join(MODEL))?;
        assert_eq!(stored.tensor(&name).transpose()?, Some(a));
        Ok(())
    }
}
