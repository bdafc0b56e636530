//! What a split lacks of the clips that it was to have.

use super::{Failure, failures, rank_files};
use crate::regular_file::{self, SETTINGS};
use crate::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// Clips that are not in a store and should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Missing {
    pub clips: usize,
    /// Those of them that were tried.
    pub failed: Vec<Failure>,
}

impl Missing {
    /// Of the split folder `folder`, which has `stored` clips.
    pub fn of(folder: &Path, stored: usize) -> Result<Self> {
        let failed: Vec<Failure> = failures(folder)?.into_iter().map(|(_, failure)| failure).collect();
        let clips = expected(folder)?.map_or(failed.len(), |expected| expected.saturating_sub(stored));
        Ok(Self { clips, failed })
    }
}

/// How many clips the split was to have when a rank last wrote its `progress-<rank>.json`; `None` without such a file.
pub fn expected(folder: &Path) -> Result<Option<usize>> {
    #[derive(Deserialize)]
    struct Progress {
        updated: u64,
        split_clips: usize,
    }
    let mut last: Option<Progress> = None;
    for (_, path) in rank_files(folder, "progress-", ".json")? {
        let text = regular_file::read(&path, SETTINGS).map_err(Error::io(&path))?;
        let progress: Progress = serde_json::from_slice(&text).map_err(|e| {
            let remedy = "delete it; the next extract writes it anew";
            Error::input(&path, "", e.to_string(), remedy)
        })?;
        if last.as_ref().is_none_or(|last| progress.updated >= last.updated) {
            last = Some(progress);
        }
    }
    Ok(last.map(|progress| progress.split_clips))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let path = folder.path();
        assert_eq!(Missing::of(path, 3)?, Missing::default());
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).map_err(Error::io(name));
        write("progress-00000.json", r#"{"updated": 5, "split_clips": 100}"#)?;
        write("progress-00001.json", r#"{"updated": 9, "split_clips": 7, "host": "x"}"#)?;
        assert_eq!(Missing::of(path, 3)?.clips, 4, "by who wrote last");
        assert_eq!(Missing::of(path, 8)?.clips, 0);
        write("failures-00001.jsonl", "{\"id\":\"a\",\"stage\":\"open\",\"reason\":\"r\"}\n")?;
        let missing = Missing::of(path, 5)?;
        assert_eq!((missing.clips, missing.failed[0].id.as_str()), (2, "a"));
        assert_eq!(Missing::of(path, 7)?.clips, 0, "it is no clip of the data set any more");
        write("progress-00002.json", "no json")?;
        assert!(Missing::of(path, 3).is_err_and(|e| e.to_string().contains("progress-00002.json")));
        Ok(())
    }
}
