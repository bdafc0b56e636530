//! Writing a store: payload first, then the index line, then the row counts. A kill between any two steps leaves
//! bytes behind the last indexed clip, which the next run cuts off.

use super::{
    ClipFacts, ClipRecord, FORMAT, Failure, STORE_FILE, StoreDtype, StoreInfo, npy, read_index, shard_path,
};
use crate::checksum::Checksum;
use crate::{Error, Result, atomic};
use half::f16;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Rows a shard holds before the next one is begun: 1 GiB of spatial features in float16.
const SHARD_ROWS: usize = 262_144;

/// One process's share of a store, open for appending.
pub struct StoreWriter {
    folder: PathBuf,
    info: StoreInfo,
    rank: u32,
    index: File,
    index_path: PathBuf,
    index_bytes: u64,
    failures_path: PathBuf,
    done: HashSet<String>,
    shard: u32,
    rows: usize,
    files: BTreeMap<String, File>,
    _lock: File,
}

impl StoreWriter {
    /// Open or create the store in `folder` for `rank`. What an interrupted run left behind its last indexed clip is
    /// cut off. Errors: a store made with other weights or settings, another process writing the same rank.
    pub fn open(folder: &Path, info: StoreInfo, rank: u32) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let lock = lock(folder, rank)?;
        if folder.join(STORE_FILE).exists() {
            let present = StoreInfo::read(folder)?;
            if let Some((field, there, here)) = present.difference(&info) {
                return Err(Error::input(
                    folder.join(STORE_FILE),
                    field,
                    format!("the store was made with {there}, this run has {here}"),
                    "use the same weights and settings, or another folder with --out",
                ));
            }
        } else {
            debug_assert_eq!(info.format, FORMAT);
            let text = serde_json::to_string_pretty(&info).unwrap_or_default();
            atomic::write(&folder.join(STORE_FILE), (text + "\n").as_bytes())?;
        }
        let index_path = folder.join(format!("clips-{rank:05}.jsonl"));
        let failures_path = folder.join(format!("failures-{rank:05}.jsonl"));
        let (records, whole) = read_index(&index_path)?;
        let open =
            |path: &Path| OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path));
        let index = open(&index_path)?;
        index.set_len(whole as u64).map_err(Error::io(&index_path))?;
        let shard = records.iter().map(|r| r.shard).max().unwrap_or(0);
        let rows =
            records.iter().filter(|r| r.shard == shard).map(|r| r.offset + r.frames).max().unwrap_or(0);
        let mut writer = Self {
            folder: folder.to_path_buf(),
            info,
            rank,
            index,
            index_path,
            index_bytes: whole as u64,
            failures_path,
            done: HashSet::new(),
            shard,
            rows,
            files: BTreeMap::new(),
            _lock: lock,
        };
        writer.open_shard(&records)?;
        writer.done = records.into_iter().map(|r| r.id).collect();
        Ok(writer)
    }

    /// Whether a clip is already in this rank's share.
    pub fn is_done(&self, id: &str) -> bool {
        self.done.contains(id)
    }

    /// Clips in this rank's share.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Begin a clip. Dropping the [`ClipWriter`] without `finish` forgets it.
    pub fn begin(&mut self) -> Result<ClipWriter<'_>> {
        if self.rows >= SHARD_ROWS {
            self.shard += 1;
            self.rows = 0;
            self.open_shard(&[])?;
        }
        let sums = self.info.streams.keys().map(|s| (s.clone(), (0, Checksum::default()))).collect();
        Ok(ClipWriter { store: self, streams: sums })
    }

    /// Record failed clips, replacing earlier records: a clip that failed before and is stored now is no failure.
    pub fn write_failures(&self, failures: &[Failure]) -> Result<()> {
        if failures.is_empty() {
            return match fs::remove_file(&self.failures_path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&self.failures_path)(e)),
                _ => Ok(()),
            };
        }
        let lines: Vec<String> =
            failures.iter().map(|f| serde_json::to_string(f).unwrap_or_default() + "\n").collect();
        atomic::write(&self.failures_path, lines.concat().as_bytes())
    }

    /// Open the current shard of each stream, cut it behind the last indexed row and repair its row count. Shards
    /// beyond it hold nothing indexed and are removed.
    fn open_shard(&mut self, records: &[ClipRecord]) -> Result<()> {
        let streams: Vec<(String, usize)> =
            self.info.streams.iter().map(|(n, s)| (n.clone(), s.dim)).collect();
        for (stream, dim) in streams {
            let path = shard_path(&self.folder, &stream, self.rank, self.shard);
            let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
            let file = file.map_err(Error::io(&path))?;
            let wanted = self.payload_end(self.rows, dim);
            let present = file.metadata().map_err(Error::io(&path))?.len();
            if present < wanted && !records.is_empty() {
                return Err(npy::damaged(
                    &path,
                    "length",
                    &format!("{present} bytes where the index has {wanted}"),
                ));
            }
            file.set_len(wanted).map_err(Error::io(&path))?;
            self.write_header(&file, &path, dim)?;
            self.files.insert(stream.clone(), file);
            let mut beyond = self.shard + 1;
            while fs::remove_file(shard_path(&self.folder, &stream, self.rank, beyond)).is_ok() {
                beyond += 1;
            }
        }
        atomic::sync_folder(&self.index_path).map_err(Error::io(&self.folder))
    }

    fn payload_end(&self, rows: usize, dim: usize) -> u64 {
        (npy::HEADER + rows * dim * self.info.dtype.bytes()) as u64
    }

    fn write_header(&self, file: &File, path: &Path, dim: usize) -> Result<()> {
        file.write_all_at(&npy::header(self.info.dtype, self.rows, dim), 0).map_err(Error::io(path))
    }
}

/// A clip being written, window by window.
pub struct ClipWriter<'s> {
    store: &'s mut StoreWriter,
    /// Rows so far and running checksum, by stream.
    streams: BTreeMap<String, (usize, Checksum)>,
}

impl ClipWriter<'_> {
    /// Append rows (`[n, dim]`, row-major float32) to a stream; converted to the store's type.
    pub fn append(&mut self, stream: &str, rows: &[f32]) -> Result<()> {
        let store = &mut *self.store;
        let unknown =
            || Error::usage(format!("the store has no stream {stream:?}"), "this is a bug; please report it");
        let dim = store.info.streams.get(stream).ok_or_else(unknown)?.dim;
        let (done, sum) = self.streams.get_mut(stream).ok_or_else(unknown)?;
        let bytes = to_bytes(rows, store.info.dtype);
        let begin = store.payload_end(store.rows + *done, dim);
        let file = &store.files[stream];
        let path = shard_path(&store.folder, stream, store.rank, store.shard);
        file.write_all_at(&bytes, begin).map_err(Error::io(&path))?;
        sum.update(&bytes);
        *done += rows.len() / dim;
        Ok(())
    }

    /// Make the clip part of the store. Errors where its streams differ in length, or it has no rows.
    pub fn finish(self, id: &str, facts: ClipFacts) -> Result<ClipRecord> {
        let frames = self.streams.values().map(|(rows, _)| *rows).max().unwrap_or(0);
        if frames == 0 || self.streams.values().any(|(rows, _)| *rows != frames) {
            let lengths: Vec<String> = self.streams.iter().map(|(s, (n, _))| format!("{s} {n}")).collect();
            return Err(Error::usage(
                format!("clip {id:?}: the streams have {} frames", lengths.join(", ")),
                "every stream needs the same number, and at least one",
            ));
        }
        let store = self.store;
        for (stream, file) in &store.files {
            let path = shard_path(&store.folder, stream, store.rank, store.shard);
            file.sync_data().map_err(Error::io(&path))?;
        }
        let sha256 = self.streams.into_iter().map(|(stream, (_, sum))| (stream, sum.hex())).collect();
        let record =
            ClipRecord { id: id.to_owned(), shard: store.shard, offset: store.rows, frames, sha256, facts };
        let line = serde_json::to_string(&record).unwrap_or_default() + "\n";
        if let Err(e) = store.index.write_all(line.as_bytes()).and_then(|()| store.index.sync_data()) {
            // A part of a line would spoil the next one.
            let _ = store.index.set_len(store.index_bytes);
            return Err(Error::io(&store.index_path)(e));
        }
        store.index_bytes += line.len() as u64;
        store.rows += frames;
        store.done.insert(id.to_owned());
        for (stream, file) in &store.files {
            let path = shard_path(&store.folder, stream, store.rank, store.shard);
            store.write_header(file, &path, store.info.streams[stream].dim)?;
        }
        Ok(record)
    }
}

/// Rows as they lie on disk: little-endian, IEEE rounding to nearest.
fn to_bytes(rows: &[f32], dtype: StoreDtype) -> Vec<u8> {
    match dtype {
        StoreDtype::F16 => rows.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        StoreDtype::F32 => rows.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// Keep a second process from writing the same files. The lock ends with the process.
fn lock(folder: &Path, rank: u32) -> Result<File> {
    let path = folder.join(format!(".lock-{rank:05}"));
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(Error::io(&path))?;
    file.try_lock().map_err(|_| {
        Error::input(
            folder,
            "",
            format!("another process is writing rank {rank} of this store"),
            "wait for it, or stop it",
        )
    })?;
    Ok(file)
}
