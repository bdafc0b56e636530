//! Clips that a split should have and does not.

use super::failures::{Failure, failures};
use super::index::rank_files;
use crate::regular_file::{self, SETTINGS};
use crate::{Error, Result, atomic};
use serde::{Deserialize, Serialize};
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

/// What a command that saw the whole data set found.
#[derive(Serialize, Deserialize)]
struct SplitDescription {
    /// Clips that the split is to have.
    clips: usize,
}

/// Name of the file that says how many clips a split is to have.
pub const SPLIT_FILE: &str = "split.json";

/// How many clips the split is to have; `None` where no command has said so. Stores of versions up to 0.1 have the number
/// in what the ranks say of their progress, the largest of which counts.
pub fn expected(folder: &Path) -> Result<Option<usize>> {
    #[derive(Deserialize)]
    struct Progress {
        split_clips: Option<usize>,
    }
    let wrong = |file: &Path, e: serde_json::Error| {
        Error::input(file, "", e.to_string(), "delete it; the next extract writes it anew")
    };
    let file = folder.join(SPLIT_FILE);
    match regular_file::read(&file, SETTINGS) {
        Ok(text) => {
            let description: SplitDescription = serde_json::from_slice(&text).map_err(|e| wrong(&file, e))?;
            return Ok(Some(description.clips));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io(&file)(e)),
    }
    let mut most = None;
    for (_, path) in rank_files(folder, "progress-", ".json")? {
        let text = regular_file::read(&path, SETTINGS).map_err(Error::io(&path))?;
        let progress: Progress = serde_json::from_slice(&text).map_err(|e| wrong(&path, e))?;
        most = most.max(progress.split_clips);
    }
    Ok(most)
}

/// Record how many clips the split is to have. Every rank of a launch says the same, so that it does not matter who is last.
pub fn expect(folder: &Path, clips: usize) -> Result<()> {
    let text = serde_json::to_string(&SplitDescription { clips }).map_err(|e| {
        Error::usage(format!("{SPLIT_FILE} cannot be written: {e}"), "this is a bug; please report it")
    })?;
    let file = folder.join(SPLIT_FILE);
    // A number from which nothing has changed is not written again by each of many ranks.
    match regular_file::read_to_string(&file, SETTINGS).is_ok_and(|present| present.trim() == text) {
        true => Ok(()),
        false => atomic::write(&file, (text + "\n").as_bytes()),
    }
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
        // By the progress of ranks, as versions up to 0.1 wrote it, whatever their machines' clocks say.
        write("progress-00000.json", r#"{"updated": 5, "split_clips": 7}"#)?;
        write("progress-00001.json", r#"{"updated": 3, "split_clips": 6, "host": "x"}"#)?;
        write("progress-00003.json", r#"{"updated": 9}"#)?;
        assert_eq!(Missing::of(path, 3)?.clips, 4);
        expect(path, 7)?;
        write("progress-00001.json", r#"{"updated": 99999999999, "split_clips": 100}"#)?;
        assert_eq!(Missing::of(path, 3)?.clips, 4, "the store says it, not a rank");
        assert_eq!(Missing::of(path, 8)?.clips, 0);
        write("failures-00001.jsonl", "{\"id\":\"a\",\"stage\":\"open\",\"reason\":\"r\"}\n")?;
        let missing = Missing::of(path, 5)?;
        assert_eq!((missing.clips, missing.failed[0].id.as_str()), (2, "a"));
        assert_eq!(Missing::of(path, 7)?.clips, 0, "it is not a clip of the data set any more");
        write(SPLIT_FILE, "no json")?;
        assert!(Missing::of(path, 3).is_err_and(|e| e.to_string().contains(SPLIT_FILE)));
        std::fs::remove_file(path.join(SPLIT_FILE)).map_err(Error::io(SPLIT_FILE))?;
        write("progress-00002.json", "no json")?;
        assert!(Missing::of(path, 3).is_err_and(|e| e.to_string().contains("progress-00002.json")));
        Ok(())
    }
}
