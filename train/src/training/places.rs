//! Where a run's features and its language model are: where they were when it began, where they lie as seen from its
//! folder, or where a flag says. What is found there is compared with the checksums in the run.

use crate::data::corpus::Corpus;
use crate::language::folder;
use crate::language::identity::check_language_model;
use crate::training::run::{CONFIG, RunInfo};
use serde::{Deserialize, Serialize};
use signclip_common::store::STORE_FILE;
use signclip_common::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Flags that say where a run's language model is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceFlags {
    /// Where the run's language model is now, if it was moved
    #[arg(long, value_name = "DIR")]
    pub language_model: Option<PathBuf>,
    /// Weights folder, with the language model in DIR/NAME
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

/// The places where something recorded as `path` can be. A relative path is of a run of an earlier version, or was written
/// by hand, and does not say from where: tried from here, then from the folders above the run.
fn places(run: &Path, path: &Path, way: Option<&Path>) -> Vec<PathBuf> {
    let run = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    let hint = way.filter(|_| path.is_absolute()).map(|way| run.join(way));
    let above = run.ancestors().take(4).filter(|_| path.is_relative()).map(|above| above.join(path));
    std::iter::once(path.to_path_buf()).chain(hint).chain(above).collect()
}

/// Whether a split's features are in `folder`. One that is empty may stand where they were.
fn has_features(folder: &Path) -> bool {
    let splits = std::fs::read_dir(folder).into_iter().flatten().flatten();
    splits.into_iter().any(|split| split.path().join(STORE_FILE).is_file())
}

/// The path of something as a run records it: another working directory must not make another place of it, nor one that
/// the command came through and that is gone by now (`..`). Links stay, for they may lead elsewhere later.
pub fn recorded(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(Error::io(path))?;
    let mut straight = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(straight.pop()),
            part => straight.push(part),
        }
    }
    // Behind a link `..` is not the folder before it.
    match (absolute.canonicalize(), straight.canonicalize()) {
        (Ok(there), Ok(same)) if there == same => Ok(straight),
        (Ok(there), _) => Ok(there),
        _ => Ok(absolute),
    }
}

impl RunInfo {
    /// Find the features of the run in `folder`, which `--features` may give. Whoever opens them checks them.
    pub fn find_features(&mut self, folder: &Path, given: Option<&Path>) -> Result<()> {
        let found = match given {
            Some(given) => Some(given.to_path_buf()),
            None => {
                let places = places(folder, &self.features, self.from_run.features.as_deref());
                places.into_iter().find(|place| has_features(place))
            }
        };
        self.features = found.ok_or_else(|| {
            let what = format!("no features in {}", self.features.display());
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
        let name = &self.settings.language_model.path;
        let places = match (&flags.language_model, &flags.weights) {
            (Some(given), _) => vec![model_in(given)?],
            (None, Some(weights)) => vec![model_in(&below(weights, name))?],
            (None, None) => {
                let mut places = places(folder, recorded, self.from_run.language_model.as_deref());
                let weights = std::env::var_os("SIGNCLIP_WEIGHTS").map(PathBuf::from);
                places.extend(weights.map(|weights| below(&weights, name)));
                places.retain(|place| place.join("config.json").is_file());
                places
            }
        };
        let mut refused = None;
        for place in places {
            match check_language_model(&place, &self.language_model_sha256) {
                Ok(()) => {
                    if self.language_model_sha256.is_empty() && place != *recorded {
                        tracing::warn!(
                            "{}: whether it is the run's language model cannot be checked: an earlier version of train \
                             wrote the run, without checksums",
                            place.display()
                        );
                    }
                    self.language_model = Some(place);
                    return Ok(());
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let what = format!("{} is not there", recorded.display());
            let remedy = "say where the language model of the run is now: --language-model DIR";
            Error::input(folder.join(CONFIG), "language_model", what, remedy)
        }))
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
    folder::check_files(folder).map(|()| folder.to_path_buf())
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
        let found = |path: &Path, way| {
            places(&run, path, way)
                .iter()
                .find(|place| place.is_dir())
                .and_then(|found| found.canonicalize().ok())
        };
        assert_eq!(found(&cache, Some(&way)), there);
        assert_eq!(found(&cache, None), None);
        // Of an earlier version.
        assert_eq!(found(Path::new("cache/y"), None), there);
        Ok(())
    }

    #[test]
    fn a_recorded_path_does_not_lead_through_other_folders() -> Result<()> {
        let place = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let place = place.path().canonicalize().map_err(Error::io("a temporary folder"))?;
        for folder in ["a/b", "c/d"] {
            std::fs::create_dir_all(place.join(folder)).map_err(Error::io(folder))?;
        }
        std::os::unix::fs::symlink(place.join("c/d"), place.join("a/link")).map_err(Error::io("link"))?;
        let recorded = |path: &str| recorded(&place.join(path));
        assert_eq!(recorded("a/b/../../c")?, place.join("c"));
        assert_eq!(recorded("a/link")?, place.join("a/link"));
        assert_eq!(recorded("a/link/../d/.")?, place.join("c/d"), "`..` of where the link leads to");
        Ok(())
    }
}
