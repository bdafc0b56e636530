//! The lists of clips that could not be made: a report, one file a rank.

use super::index::{indexes, rank_files};
use super::lock::idle_rank;
use crate::regular_file::{self, LINES};
use crate::{Error, Result, atomic, disk, json};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One line of `failures-<rank>.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub id: String,
    /// `open`, `decode`, `face`, `encode`, `rows`, `store`, `preview`.
    pub stage: String,
    pub reason: String,
}

/// Name of a list: `failures-<rank>.jsonl`.
pub(super) fn path(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!("failures-{rank:05}.jsonl"))
}

/// Read a list, each clip once, as it failed last. A last line without line end is the trace of a kill.
pub(super) fn read(path: &Path) -> Result<Vec<Failure>> {
    let text = match regular_file::read(path, LINES) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(path)(e)),
    };
    let mut failures: Vec<Failure> = Vec::new();
    for line in text.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")) {
        let failure: Failure = serde_json::from_slice(line).map_err(|e| {
            Error::input(path, "", e.to_string(), "delete it: it is a report, and the clips are tried again")
        })?;
        failures.retain(|earlier| earlier.id != failure.id);
        failures.push(failure);
    }
    Ok(failures)
}

/// Add one. Not flushed to the disk: after a crash of the machine the clip is merely tried again.
pub(super) fn add(path: &Path, failure: &Failure) -> Result<()> {
    let line = json::line(failure)?;
    let attempt = || {
        let mut file = disk::call(|| regular_file::append(path))?;
        disk::write(line.as_bytes(), |bytes| file.write_all(bytes))
    };
    attempt().map_err(Error::io(path))
}

/// Replace a list as a whole; without any failure there is no file.
pub(super) fn write(path: &Path, failures: &[Failure]) -> Result<()> {
    if failures.is_empty() {
        regular_file::refuse_link(path).map_err(Error::io(path))?;
        return match disk::call(|| fs::remove_file(path)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
            _ => Ok(()),
        };
    }
    let lines = failures.iter().map(json::line).collect::<Result<String>>()?;
    atomic::write(path, lines.as_bytes())
}

/// Every clip of the split folder `folder` that failed and is in no index, with the rank that said so. Of several
/// ranks that tried a clip the lowest speaks.
pub fn failures(folder: &Path) -> Result<Vec<(u32, Failure)>> {
    let indexes = indexes(folder)?;
    let done: HashSet<&str> = indexes.values().flatten().map(|record| record.id.as_str()).collect();
    let mut failed = BTreeMap::new();
    for (rank, path) in rank_files(folder, "failures-", ".jsonl")? {
        for failure in read(&path)? {
            if !done.contains(failure.id.as_str()) {
                failed.entry(failure.id.clone()).or_insert((rank, failure));
            }
        }
    }
    Ok(failed.into_values().collect())
}

/// Take out of the lists of ranks that are not running what `settled` says is no longer theirs to tell.
pub(super) fn settle(folder: &Path, own: u32, settled: impl Fn(&str) -> bool) -> Result<()> {
    for (rank, path) in rank_files(folder, "failures-", ".jsonl")? {
        if rank == own {
            continue;
        }
        let Some(_lock) = idle_rank(folder, rank) else { continue };
        let mut failures = read(&path)?;
        let before = failures.len();
        failures.retain(|failure| !settled(&failure.id));
        if failures.len() < before {
            write(&path, &failures)?;
        }
    }
    Ok(())
}
