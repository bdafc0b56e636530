//! `clips-<rank>.jsonl`: one line for each clip of a store.

use super::damage::{NOT_OURS, damaged};
use crate::error::json_line;
use crate::manifest;
use crate::regular_file::{self, LINES};
use crate::{Error, Result, json};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One line of `clips-<rank>.jsonl`: a finished clip.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Line")]
pub struct ClipRecord {
    pub id: String,
    /// Number of the shard files that hold it.
    pub shard: u32,
    /// Frames at the store's rate.
    pub frames: usize,
    /// Where its rows are, by stream.
    pub streams: BTreeMap<String, StreamRows>,
    pub facts: ClipFacts,
}

/// The rows of a clip in one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRows {
    /// First row in the shard.
    pub offset: usize,
    pub rows: usize,
    /// SHA-256 of the rows' bytes.
    pub sha256: String,
}

/// A line as it is written: with `offset` and `sha256` in format 1, with `streams` in format 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    shard: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    frames: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    streams: Option<BTreeMap<String, StreamRows>>,
    #[serde(flatten)]
    facts: ClipFacts,
}

impl TryFrom<Line> for ClipRecord {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Self, &'static str> {
        let Line { id, shard, offset, frames, sha256, streams, facts } = line;
        let streams = match (offset, sha256, streams) {
            (Some(offset), Some(sums), None) => {
                let rows = |sha256| StreamRows { offset, rows: frames, sha256 };
                sums.into_iter().map(|(stream, sum)| (stream, rows(sum))).collect()
            }
            (None, None, Some(streams)) => streams,
            (None, None, None) => return Err("missing field `streams`"),
            (None, _, None) => return Err("missing field `offset`"),
            (_, None, None) => return Err("missing field `sha256`"),
            _ => return Err("`streams` of format 2 beside `offset` or `sha256` of format 1"),
        };
        Ok(Self { id, shard, frames, streams, facts })
    }
}

impl ClipRecord {
    /// The line of this clip in a store of `format`, its line end included. Errors: it does not read back.
    pub(super) fn line(&self, format: u32) -> Result<String> {
        let Self { id, shard, frames, streams, facts } = self.clone();
        let sums = || streams.iter().map(|(stream, rows)| (stream.clone(), rows.sha256.clone())).collect();
        let line = match format {
            1 => Line {
                offset: streams.values().next().map(|rows| rows.offset),
                sha256: Some(sums()),
                streams: None,
                id,
                shard,
                frames,
                facts,
            },
            _ => Line { offset: None, sha256: None, streams: Some(streams), id, shard, frames, facts },
        };
        let text = json::line(&line)?;
        if serde_json::from_str(&text).ok().as_ref() == Some(self) {
            return Ok(text);
        }
        let what = format!("clip {:?}: {} does not read back as what was meant", self.id, text.trim_end());
        Err(Error::usage(what, "numbers must be finite"))
    }
}

/// What is known about a clip besides where its rows are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClipFacts {
    pub text: Option<String>,
    pub signer: Option<String>,
    pub gloss: Option<String>,
    /// Frames per second of the source, and its frames inside the clip's range.
    pub source_fps: f64,
    pub source_frames: usize,
    /// Whether frames were dropped or repeated to reach the store's rate.
    pub resampled: bool,
    /// Whether pictures were turned or mirrored to be upright, as the file said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turned: bool,
    /// Which of several video streams was read, counted from 0; absent where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_stream: Option<usize>,
    /// Whether the source does not say how long it is, so that frames may be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_unknown: bool,
    /// Whether the number of frames is not known: features that were imported, of a stream of windows alone. `frames` is the
    /// least number that makes its rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frames_unknown: bool,
    /// Share of frames with a detected face whose mouth is in the picture; absent where no face was looked for.
    pub face_coverage: Option<f64>,
    /// First and last frame of each range without such a face.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<[usize; 2]>,
    /// Frames with a face whose mouth lies outside of the picture.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mouths_outside: usize,
    /// SHA-256 of the landmark file, where the mouth was cut by one.
    #[serde(default)]
    pub landmarks: Option<String>,
    /// File or folder the clip came from, relative to the data set's root where it lies below it.
    pub source: String,
    /// The part of the source that the clip is, in seconds; absent: from its beginning, to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<f64>,
    /// Bytes and modification time (seconds since 1970) of the source.
    pub source_bytes: u64,
    pub source_mtime: u64,
}

/// Facts that are zero are left out.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Name of a shard file: `<stream>-<rank>-<seq>.npy`.
pub(super) fn shard_path(folder: &Path, stream: &str, rank: u32, shard: u32) -> PathBuf {
    folder.join(format!("{stream}-{rank:05}-{shard:05}.npy"))
}

/// Name of an index: `clips-<rank>.jsonl`.
pub(super) fn index_path(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!("clips-{rank:05}.jsonl"))
}

/// Files `clips-<rank>.jsonl` of a store with their ranks, sorted.
pub(super) fn index_files(folder: &Path) -> Result<Vec<(u32, PathBuf)>> {
    rank_files(folder, "clips-", ".jsonl")
}

/// The records of every index of the split folder `folder`, by rank.
pub fn indexes(folder: &Path) -> Result<BTreeMap<u32, Vec<ClipRecord>>> {
    index_files(folder)?.into_iter().map(|(rank, path)| Ok((rank, read_index(&path)?.0))).collect()
}

/// Files of a store that every rank has one of, with their ranks, sorted.
pub fn rank_files(folder: &Path, begin: &str, end: &str) -> Result<Vec<(u32, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if let Some(rank) = name.strip_prefix(begin).and_then(|n| n.strip_suffix(end)) {
            files.push((rank.parse().map_err(|_| damaged(&path, "name", "no rank in the name"))?, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Read an index. A last line without line end is the trace of a kill: it is not part of the index.
pub(super) fn read_index(path: &Path) -> Result<(Vec<ClipRecord>, usize)> {
    match regular_file::read(path, LINES) {
        Ok(bytes) => parse_index(path, &bytes, 0),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), 0)),
        Err(e) => Err(Error::io(path)(e)),
    }
}

/// The records of an index's whole lines, which follow `before` others, and the bytes of these lines.
pub(super) fn parse_index(path: &Path, bytes: &[u8], before: usize) -> Result<(Vec<ClipRecord>, usize)> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    let mut records = Vec::new();
    for (number, line) in bytes[..whole].split_inclusive(|&b| b == b'\n').enumerate() {
        let damaged = |what: &str| damaged(path, &format!("line {}", before + number + 1), what);
        let record: ClipRecord = serde_json::from_slice(line).map_err(|e| match e.classify() {
            Category::Data => {
                let place = format!("line {}", before + number + 1);
                Error::input(path, place, json_line(&e), NOT_OURS)
            }
            _ => damaged(&json_line(&e)),
        })?;
        if record.frames == 0 {
            return Err(damaged("a clip without frames"));
        }
        if !manifest::is_plain_name(&record.id) {
            return Err(damaged(&format!("{:?} cannot be a clip id", record.id)));
        }
        records.push(record);
    }
    Ok((records, whole))
}
