//! The feature store: what `extract` writes once and `train` reads many times. The format is specified in
//! `cache/README.md`.

mod failures;
#[cfg(test)]
mod faults;
mod lock;
mod missing;
mod npy;
mod others;
mod reader;
mod verify;
mod writer;

pub use failures::{Failure, failures};
pub use lock::is_held;
pub use missing::{Missing, SPLIT_FILE, expect, expected};
pub use others::Watch;
pub use reader::{Features, Store};
pub use verify::{Report, payload_bytes, verify};
pub use writer::{ClipWriter, StoreWriter};

use crate::error::json_line;
use crate::manifest::{self, TextRules};
use crate::regular_file::{self, LINES, SETTINGS};
use crate::{Error, Result, difference};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the on-disk format.
pub const FORMAT: u32 = 1;

/// The gesture stream Z_s and the mouthing stream Z_m.
pub const SPATIAL: &str = "spatial";
pub const MOUTHING: &str = "mouthing";

/// What to do about a file that is whole and says something else than the format wants: it is more likely of another
/// program, or of another version of this one, than damaged.
const NOT_OURS: &str = "if another program or another version of this one made the store, write what cache/README.md lists; \
    else the file is damaged: move the folder away and extract again";

/// File that describes a store.
pub const STORE_FILE: &str = "store.json";

/// Element type of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreDtype {
    #[serde(rename = "<f2")]
    F16,
    #[serde(rename = "<f4")]
    F32,
}

impl StoreDtype {
    /// Bytes an element takes.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// One feature stream of a store and how it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamInfo {
    /// Columns of the arrays.
    pub dim: usize,
    /// Name of the encoder.
    pub encoder: String,
    /// Compute type of the encoder.
    pub compute: String,
    /// SHA-256 of every weight file that took part, by file name; synthetic weights are named with their salt.
    pub weights: BTreeMap<String, String>,
    /// Effective settings of the encoder.
    pub config: serde_json::Value,
}

/// `store.json`. Everything but `tool` must agree for a run to append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreInfo {
    pub format: u32,
    pub dataset: String,
    pub split: String,
    pub language: Option<String>,
    pub text: TextRules,
    pub dtype: StoreDtype,
    /// Frames per second of the features, after resampling.
    pub fps: f64,
    /// Streams by name: `spatial` (Z_s), `mouthing` (Z_m).
    pub streams: BTreeMap<String, StreamInfo>,
    /// Further settings that change the features.
    pub config: serde_json::Value,
    /// Program and version that made the store.
    pub tool: String,
}

impl StoreInfo {
    /// What decides over the values of the features: networks, weights, settings.
    pub fn making(&self) -> serde_json::Value {
        serde_json::json!({ "dtype": self.dtype, "fps": self.fps, "streams": self.streams, "config": self.config })
    }

    /// Read `store.json` of the split folder `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(STORE_FILE);
        let text = regular_file::read_to_string(&path, SETTINGS).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::input(
                &path,
                "",
                "no feature store here",
                "make one with: extract --dataset NAME, or give another folder",
            ),
            std::io::ErrorKind::InvalidData => npy::damaged(&path, "", "not UTF-8"),
            _ => Error::Io { file: path.clone(), source: e },
        })?;
        let info: Self = serde_json::from_str(&text).map_err(|e| {
            let remedy = match e.classify() {
                Category::Data => NOT_OURS,
                _ => "it is damaged; move the folder away and extract again",
            };
            Error::input(&path, format!("line {}", e.line()), e.to_string(), remedy)
        })?;
        if info.format != FORMAT {
            return Err(Error::input(
                &path,
                "format",
                format!("version {} where this tool reads {FORMAT}", info.format),
                "use the version of the tool that made it",
            ));
        }
        info.check(&path)?;
        Ok(info)
    }

    /// Streams become file names, and their widths sizes in memory.
    fn check(&self, path: &Path) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (name, StreamInfo { dim, .. }) in &self.streams {
            let field = format!("streams.{name}");
            if name.is_empty() || !name.chars().all(plain) {
                return Err(npy::damaged(path, &field, "not the name of a stream"));
            }
            if !(1..=1 << 20).contains(dim) {
                return Err(npy::damaged(path, &field, &format!("{dim} columns")));
            }
        }
        Ok(())
    }

    /// The first field in which two descriptions differ, with both values; the tool version does not count.
    pub fn difference(&self, other: &Self) -> Result<Option<(String, String, String)>> {
        difference::between(self, &Self { tool: self.tool.clone(), ..other.clone() })
    }
}

/// One line of `clips-<rank>.jsonl`: a finished clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipRecord {
    pub id: String,
    /// Number of the shard files that hold it.
    pub shard: u32,
    /// First row in the shard.
    pub offset: usize,
    /// Rows.
    pub frames: usize,
    /// SHA-256 of the clip's rows, by stream.
    pub sha256: BTreeMap<String, String>,
    #[serde(flatten)]
    pub facts: ClipFacts,
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
pub(crate) fn shard_path(folder: &Path, stream: &str, rank: u32, shard: u32) -> PathBuf {
    folder.join(format!("{stream}-{rank:05}-{shard:05}.npy"))
}

/// Name of an index: `clips-<rank>.jsonl`.
pub(crate) fn index_path(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!("clips-{rank:05}.jsonl"))
}

/// Files `clips-<rank>.jsonl` of a store with their ranks, sorted.
pub(crate) fn index_files(folder: &Path) -> Result<Vec<(u32, PathBuf)>> {
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
            files.push((rank.parse().map_err(|_| npy::damaged(&path, "name", "no rank in the name"))?, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Read an index. A last line without line end is the trace of a kill: it is not part of the index.
pub(crate) fn read_index(path: &Path) -> Result<(Vec<ClipRecord>, usize)> {
    match regular_file::read(path, LINES) {
        Ok(bytes) => parse_index(path, &bytes, 0),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), 0)),
        Err(e) => Err(Error::io(path)(e)),
    }
}

/// The records of an index's whole lines, which follow `before` others, and the bytes of these lines.
fn parse_index(path: &Path, bytes: &[u8], before: usize) -> Result<(Vec<ClipRecord>, usize)> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    let mut records = Vec::new();
    for (number, line) in bytes[..whole].split_inclusive(|&b| b == b'\n').enumerate() {
        let damaged = |what: &str| npy::damaged(path, &format!("line {}", before + number + 1), what);
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
