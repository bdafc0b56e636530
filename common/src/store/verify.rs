//! Checking a store byte by byte.

use super::reader::Problem;
use super::{Store, index_files, npy, read_index, shard_path};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    pub clips: usize,
    pub frames: usize,
    pub bytes: u64,
    /// One line for each clip or file that is not as the index says.
    pub problems: Vec<String>,
}

/// Payload bytes that the index of the split folder `folder` names.
pub fn payload_bytes(folder: &Path) -> Result<u64> {
    let store = Store::open(folder)?;
    let row: usize = store.info.streams.values().map(|s| s.dim * store.info.dtype.bytes()).sum();
    Ok(store.clips.iter().map(|c| (c.frames * row) as u64).sum())
}

/// Read every payload byte of the split folder `folder`, compare lengths, row counts and checksums with the index, and
/// look for values that are not finite. `tick` is called with the number of bytes read, clip by clip. Errors: the store cannot be opened at all.
pub fn verify(folder: &Path, mut tick: impl FnMut(u64)) -> Result<Report> {
    let store = Store::open(folder)?;
    let mut report = Report { clips: store.clips.len(), frames: 0, bytes: 0, problems: Vec::new() };
    let mut rows: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (clip, record) in store.clips.iter().enumerate() {
        report.frames += record.frames;
        let end = rows.entry((store.ranks[clip], record.shard)).or_default();
        if record.offset != *end {
            report
                .problems
                .push(format!("clip {:?}: begins at row {} where {end} is next", record.id, record.offset));
        }
        *end = record.offset + record.frames;
        for stream in store.info.streams.keys() {
            let Some(features) = store.features(clip, stream) else { continue };
            report.bytes += features.bytes.len() as u64;
            if let Some(problem) = store.problem(clip, stream) {
                let what = match problem {
                    Problem::Changed => "checksum differs".to_owned(),
                    other => other.text(stream),
                };
                let shard = store.shard_of(clip, stream);
                report.problems.push(format!("clip {:?}: {what} in {}", record.id, shard.display()));
            }
            tick(features.bytes.len() as u64);
        }
    }
    // Headers first, then the index once more: a run in progress writes them in the other order.
    let mut headers = Vec::new();
    for &(rank, shard) in rows.keys() {
        for (stream, info) in &store.info.streams {
            let path = shard_path(folder, stream, rank, shard);
            headers.push(((rank, shard), npy::rows(&path, store.info.dtype, info.dim)?, path));
        }
    }
    for (rank, path) in index_files(folder)? {
        for record in read_index(&path)?.0 {
            let end = rows.entry((rank, record.shard)).or_default();
            *end = (*end).max(record.offset.saturating_add(record.frames));
        }
    }
    // Rows that no clip of any index has: an index that is gone, or was cut.
    for (stream, info) in &store.info.streams {
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let numbers = name.strip_prefix(&format!("{stream}-")).and_then(|name| name.strip_suffix(".npy"));
            let Some((rank, shard)) = numbers.and_then(|numbers| numbers.split_once('-')) else { continue };
            let (Ok(rank), Ok(shard)) = (rank.parse(), shard.parse()) else { continue };
            // One that was only begun may have half a header.
            let promised = npy::rows(&path, store.info.dtype, info.dim).unwrap_or(0);
            if promised > 0 && !rows.contains_key(&(rank, shard)) {
                report.problems.push(format!("{}: {promised} rows where the index has 0", path.display()));
            }
        }
    }
    for (shard, header, path) in headers {
        let indexed = rows[&shard];
        if header > indexed {
            report.problems.push(format!("{}: {header} rows where the index has {indexed}", path.display()));
        }
    }
    Ok(report)
}
