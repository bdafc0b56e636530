//! Paths that a run records, and where to look for them once things have moved.

use serde::{Deserialize, Serialize};
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
    /// Of the stores that are joined to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Option<PathBuf>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_model: Option<PathBuf>,
}

impl FromRun {
    /// The ways from `folder`, as far as everything is there.
    pub fn of(folder: &Path, features: &[PathBuf], language_model: Option<&Path>) -> Self {
        let mut ways = features.iter().map(|features| way(folder, features));
        Self {
            features: ways.next().flatten(),
            joined: ways.collect(),
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
pub fn places(run: &Path, path: &Path, way: Option<&Path>) -> Vec<PathBuf> {
    let run = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    let hint = way.filter(|_| path.is_absolute()).map(|way| run.join(way));
    let above = run.ancestors().take(4).filter(|_| path.is_relative()).map(|above| above.join(path));
    std::iter::once(path.to_path_buf()).chain(hint).chain(above).collect()
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
