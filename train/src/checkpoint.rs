//! Checkpoints: one safetensors file with everything, replaced atomically.

use crate::model::Named;
use serde::{Deserialize, Serialize};
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::{Error, Result, atomic};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Weights with the best dev BLEU-4.
pub const BEST: &str = "best.safetensors";
/// The adapter of [`BEST`] as a folder for Hugging Face PEFT.
pub const ADAPTER: &str = "adapter";
/// Where a run goes on: weights and optimiser after the last finished epoch.
pub const LAST: &str = "last.safetensors";

/// Where a run stood.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished epochs and optimiser steps.
    pub epoch: usize,
    pub step: u64,
    /// Best dev BLEU-4 so far, and after which epoch.
    pub best_bleu4: Option<f64>,
    pub best_epoch: usize,
}

/// Write `tensors` and `progress` as `file`.
pub fn save(file: &Path, tensors: &Named, progress: &Progress) -> Result<()> {
    let mut views = Vec::new();
    for (name, tensor) in tensors {
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        let (dtype, bytes) = bytes_of(&tensor)?;
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        views.push((name.clone(), dtype, shape, bytes));
    }
    let views: Result<Vec<_>, _> = views
        .iter()
        .map(|(name, dtype, shape, bytes): &(String, safetensors::Dtype, Vec<usize>, Vec<u8>)| {
            safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes)
                .map(|view| (name.as_str(), view))
        })
        .collect();
    let state = serde_json::to_string(progress).unwrap_or_default();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned()), ("progress".to_owned(), state)]);
    let bytes = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    let bytes =
        bytes.map_err(|e| Error::input(file, "", e.to_string(), "this is a bug; please report it"))?;
    atomic::write_with(file, |out| out.write_all(&bytes))
}

/// Read what [`save`] wrote.
pub fn load(file: &Path) -> Result<(BTreeMap<String, Tensor>, Progress)> {
    if !file.exists() {
        let remedy = "train until the first validation, or give another run";
        return Err(Error::input(file, "", "the run has no such checkpoint", remedy));
    }
    let remedy = "it is damaged or not a checkpoint of this program; use another one or start a new run";
    let stored = SafetensorsFile::open(file).map_err(|e| match e {
        Error::Input { file, place, what, .. } => Error::input(file, place, what, remedy),
        other => other,
    })?;
    let state =
        stored.metadata().get("progress").ok_or_else(|| Error::input(file, "progress", "absent", remedy))?;
    let progress =
        serde_json::from_str(state).map_err(|e| Error::input(file, "progress", e.to_string(), remedy))?;
    let mut tensors = BTreeMap::new();
    for name in stored.names() {
        if let Some(tensor) = stored.tensor(name) {
            tensors.insert(name.to_owned(), tensor?);
        }
    }
    Ok((tensors, progress))
}

/// Copy `tensors` into `named`, which must match exactly. Nothing changes where they do not.
pub fn restore(file: &Path, named: &Named, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let refuse = |name: &str, what: String| {
        Error::input(
            file,
            name,
            what,
            "the checkpoint is of another configuration; see config.json beside it",
        )
    };
    for (name, tensor) in named {
        match tensors.get(name) {
            None => return Err(refuse(name, "missing".to_owned())),
            Some(found) if found.size() != tensor.size() => {
                return Err(refuse(name, format!("{:?} where {:?} is wanted", found.size(), tensor.size())));
            }
            Some(_) => {}
        }
    }
    let _frozen = tch::no_grad_guard();
    for (name, tensor) in named {
        tensor.shallow_clone().copy_(&tensors[name]);
    }
    Ok(())
}

fn bytes_of(tensor: &Tensor) -> Result<(safetensors::Dtype, Vec<u8>)> {
    let flat = tensor.view(-1);
    Ok(match tensor.kind() {
        Kind::Float => {
            let values: Vec<f32> = Vec::try_from(&flat).map_err(Error::from)?;
            (safetensors::Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        _ => {
            let values: Vec<i64> = Vec::try_from(&flat.to_kind(Kind::Int64)).map_err(Error::from)?;
            (safetensors::Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
    })
}
