//! The language model with an adapter added to its weights.

use super::config;
use super::folder::{PREFIX, files, open, part_of};
use crate::language::family::LanguageConfig;
use crate::language::lora::{LoraConfig, LoraPair, same_weight};
use crate::language::targets::Matcher;
use crate::language::tied_head::TiedHead;
use serde_json::{Value, json};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::tensor_file::{self, TensorFile};
use signclip_common::{Error, Result, atomic, safetensors_file};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad_guard};

/// The output layer, and its weight in a file.
const HEAD: &str = "lm_head";
const HEAD_WEIGHT: &str = "lm_head.weight";

/// Write the model of folder `base` with the adapter of folder `adapter` added to its weights, as a folder that
/// transformers and [`crate::language::LanguageModel`] read without any adapter. One tensor is in memory at a time.
///
/// An output layer that shares its weight with the embeddings gets one of its own where the adapter changes it: the
/// embeddings stay as they are, as they do beside the adapter. The scale of its input, which goes with the sharing, is
/// multiplied into the weight.
pub fn merge(base: &Path, adapter: &Path, out: &Path) -> Result<()> {
    let _no_grad = no_grad_guard();
    let (lora, _) = open(adapter, Device::Cpu)?;
    let updates = TensorFile::open(&files(adapter)?.1)?;
    let config = LanguageConfig::read(base)?;
    let targets = lora.targets_in(config.adapter_names()).matcher()?;
    let mut merging = Merging { lora, targets, updates, files: tensor_file::open_all(base)?, shared: None };
    if merging.pair(HEAD)?.is_some() {
        merging.shared = config.tied_head(|name| merging.has(name));
    }
    merging.check()?;
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let names: Vec<String> = match merging.files.len() {
        1 => vec!["model.safetensors".to_owned()],
        n => (1..=n).map(|i| format!("model-{i:05}-of-{n:05}.safetensors")).collect(),
    };
    let mut weight_map = BTreeMap::new();
    let mut bytes = 0;
    for (file, name) in merging.files.iter().zip(&names) {
        let table = merging.table(file);
        for (tensor, kind, shape) in &table {
            weight_map.insert(tensor.clone(), name.as_str());
            bytes += shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
        }
        atomic::write_with(&out.join(name), |to| {
            safetensors_file::write(to, &[], &table, |i| merging.tensor(&table[i].0))
        })?;
    }
    if names.len() > 1 {
        let index = json!({ "metadata": { "total_size": bytes }, "weight_map": weight_map });
        write_json(&out.join("model.safetensors.index.json"), &index)?;
    }
    copy_the_rest(base, out)?;
    if let Some(shared) = &merging.shared {
        let file = base.join("config.json");
        let text = regular_file::read_to_string(&file, SETTINGS).map_err(Error::io(&file))?;
        let mut config: Value = serde_json::from_str(&text).map_err(|e| {
            Error::input(&file, format!("line {}", e.line()), e.to_string(), "download it again")
        })?;
        for (field, value) in shared.untied.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        write_json(&out.join("config.json"), &config)?;
    }
    Ok(())
}

/// What is merged.
struct Merging {
    lora: LoraConfig,
    targets: Matcher,
    updates: TensorFile,
    files: Vec<TensorFile>,
    /// The output layer that shares its weight with the embeddings, where it gets one of its own.
    shared: Option<TiedHead>,
}

impl Merging {
    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.has(name))
    }

    /// Name of the embeddings that the output layer shares its weight with.
    fn embeddings(&self) -> Option<&'static str> {
        self.shared.as_ref().map(|shared| shared.embeddings)
    }

    /// Every tensor of the adapter must belong to an update of a layer that its configuration selects and that the base
    /// model has.
    fn check(&self) -> Result<()> {
        let refuse = |name: &str, what: String, remedy: &str| {
            Err(Error::input(self.updates.path(), name, what, remedy.to_owned()))
        };
        const OTHER_MODEL: &str = "give the model that it was trained on";
        const AGAIN: &str = "save the adapter again with PEFT";
        for name in self.updates.names() {
            let Some((part, module)) = part_of(name) else { continue };
            if self.targets.target_of(module).is_none() {
                let what = format!("the target_modules of {} do not select this layer", config::CONFIG);
                return refuse(name, what, AGAIN);
            }
            let weight = format!("{module}.weight");
            let base = self.embeddings().filter(|_| module == HEAD).unwrap_or(&weight);
            let Some(shape) = self.files.iter().find_map(|file| file.shape(base)) else {
                return refuse(name, "the base model has no such layer".to_owned(), OTHER_MODEL);
            };
            let r = self.lora.rank_and_scale(module).0;
            let wanted = match (part, shape.as_slice()) {
                ("lora_A", [_, inputs]) => vec![r, *inputs],
                ("lora_B", [outputs, _]) => vec![*outputs, r],
                _ => shape,
            };
            let found = self.updates.shape(name).unwrap_or_default();
            if found != wanted {
                return refuse(name, format!("{found:?} where {wanted:?} is wanted"), OTHER_MODEL);
            }
            if let ("base_layer", Some(base)) = (part, self.read(base))
                && !same_weight(&self.update(name)?, &base?)
            {
                let what = "a copy of another model's weight: PEFT would put it in place of this one's";
                return refuse(name, what.to_owned(), OTHER_MODEL);
            }
            let other = match part {
                "lora_A" => Some("lora_B"),
                "lora_B" => Some("lora_A"),
                _ => None,
            };
            if let Some(other) = other.map(|other| format!("{PREFIX}{module}.{other}.weight"))
                && !self.updates.has(&other)
            {
                return refuse(&other, "missing".to_owned(), AGAIN);
            }
        }
        Ok(())
    }

    /// The tensors of the merged model that come from `file`.
    fn table(&self, file: &TensorFile) -> Vec<(String, Kind, Vec<i64>)> {
        let entry = |name: &str, of: &str| {
            let kind = file.kind(of).unwrap_or(Kind::Float);
            (name.to_owned(), kind, file.shape(of).unwrap_or_default())
        };
        let own_head = |name: &&str| self.shared.is_none() || *name != HEAD_WEIGHT;
        let mut table: Vec<_> =
            file.names().into_iter().filter(own_head).map(|name| entry(name, name)).collect();
        if let Some(shared) = self.embeddings().filter(|shared| file.has(shared)) {
            table.push(entry(HEAD_WEIGHT, shared));
        }
        table
    }

    /// A tensor of the merged model.
    fn tensor(&self, name: &str) -> Result<Tensor> {
        let shared = self.shared.as_ref().filter(|_| name == HEAD_WEIGHT);
        let weight = self.read(shared.map_or(name, |shared| shared.embeddings)).unwrap_or_else(|| {
            Err(Error::input(self.files[0].path(), name, "missing", "download the model again"))
        })?;
        let Some(pair) = self.pair(name.strip_suffix(".weight").unwrap_or_default())? else {
            return Ok(weight);
        };
        let mut sum = weight.to_kind(Kind::Float) + pair.delta();
        if let Some(shared) = shared {
            sum *= shared.scale;
        }
        Ok(sum.to_kind(weight.kind()))
    }

    /// The update of a layer, if the adapter has one.
    fn pair(&self, module: &str) -> Result<Option<LoraPair>> {
        let key = |part: &str| format!("{PREFIX}{module}.{part}.weight");
        if !self.updates.has(&key("lora_A")) {
            return Ok(None);
        }
        let (a_ri, b_or) = (self.update(&key("lora_A"))?, self.update(&key("lora_B"))?);
        Ok(Some(LoraPair::new(a_ri, b_or, self.lora.rank_and_scale(module).1)))
    }

    /// A tensor of the adapter, float32.
    fn update(&self, name: &str) -> Result<Tensor> {
        let tensor = self.updates.tensor(name).unwrap_or_else(|| {
            Err(Error::input(self.updates.path(), name, "missing", "save the adapter again with PEFT"))
        });
        Ok(tensor?.to_kind(Kind::Float))
    }

    /// A tensor of the base model as it is stored, if it has one.
    fn read(&self, name: &str) -> Option<Result<Tensor>> {
        self.files.iter().find_map(|file| file.tensor(name))
    }
}

/// Copy configuration and tokenizer; not unmerged weights in other formats, which a clone of a hub has, nor their tables.
fn copy_the_rest(base: &Path, out: &Path) -> Result<()> {
    for entry in std::fs::read_dir(base).map_err(Error::io(base))?.flatten() {
        let from = entry.path();
        let wanted = |ending: &std::ffi::OsStr| ending == "json" || ending == "model" || ending == "txt";
        let table = entry.file_name().to_string_lossy().ends_with(".index.json");
        if from.is_file() && from.extension().is_some_and(wanted) && !table {
            atomic::copy(&from, &out.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn write_json(file: &Path, json: &Value) -> Result<()> {
    atomic::write(file, format!("{json:#}\n").as_bytes())
}
