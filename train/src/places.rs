//! Where a run's features and its language model are: where they were when it began, where they lie as seen from its
//! folder, or where a flag says. What is found there is compared with what the run knows of them.

use crate::corpus::Corpus;
use crate::identity::check_language_model;
use crate::run::{CONFIG, RunInfo};
use crate::t5;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};
use std::path::{Path, PathBuf};

/// Flags that say where a run's language model is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceFlags {
    /// Folder of the run's language model, where it is not where it was
    #[arg(long, value_name = "DIR")]
    pub language_model: Option<PathBuf>,
    /// Folder that has the language model in a folder of its name
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
}

/// The ways from a run's folder, for a run that was moved together with what it needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromRun {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_model: Option<PathBuf>,
}

impl FromRun {
    /// The ways from `folder`, as far as everything is there.
    pub fn of(folder: &Path, features: &Path, language_model: Option<&Path>) -> Self {
        Self {
            features: way(folder, features),
            language_model: language_model.and_then(|model| way(folder, model)),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The relative path from folder `from` to folder `to`.
fn way(from: &Path, to: &Path) -> Option<PathBuf> {
    let (from, to) = (from.canonicalize().ok()?, to.canonicalize().ok()?);
    let same = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(same).map(|_| Path::new(".."));
    Some(up.chain(to.components().skip(same).map(|part| Path::new(part.as_os_str()))).collect())
}

/// The first of the places where something recorded as `path` can be, that has `file` in it (or is there, without).
/// A relative path is of a run of an earlier version, or was written by hand, and does not say from where: tried from here,
/// then from the folders above the run.
fn find(run: &Path, path: &Path, way: Option<&Path>, file: &str) -> Option<PathBuf> {
    let run = run.canonicalize().ok()?;
    let hint = way.filter(|_| path.is_absolute()).map(|way| run.join(way));
    let above = run.ancestors().take(4).filter(|_| path.is_relative()).map(|above| above.join(path));
    let mut places = std::iter::once(path.to_path_buf()).chain(hint).chain(above);
    places.find(|place| place.join(file).exists())
}

impl RunInfo {
    /// Find the features of the run in `folder`, which `--features` may give. Whoever opens them checks them.
    pub fn find_features(&mut self, folder: &Path, given: Option<&Path>) -> Result<()> {
        let found = match given {
            Some(given) => Some(given.to_path_buf()),
            None => find(folder, &self.features, self.from_run.features.as_deref(), ""),
        };
        self.features = found.ok_or_else(|| {
            let what = format!("{} is not there", self.features.display());
            let remedy = "say where the features of the training are now: --features DIR";
            Error::input(folder.join(CONFIG), "features", what, remedy)
        })?;
        Ok(())
    }

    /// Find the language model of the run in `folder`. Errors: it is nowhere, another one is there, a flag for a run
    /// whose model is trained from nothing.
    pub fn find_language_model(&mut self, folder: &Path, flags: &PlaceFlags) -> Result<()> {
        let Some(recorded) = &self.language_model else {
            let given = [("--language-model", &flags.language_model), ("--weights", &flags.weights)];
            return given.iter().find(|(_, folder)| folder.is_some()).map_or(Ok(()), |(flag, _)| {
                let what =
                    format!("{flag}: the language model of this run is trained from nothing, and lies in it");
                Err(Error::usage(what, "leave it out"))
            });
        };
        const FILE: &str = "config.json";
        let found = match (&flags.language_model, &flags.weights) {
            (Some(given), _) => Some(model_in(given)?),
            (None, Some(weights)) => Some(model_in(&below(weights, &self.settings.language_model.path))?),
            (None, None) => {
                find(folder, recorded, self.from_run.language_model.as_deref(), FILE).or_else(|| {
                    let weights = PathBuf::from(std::env::var_os("SIGNCLIP_WEIGHTS")?);
                    let place = below(&weights, &self.settings.language_model.path);
                    place.join(FILE).is_file().then_some(place)
                })
            }
        };
        let found = found.ok_or_else(|| {
            let what = format!("{} is not there", recorded.display());
            let remedy = "say where the language model of the run is now: --language-model DIR";
            Error::input(folder.join(CONFIG), "language_model", what, remedy)
        })?;
        check_language_model(&found, &self.language_model_sha256)?;
        self.language_model = Some(found);
        Ok(())
    }

    /// Refuse another split under the name of one that the run was trained or validated on. One of which other clips
    /// are missing than in the training is not compared.
    pub fn check_clips(&self, corpus: &Corpus, split: &str, missing: usize) -> Result<()> {
        let Some(known) = self.clips.get(split).filter(|known| known.features.is_some()) else {
            return Ok(());
        };
        let here = corpus.identity(missing);
        if known.missing != here.missing || *known == here {
            return Ok(());
        }
        let (what, field) = match known.sha256 == here.sha256 {
            true => ("their features are", "sha256"),
            false => ("ids, frames or sentences are", "clips"),
        };
        let what = format!("not the clips of {split} that the run was trained with: {what} others");
        let remedy =
            "give the features of the training (--features DIR), or these under another split's name";
        Err(Error::input(&corpus.store.folder, field, what, remedy))
    }
}

/// `folder`, which a flag names as that of a language model. Errors: what is missing there.
fn model_in(folder: &Path) -> Result<PathBuf> {
    t5::check_files(folder).map(|()| folder.to_path_buf())
}

/// A model's folder below the weights folder, by the setting that names it.
fn below(weights: &Path, path: &str) -> PathBuf {
    weights.join(if Path::new(path).is_absolute() {
        Path::new(path).file_name().map_or_else(|| Path::new(path), Path::new)
    } else {
        Path::new(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_together_is_found() -> Result<()> {
        let place = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let folder = |name: &str| {
            let folder = place.path().join(name);
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder)).map(|()| folder)
        };
        let (run, cache) = (folder("a/runs/x")?, folder("a/cache/y")?);
        let way = way(&run, &cache).unwrap_or_default();
        assert_eq!(way, Path::new("../../cache/y"));
        std::fs::rename(place.path().join("a"), place.path().join("b")).map_err(Error::io("a"))?;
        let run = place.path().join("b/runs/x");
        let there = place.path().join("b/cache/y").canonicalize().ok();
        let found = |path: &Path, way| find(&run, path, way, "").and_then(|found| found.canonicalize().ok());
        assert_eq!(found(&cache, Some(&way)), there);
        assert_eq!(found(&cache, None), None);
        // Of an earlier version.
        assert_eq!(found(Path::new("cache/y"), None), there);
        Ok(())
    }
}
