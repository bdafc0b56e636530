//! Checkpoints: one safetensors file with everything, replaced atomically.
//!
//! `best.safetensors` has the weights with the best score on the validation split; `checkpoints/step-<N>.safetensors`
//! have weights and optimiser after N updates, and a run resumes after the newest.

use crate::config::TrainConfig;
use crate::training::best::Choice;
use crate::training::model::Named;
use serde::{Deserialize, Serialize};
use signclip_common::safetensors_file::{self, SafetensorsFile};
use signclip_common::{Error, Result, atomic, difference, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// The best weights ([`crate::training::best`]).
pub const BEST: &str = "best.safetensors";
/// The adapter of [`BEST`] as a folder for Hugging Face PEFT.
pub const ADAPTER: &str = "adapter";
/// Folder of the checkpoints to resume from.
pub const FOLDER: &str = "checkpoints";

/// Where a run stood.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished epochs and optimiser steps.
    pub epoch: usize,
    pub step: u64,
    #[serde(flatten)]
    pub choice: Choice,
}

impl Progress {
    /// Whether a run stops here because its validations have not become better.
    pub fn out_of_patience(&self, settings: &TrainConfig) -> bool {
        let since = self.epoch.saturating_sub(self.choice.best_epoch);
        let stop =
            |patience: usize| self.choice.validations > 0 && since >= patience * settings.validate_every;
        settings.patience.is_some_and(stop)
    }
}

/// Write `tensors` and `progress` as `file`, and the settings of the run they belong to. Nothing is held in memory
/// twice but one tensor.
pub fn save(file: &Path, tensors: &Named, progress: &Progress, settings: &impl Serialize) -> Result<()> {
    let mut sorted: Vec<&(String, Tensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _)| name);
    let table: Vec<_> = sorted.iter().map(|(name, t)| (name.clone(), t.kind(), t.size())).collect();
    let (progress, settings) = (json::line(progress)?, json::line(settings)?);
    let metadata = [("progress", progress.trim_end()), ("settings", settings.trim_end())];
    atomic::write_with(file, |out| {
        safetensors_file::write(out, &metadata, &table, |i| Ok(sorted[i].1.shallow_clone()))
    })
}

/// Read what [`save`] wrote.
pub fn load(file: &Path) -> Result<(BTreeMap<String, Tensor>, Progress)> {
    let (stored, progress) = open(file)?;
    let mut tensors = BTreeMap::new();
    for name in stored.names() {
        if let Some(tensor) = stored.tensor(name) {
            tensors.insert(name.to_owned(), tensor?);
        }
    }
    Ok((tensors, progress))
}

/// Where the run of a checkpoint stood, without reading its tensors.
pub fn progress(file: &Path) -> Result<Progress> {
    open(file).map(|(_, progress)| progress)
}

fn open(file: &Path) -> Result<(SafetensorsFile, Progress)> {
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
    Ok((stored, progress))
}

/// Copy `tensors` of `file` into `named`, which must match exactly. Nothing changes where they do not; the error names
/// the setting in which `settings` differ from those of the checkpoint.
pub fn restore(
    file: &Path,
    named: &Named,
    tensors: &BTreeMap<String, Tensor>,
    settings: &impl Serialize,
) -> Result<()> {
    let here = json::value(settings)?;
    let refuse = |name: &str, what: String| {
        let there = settings_of(file).and_then(|there| difference::first(&there, &here));
        let cause = there.map_or(String::new(), |(field, there, here)| {
            format!("; the checkpoint was made with {field} = {there}, the run has {here}")
        });
        let remedy = "the checkpoint is of another configuration; see config.json beside it";
        Error::input(file, name, what + &cause, remedy)
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

/// The settings that a checkpoint was made with, where it has any.
pub fn settings_of(file: &Path) -> Option<serde_json::Value> {
    serde_json::from_str(SafetensorsFile::open(file).ok()?.metadata().get("settings")?).ok()
}

/// File of the checkpoint after `step` updates of the run in `folder`.
pub fn after(folder: &Path, step: u64) -> PathBuf {
    folder.join(FOLDER).join(format!("step-{step:08}.safetensors"))
}

/// Checkpoints of the run in `folder` to resume from, the newest last.
pub fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(&folder)(e)),
    };
    let mut steps = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(&folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").and_then(|n| n.strip_suffix(".safetensors"));
        if let Some(step) = step.and_then(|n| n.parse::<u64>().ok()) {
            steps.push((step, path));
        }
    }
    steps.sort();
    Ok(steps.into_iter().map(|(_, path)| path).collect())
}

/// Remove all but the newest `keep` checkpoints, and what kills have left of writing one, the best weights or the adapter.
pub fn keep_newest(folder: &Path, keep: usize) -> Result<()> {
    let checkpoints = all(folder)?;
    for path in &checkpoints[..checkpoints.len().saturating_sub(keep)] {
        fs::remove_file(path).map_err(Error::io(path))?;
    }
    // Beside the best weights other programs write as well, a report for example.
    let best = format!("{BEST}.");
    for (folder, begin) in
        [(folder.join(FOLDER), ""), (folder.join(ADAPTER), ""), (folder.to_path_buf(), &best)]
    {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(begin) && name.ends_with(".tmp")) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}
