//! `store.json`: what the features of a store are and how they were made.

use super::damage::{NOT_OURS, damaged};
use crate::manifest::TextRules;
use crate::regular_file::{self, SETTINGS};
use crate::{Error, Result, difference};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::collections::BTreeMap;
use std::path::Path;

/// Version of the on-disk format that new stores have.
pub const FORMAT: u32 = 2;

/// The oldest version that is read and continued: every stream has a row for each frame.
const OLDEST: u32 = 1;

/// The spatial stream Z_s, the mouthing stream Z_m, and SpaMo's motion stream Z_v.
pub const SPATIAL: &str = "spatial";
pub const MOUTHING: &str = "mouthing";
pub const MOTION: &str = "motion";

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

/// Which frames a row of a stream is computed from: `window` consecutive ones, beginning every `stride` frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowRule {
    pub window: usize,
    pub stride: usize,
}

impl RowRule {
    /// A row for each frame.
    pub const EACH_FRAME: Self = Self { window: 1, stride: 1 };

    /// Rows of a clip of `frames` frames: one for each window that lies in the clip, and one for a clip that is shorter
    /// than a window.
    pub fn rows(self, frames: usize) -> usize {
        match frames {
            0 => 0,
            _ => frames.saturating_sub(self.window) / self.stride.max(1) + 1,
        }
    }

    fn is_each_frame(&self) -> bool {
        *self == Self::EACH_FRAME
    }
}

impl Default for RowRule {
    fn default() -> Self {
        Self::EACH_FRAME
    }
}

/// One feature stream of a store and how it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamInfo {
    /// Columns of the arrays.
    pub dim: usize,
    /// Rows of a clip; absent: one for each frame.
    #[serde(default, skip_serializing_if = "RowRule::is_each_frame")]
    pub rows: RowRule,
    /// Name of the encoder.
    pub encoder: String,
    /// Compute type of the encoder.
    pub compute: String,
    /// SHA-256 of every weight file that took part, by file name; synthetic weights are named with their salt.
    pub weights: BTreeMap<String, String>,
    /// Effective settings of the encoder.
    pub config: serde_json::Value,
}

impl StreamInfo {
    /// How the files are named that the stream was imported from, where others made it.
    pub fn imported(&self) -> Option<&str> {
        self.config.get("imported")?.as_str()
    }

    /// Whether the identity of weights is not of a file: they were computed, and the network is untrained.
    pub fn is_computed(identity: &str) -> bool {
        identity.starts_with("salt ")
    }
}

/// `store.json`. Everything but `format` and `tool` must agree for a run to append.
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
    /// Streams by name.
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
            std::io::ErrorKind::InvalidData => damaged(&path, "", "not UTF-8"),
            _ => Error::Io { file: path.clone(), source: e },
        })?;
        let info: Self = serde_json::from_str(&text).map_err(|e| {
            let remedy = match e.classify() {
                Category::Data => NOT_OURS,
                _ => "it is damaged; move the folder away and extract again",
            };
            Error::input(&path, format!("line {}", e.line()), e.to_string(), remedy)
        })?;
        if !(OLDEST..=FORMAT).contains(&info.format) {
            return Err(Error::input(
                &path,
                "format",
                format!("version {} where this tool reads {OLDEST} to {FORMAT}", info.format),
                "use the version of the tool that made it",
            ));
        }
        info.check(&path)?;
        Ok(info)
    }

    /// Whether a stream may have this name.
    pub fn is_stream_name(name: &str) -> bool {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Streams become file names, and their widths sizes in memory.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        for (name, StreamInfo { dim, rows, .. }) in &self.streams {
            let wrong = |what: &str| Err(damaged(path, &format!("streams.{name}"), what));
            if !Self::is_stream_name(name) {
                return wrong("not the name of a stream");
            }
            if !(1..=1 << 20).contains(dim) {
                return wrong(&format!("{dim} columns"));
            }
            if [rows.window, rows.stride].iter().any(|frames| !(1..=1 << 20).contains(frames)) {
                return wrong(&format!("windows of {} frames, every {}", rows.window, rows.stride));
            }
            if self.format == OLDEST && !rows.is_each_frame() {
                return wrong("\"rows\", which format 1 does not have");
            }
        }
        Ok(())
    }

    /// The first field in which two descriptions differ, with both values. Neither the format nor the tool counts.
    pub fn difference(&self, other: &Self) -> Result<Option<(String, String, String)>> {
        difference::between(self, &Self { format: self.format, tool: self.tool.clone(), ..other.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_full_windows_or_a_single_padded_one() {
        let motion = RowRule { window: 16, stride: 8 };
        let rows = [0, 1, 15, 16, 23, 24, 31, 32, 40].map(|frames| motion.rows(frames));
        assert_eq!(rows, [0, 1, 1, 1, 1, 2, 2, 3, 4]);
        assert_eq!([0, 1, 7].map(|frames| RowRule::EACH_FRAME.rows(frames)), [0, 1, 7]);
    }
}
