//! A run that begins with the trained weights of another one (`train --from RUN`).

use crate::language::adapter;
use crate::language::family;
use crate::language::lora::OfFile;
use crate::language::settings::TuningKind;
use crate::language::targets::AdapterNames;
use crate::training::checkpoint::{self, BEST};
use crate::training::model::SignClip;
use crate::training::origin::Origin;
use crate::training::places::recorded;
use crate::training::run::{FIRST_ADAPTER, RunInfo};
use serde_json::{Value, json};
use signclip_common::json::value;
use signclip_common::{Error, Result, checksum, difference};
use std::path::{Path, PathBuf};
use tch::Device;

impl Origin {
    /// The run in `folder`, for a new run `info`. Errors: no weights there, or of another model; the field in which
    /// it is another is named.
    pub fn of(folder: &Path, info: &RunInfo) -> Result<Self> {
        let other = RunInfo::read(folder)?;
        let best = folder.join(BEST);
        let progress = checkpoint::progress(&best)?;
        let names = family::adapter_names(info.language_model.as_deref())?;
        let [there, here] = [(&other, folder.join(FIRST_ADAPTER)), (info, adapter_of(info))]
            .map(|(of, first)| shape(of, &first, names));
        let (mut there, mut here) = (there?, here?);
        // A loss that the other run had and this one has not leaves only its own temperature behind.
        let losses = |of: &RunInfo| [of.settings.loss.alpha, of.settings.loss.beta];
        for ((field, before), now) in
            ["loss.alpha", "loss.beta"].into_iter().zip(losses(&other)).zip(losses(info))
        {
            if before == 0.0 && now > 0.0 {
                (there[field], here[field]) = (before.into(), now.into());
            }
        }
        if other.language_model_sha256.is_empty() {
            // A run of an earlier version does not know.
            there["language_model_sha256"] = here["language_model_sha256"].clone();
        }
        if let Some((field, there, here)) = difference::first(&there, &here) {
            let what = format!("its weights are of a model with {there}, this command has {here}");
            let remedy = "use the same setting as that run (its config.json), or train without --from";
            return Err(Error::input(folder, field, what, remedy));
        }
        if let Some((_, [field, ..])) = other.extraction.difference(&info.extraction) {
            tracing::warn!("{}: trained on features that were made otherwise: {field}", folder.display());
        }
        Ok(Self {
            run: recorded(folder)?,
            epoch: progress.choice.best_epoch,
            sha256: checksum::of_file(&best)?,
        })
    }

    /// Give `model` the weights. Errors: they are not those any more that the run was to begin with.
    pub fn load(&self, model: &SignClip, info: &RunInfo) -> Result<()> {
        let best = self.run.join(BEST);
        if checksum::of_file(&best)? != self.sha256 {
            let what = "not the weights any more that the run began with";
            return Err(Error::input(best, "sha256", what, "put them back, or start a new run from these"));
        }
        let (tensors, _) = checkpoint::load(&best)?;
        checkpoint::restore(&best, &model.tensors(), &tensors, &info.settings)
    }
}

/// The adapter that a new run begins with, or a folder that is not there.
fn adapter_of(info: &RunInfo) -> PathBuf {
    info.settings.language_model.adapter.clone().unwrap_or_default()
}

/// What decides whether weights fit, by the names of the settings.
fn shape(info: &RunInfo, adapter: &Path, names: &AdapterNames) -> Result<Value> {
    let settings = &info.settings;
    let model = &settings.language_model;
    let lora = match (model.tuning, &model.adapter) {
        (TuningKind::Lora, Some(_)) => Some(adapter::open(adapter, Device::Cpu)?.0),
        (TuningKind::Lora, None) => Some(model.lora.clone()),
        _ => None,
    };
    let lora = lora.map(|lora| {
        let OfFile { rslora, ranks, alphas, .. } = &lora.of_file;
        json!({
            "r": lora.r,
            "alpha": lora.alpha,
            "targets": lora.targets_in(names),
            "use_rslora": rslora,
            "rank_pattern": ranks.entries().collect::<Vec<_>>(),
            "alpha_pattern": alphas.entries().collect::<Vec<_>>(),
        })
    });
    let width = |(name, stream): (&String, &Value)| (name.clone(), json!({ "dim": stream["dim"] }));
    let widths: serde_json::Map<String, Value> = info.extraction.streams().map(width).collect();
    let mut head = value(&settings.head)?;
    // The steps that statistics are of, with which a run may go on otherwise.
    head.as_object_mut().map(|head| head.remove("norm_over"));
    Ok(json!({
        "head": head,
        "language_model": {
            "path": info.language_model.is_none().then_some(&model.path),
            "tuning": model.tuning,
            "lora": lora,
        },
        "language_model_sha256": info.language_model_sha256,
        "streams": widths,
    }))
}
