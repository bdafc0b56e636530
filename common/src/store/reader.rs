//! Reading a store through memory maps.

use super::damage::{NOT_OURS, damaged};
use super::description::{StoreDtype, StoreInfo};
use super::index::{ClipRecord, index_files, index_path, read_index, shard_path};
use super::npy;
use crate::map::Map;
use crate::{Error, Result, checksum};
use half::f16;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A split's features, opened for reading.
pub struct Store {
    pub folder: PathBuf,
    pub info: StoreInfo,
    /// Finished clips in the order they were written.
    pub clips: Vec<ClipRecord>,
    /// Rank of each clip.
    pub(super) ranks: Vec<u32>,
    /// Files by rank and shard, one for each stream in the order of `info.streams`.
    maps: HashMap<(u32, u32), Vec<Map>>,
}

/// The rows of one clip in one stream.
#[derive(Debug, Clone, Copy)]
pub struct Features<'s> {
    pub rows: usize,
    pub dim: usize,
    pub dtype: StoreDtype,
    /// `[rows, dim]`, row-major, little-endian.
    pub bytes: &'s [u8],
}

/// What can be wrong with the rows of a clip.
pub(super) enum Problem {
    /// They are not those that the checksum is of.
    Changed,
    /// The index line does not have the stream.
    NoStream,
    /// A value of this row is NaN or infinite.
    NotFinite(usize),
}

impl Problem {
    /// The problem in words.
    pub(super) fn text(&self, stream: &str) -> String {
        match self {
            Self::Changed => "its bytes are not those that were written".to_owned(),
            Self::NoStream => format!("the stream {stream} is missing in its index line"),
            Self::NotFinite(row) => {
                format!("row {row} of the stream {stream} is not finite (NaN or infinite)")
            }
        }
    }
}

impl Features<'_> {
    /// The part from row `first` on, `rows` rows long.
    ///
    /// # Panics
    /// Where there are not that many.
    pub fn part(&self, first: usize, rows: usize) -> Self {
        let row = self.dim * self.dtype.bytes();
        Self { rows, bytes: &self.bytes[first * row..(first + rows) * row], ..*self }
    }

    /// The first row with a value that is not finite.
    pub fn not_finite(&self) -> Option<usize> {
        // Infinities and NaN have every bit of the exponent.
        let at = match self.dtype {
            StoreDtype::F16 => self.bytes.chunks_exact(2).position(|b| b[1] & 0x7c == 0x7c),
            StoreDtype::F32 => {
                self.bytes.chunks_exact(4).position(|b| b[3] & 0x7f == 0x7f && b[2] & 0x80 == 0x80)
            }
        };
        at.map(|value| value / self.dim)
    }

    /// The rows as float32, `[rows * dim]`.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            StoreDtype::F16 => {
                self.bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            StoreDtype::F32 => {
                self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
        }
    }
}

impl Store {
    /// Open the split folder `folder`. Every clip's rows are checked to lie inside their shard; payload bytes are
    /// not read.
    pub fn open(folder: &Path) -> Result<Self> {
        let info = StoreInfo::read(folder)?;
        let mut store = Self {
            folder: folder.to_path_buf(),
            info,
            clips: Vec::new(),
            ranks: Vec::new(),
            maps: HashMap::new(),
        };
        let mut seen: HashMap<String, u32> = HashMap::new();
        for (rank, path) in index_files(folder)? {
            let (records, _) = read_index(&path)?;
            for record in records {
                if let Some(first) = seen.insert(record.id.clone(), rank) {
                    let first = index_path(folder, first);
                    let what = format!("the clip {:?} is already in {}", record.id, first.display());
                    return Err(damaged(&path, "", &what));
                }
                store.map(&record, rank)?;
                store.clips.push(record);
                store.ranks.push(rank);
            }
        }
        Ok(store)
    }

    /// Leave out the clips that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&ClipRecord) -> bool) {
        let mut keeps = self.clips.iter().map(&keep).collect::<Vec<bool>>().into_iter();
        self.ranks.retain(|_| keeps.next().unwrap_or(false));
        self.clips.retain(keep);
    }

    /// Put the clips into the order of their ids: in which order they were finished is a matter of chance.
    pub fn sort_by_id(&mut self) {
        let ranks = std::mem::take(&mut self.ranks);
        let mut clips: Vec<(ClipRecord, u32)> =
            std::mem::take(&mut self.clips).into_iter().zip(ranks).collect();
        clips.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        (self.clips, self.ranks) = clips.into_iter().unzip();
    }

    /// The rows of clip number `clip` in `stream`; `None` where the store has no such stream.
    pub fn features(&self, clip: usize, stream: &str) -> Option<Features<'_>> {
        let dim = self.info.streams.get(stream)?.dim;
        let record = &self.clips[clip];
        let rows = record.streams.get(stream)?;
        let number = self.info.streams.keys().position(|name| name == stream)?;
        let map = &self.maps.get(&(self.ranks[clip], record.shard))?[number];
        let row = dim * self.info.dtype.bytes();
        let begin = npy::HEADER + rows.offset * row;
        let bytes = &map[begin..begin + rows.rows * row];
        Some(Features { rows: rows.rows, dim, dtype: self.info.dtype, bytes })
    }

    /// Compare the rows of a clip in `stream` with their checksum. Errors: they are not those that were written; they
    /// were written with values that are not finite; no such stream.
    pub fn verify_clip(&self, clip: usize, stream: &str) -> Result<()> {
        let Some(problem) = self.problem(clip, stream) else { return Ok(()) };
        let id = &self.clips[clip].id;
        let remedy = match problem {
            Problem::NotFinite(_) => {
                format!(
                    "whatever made the store wrote it; make the clip again, or leave {id:?} out of the data set"
                )
            }
            Problem::NoStream => NOT_OURS.to_owned(),
            Problem::Changed => format!(
                "the file is damaged there; make the clip again with the command that made the store and --only {id}"
            ),
        };
        let place = format!("clip {id:?}");
        Err(Error::input(self.file_of(&problem, clip, stream), place, problem.text(stream), remedy))
    }

    /// The file that a problem with the rows of a clip in `stream` is in.
    pub(super) fn file_of(&self, problem: &Problem, clip: usize, stream: &str) -> PathBuf {
        match problem {
            Problem::NoStream => index_path(&self.folder, self.ranks[clip]),
            Problem::Changed | Problem::NotFinite(_) => self.shard_of(clip, stream),
        }
    }

    /// What is wrong with the rows of a clip in `stream`.
    pub(super) fn problem(&self, clip: usize, stream: &str) -> Option<Problem> {
        let (Some(rows), Some(wanted)) = (self.features(clip, stream), self.clips[clip].streams.get(stream))
        else {
            return Some(Problem::NoStream);
        };
        if checksum::of(rows.bytes) != wanted.sha256 {
            return Some(Problem::Changed);
        }
        rows.not_finite().map(Problem::NotFinite)
    }

    /// Shard file of a clip, for messages.
    pub fn shard_of(&self, clip: usize, stream: &str) -> PathBuf {
        shard_path(&self.folder, stream, self.ranks[clip], self.clips[clip].shard)
    }

    /// Map the shards of a clip, and check that its rows lie inside.
    fn map(&mut self, record: &ClipRecord, rank: u32) -> Result<()> {
        let path = |stream: &str| shard_path(&self.folder, stream, rank, record.shard);
        let key = (rank, record.shard);
        if !self.maps.contains_key(&key) {
            let mut maps = Vec::new();
            for (stream, info) in &self.info.streams {
                let path = path(stream);
                npy::rows(&path, self.info.dtype, info.dim)?;
                // Indexed rows of a shard are never rewritten, but for those of a clip that is damaged, which nobody uses.
                maps.push(Map::open(&path).map_err(Error::io(&path))?);
            }
            self.maps.insert(key, maps);
        }
        for (map, (stream, info)) in self.maps[&key].iter().zip(&self.info.streams) {
            // A line without the stream is named when the stream is asked for.
            let Some(rows) = record.streams.get(stream) else { continue };
            let wanted = info.rows.rows(record.frames);
            if rows.rows != wanted {
                let what = format!(
                    "the clip {:?} has {} rows of the stream {stream}, its {} frames make {wanted}",
                    record.id, rows.rows, record.frames
                );
                return Err(damaged(&index_path(&self.folder, rank), "", &what));
            }
            let row = info.dim * self.info.dtype.bytes();
            let end = (rows.offset.checked_add(rows.rows))
                .and_then(|rows| rows.checked_mul(row))
                .and_then(|bytes| bytes.checked_add(npy::HEADER));
            if end.is_none_or(|end| end > map.len()) {
                let what = format!("the clip {:?} needs rows that the file does not have", record.id);
                return Err(damaged(&path(stream), "length", &what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_are_found_in_both_types() {
        let row = |dtype, bytes: &[u8]| Features { rows: 3, dim: 2, dtype, bytes }.not_finite();
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = [0.0, -1.0, f32::MAX, f32::MIN_POSITIVE, 65504.0, 1e-7];
            let singles = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
            let halves = |values: &[f32]| -> Vec<u8> {
                values.iter().map(|x| f16::from_f32(x.min(65504.0))).flat_map(f16::to_le_bytes).collect()
            };
            assert_eq!(row(StoreDtype::F32, &singles(&values)), None);
            assert_eq!(row(StoreDtype::F16, &halves(&values)), None);
            values[3] = wrong;
            assert_eq!(row(StoreDtype::F32, &singles(&values)), Some(1), "{wrong}");
            let mut bytes = halves(&values);
            bytes[6..8].copy_from_slice(&f16::from_f32(wrong).to_le_bytes());
            assert_eq!(row(StoreDtype::F16, &bytes), Some(1), "{wrong}");
        }
    }
}
