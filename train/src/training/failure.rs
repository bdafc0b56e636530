//! What is kept of a step that went wrong: a run's folder of its own that stands right before the step, and its batches.

use crate::data::loader::Step;
use crate::language::adapter;
use crate::training::checkpoint::{self, BEST, Progress};
use crate::training::model::Named;
use crate::training::run::{FIRST_ADAPTER, RunInfo};
use signclip_common::collective::Collective;
use signclip_common::{Error, Result, atomic, json, tensor_file};
use std::path::{Path, PathBuf};

/// The first weight with a value that is not finite in the files of the language model and of the adapter that the run in
/// `folder` begins with: no setting helps there.
pub fn damaged_weights(folder: &Path, info: &RunInfo) -> Result<Option<Error>> {
    let first_adapter = folder.join(FIRST_ADAPTER);
    let adapter = first_adapter.is_dir().then(|| adapter::weights_file(&first_adapter)).transpose()?;
    for place in info.language_model.iter().chain(&adapter) {
        for file in tensor_file::open_all(place)? {
            for name in file.names() {
                let Some(tensor) = file.tensor(name).transpose()? else { continue };
                if tensor.isfinite().all().int64_value(&[]) == 0 {
                    let what = "a value of this weight is not finite (NaN or infinite)";
                    return Ok(Some(Error::input(
                        file.path(),
                        name,
                        what,
                        "get the file again from where it is whole",
                    )));
                }
            }
        }
    }
    Ok(None)
}

/// Writes `failed-step-<N>` into the run's `folder`, on the first device. `tensors` are parameters, statistics and
/// optimiser as they were before the step.
pub fn save(
    folder: &Path,
    info: &RunInfo,
    step: &Step,
    tensors: &Named,
    state: &Progress,
    collective: &Collective,
) -> Result<PathBuf> {
    let failed = folder.join(format!("failed-step-{}", state.step));
    if collective.leads() {
        let checkpoint = checkpoint::after(&failed, state.step);
        for folder in [Some(failed.as_path()), checkpoint.parent()].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let mut batch = Named::new();
        for (number, part) in step.batches.iter().enumerate() {
            let prefix = if number == 0 { String::new() } else { format!("batch {number}.") };
            batch.extend(part.batch.tensors().into_iter().map(|(name, x)| (format!("{prefix}{name}"), x)));
        }
        checkpoint::save(&failed.join("batch.safetensors"), &batch, state, &info.settings)?;
        checkpoint::save(&checkpoint, tensors, state, &info.settings)?;
        info.copy_into(folder, &failed)?;
        let best = folder.join(BEST);
        if best.is_file() {
            atomic::copy(&best, &failed.join(BEST))?;
        }
        let settings = failed.join("settings.json");
        let text = json::pretty(&info.settings)?;
        atomic::write(&settings, text.as_bytes())?;
        let readme = format!(
            "Step {} failed. `train {} --run {} --config {}` (and --weights and --gpus as in the run) resumes \
             right before it and fails again. batch.safetensors has the step's batch, checkpoints/ the \
             parameters and the optimiser before it.\n",
            state.step,
            info.feature_flags(),
            failed.display(),
            settings.display(),
        );
        atomic::write(&failed.join("README.md"), readme.as_bytes())?;
    }
    // No device may end the run while the first one still writes.
    collective.barrier()?;
    Ok(failed)
}
