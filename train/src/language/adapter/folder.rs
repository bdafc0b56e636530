//! The folder of an adapter: `adapter_config.json` and `adapter_model.safetensors`.

use super::config::{self, CONFIG};
use crate::language::lora::LoraConfig;
use crate::language::targets::AdapterNames;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::tensor_file::TensorFile;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, atomic, checksum, safetensors_file};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Names of the file of tensors: as PEFT writes it today, and as it was before 0.6.
const MODEL: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// What PEFT puts before the module paths of the base model.
pub(super) const PREFIX: &str = "base_model.model.";

/// Writes an adapter of the model in `base`, of the family with these `names`, as a PEFT folder. `parameters` are those
/// of its weights, under PEFT's names.
pub fn save(
    folder: &Path,
    config: &LoraConfig,
    names: &AdapterNames,
    base: Option<&Path>,
    parameters: &[(String, Tensor)],
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let table: Vec<_> = parameters.iter().map(|(name, t)| (name.clone(), t.kind(), t.size())).collect();
    atomic::write_with(&folder.join(MODEL[0]), |file| {
        safetensors_file::write(file, &[], &table, |i| Ok(parameters[i].1.shallow_clone()))
    })?;
    atomic::write(&folder.join(CONFIG), config::text(config, names, base).as_bytes())
}

/// What of an update a tensor is, and the path of the layer; `None` for one that is not of a linear layer's update, as
/// PEFT has for an embedding table.
pub(super) fn part_of(name: &str) -> Option<(&'static str, &str)> {
    let path = name.strip_prefix(PREFIX)?.strip_suffix(".weight")?;
    let part = |part: &'static str| Some((part, path.strip_suffix(part)?.strip_suffix('.')?));
    ["lora_A", "lora_B", "base_layer"].into_iter().find_map(part)
}

/// Read the folder of an adapter: its configuration, and its weights in float32. Errors: a part of it that is not
/// understood.
pub fn open(folder: &Path, device: Device) -> Result<(LoraConfig, Weights)> {
    let (file, model) = files(folder)?;
    let text = regular_file::read_to_string(&file, SETTINGS).map_err(Error::io(&file))?;
    let config = config::parse(&text, &file)?;
    if let Some(name) = TensorFile::open(&model)?.names().into_iter().find(|name| part_of(name).is_none()) {
        let what = "not the update of a linear layer, and not supported";
        return Err(Error::input(&model, name, what, config::MERGE));
    }
    Ok((config, Weights::open(&model, device, Kind::Float)?))
}

/// The file of tensors in the folder of an adapter.
pub fn weights_file(folder: &Path) -> Result<PathBuf> {
    files(folder).map(|(_, model)| model)
}

/// Copy the adapter of folder `from`.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    open(from, Device::Cpu)?;
    std::fs::create_dir_all(to).map_err(Error::io(to))?;
    let (config, model) = files(from)?;
    for file in [model, config] {
        atomic::copy(&file, &to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Whether the adapters of two folders are the same to the last byte.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let sums = |folder: &Path| {
        let (config, model) = files(folder).ok()?;
        Some((checksum::of_file(&config).ok()?, checksum::of_file(&model).ok()?))
    };
    sums(one).is_some_and(|one| sums(other) == Some(one))
}

/// The configuration and the tensors in a folder. Errors: what is not there, all in one line.
pub(super) fn files(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let config = folder.join(CONFIG);
    let model = MODEL.iter().map(|name| folder.join(name)).find(|file| file.exists());
    let missing = [(!config.exists()).then_some(CONFIG), model.is_none().then_some(MODEL[0])];
    let missing: Vec<&str> = missing.into_iter().flatten().collect();
    match model.filter(|_| missing.is_empty()) {
        Some(model) => Ok((config, model)),
        None => {
            let what = format!("no {} here", missing.join(" and no "));
            Err(Error::input(folder, "", what, "give the folder that PEFT or train wrote"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::lora::OfFile;
    use crate::language::t5;
    use crate::language::targets::Targets;
    use serde_json::Value;
    use signclip_common::safetensors_file::SafetensorsFile;

    #[test]
    fn parts_of_linear_layers() {
        let of = |name: &str| {
            part_of(&format!("{PREFIX}{name}")).map(|(part, module)| format!("{part} of {module}"))
        };
        assert_eq!(of("a.q.lora_A.weight").as_deref(), Some("lora_A of a.q"));
        assert_eq!(of("lm_head.base_layer.weight").as_deref(), Some("base_layer of lm_head"));
        for other in [
            "shared.lora_embedding_A",
            "q.lora_A.bias",
            "lora_A.weight",
            "q.lora_magnitude_vector.weight",
            "q.weight",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(part_of("encoder.q.lora_A.weight"), None);
    }

    /// What is saved is read back, and the file has none of the fields that an old PEFT would refuse.
    #[test]
    fn round_trip() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let targets = Some(Targets::Pattern(r".*\.(q|v)".to_owned()));
        let config = LoraConfig { r: 2, alpha: 3.0, dropout: 0.0, targets, ..LoraConfig::default() };
        let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).reshape([2, 2]);
        let name = format!("{PREFIX}encoder.q.lora_A.weight");
        save(folder.path(), &config, &t5::ADAPTER, None, &[(name.clone(), a.copy())])?;
        let json: Value = serde_json::from_str(
            &std::fs::read_to_string(folder.path().join(CONFIG)).map_err(Error::io(CONFIG))?,
        )
        .unwrap_or_default();
        assert!(json.get("use_rslora").is_none() && json.get("rank_pattern").is_none(), "{json}");
        let (read, _) = open(folder.path(), Device::Cpu)?;
        let of_file = OfFile { read: true, ..OfFile::default() };
        assert_eq!(read, LoraConfig { of_file, ..config });
        let stored = SafetensorsFile::open(&folder.path().join(MODEL[0]))?;
        assert_eq!(stored.tensor(&name).transpose()?, Some(a));
        Ok(())
    }
}
