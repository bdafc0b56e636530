//! Checking a store byte by byte.

use super::index::{index_files, read_index, shard_path};
use super::npy;
use super::reader::{Problem, Store};
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
    let mut bytes = 0;
    for clip in 0..store.clips.len() {
        for stream in store.info.streams.keys() {
            bytes += store.features(clip, stream).map_or(0, |features| features.bytes.len() as u64);
        }
    }
    Ok(bytes)
}

/// Read every payload byte of the split folder `folder`, compare lengths, row counts and checksums with the index, and
/// look for values that are not finite. `tick` is called with the number of bytes read, clip by clip. Errors: the store cannot be opened at all.
pub fn verify(folder: &Path, mut tick: impl FnMut(u64)) -> Result<Report> {
    let store = Store::open(folder)?;
    let mut report = Report { clips: store.clips.len(), frames: 0, bytes: 0, problems: Vec::new() };
    // Rows that the index has, by rank, shard and stream.
    let mut indexed: BTreeMap<(u32, u32, &str), usize> = BTreeMap::new();
    for (clip, record) in store.clips.iter().enumerate() {
        report.frames += record.frames;
        for stream in store.info.streams.keys() {
            if let Some(problem) = store.problem(clip, stream) {
                let file = store.file_of(&problem, clip, stream);
                let what = match problem {
                    Problem::Changed => "checksum differs".to_owned(),
                    other => other.text(stream),
                };
                report.problems.push(format!("clip {:?}: {what} in {}", record.id, file.display()));
            }
            let (Some(rows), Some(features)) = (record.streams.get(stream), store.features(clip, stream))
            else {
                continue;
            };
            let end = indexed.entry((store.ranks[clip], record.shard, stream)).or_default();
            if rows.offset != *end {
                let (id, begin) = (&record.id, rows.offset);
                report
                    .problems
                    .push(format!("clip {id:?}: begins at row {begin} of {stream} where {end} is next"));
            }
            *end = rows.offset + rows.rows;
            report.bytes += features.bytes.len() as u64;
            tick(features.bytes.len() as u64);
        }
    }
    // Headers first, then the index once more: a run in progress writes them in the other order.
    let mut headers = Vec::new();
    for &(rank, shard, stream) in indexed.keys() {
        let path = shard_path(folder, stream, rank, shard);
        let promised = npy::rows(&path, store.info.dtype, store.info.streams[stream].dim)?;
        headers.push(((rank, shard, stream), promised, path));
    }
    for (rank, path) in index_files(folder)? {
        for record in read_index(&path)?.0 {
            for (stream, rows) in &record.streams {
                let Some((stream, _)) = store.info.streams.get_key_value(stream) else { continue };
                let end = indexed.entry((rank, record.shard, stream)).or_default();
                *end = (*end).max(rows.offset.saturating_add(rows.rows));
            }
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
            if promised > 0 && !indexed.contains_key(&(rank, shard, stream.as_str())) {
                report.problems.push(format!("{}: {promised} rows where the index has 0", path.display()));
            }
        }
    }
    for (shard, promised, path) in headers {
        let indexed = indexed[&shard];
        if promised > indexed {
            report
                .problems
                .push(format!("{}: {promised} rows where the index has {indexed}", path.display()));
        }
    }
    Ok(report)
}
