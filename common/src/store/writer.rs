//! Writing a store: payload first, then the index line, then the row counts. A kill between any two steps leaves
//! bytes behind the last indexed clip, which the next run cuts off.

use super::lock::{IndexLock, rank_lock};
use super::others::Watch;
use super::{
    ClipFacts, ClipRecord, FORMAT, Failure, STORE_FILE, Store, StoreDtype, StoreInfo, failures, index_files,
    index_path, npy, read_index, shard_path,
};
use crate::checksum::Checksum;
use crate::regular_file;
use crate::{Error, Result, atomic, disk, json};
use half::f16;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Rows a shard holds before the next one is begun: 1 GiB of spatial features in float16.
const SHARD_ROWS: usize = 262_144;

/// From here on rounding to float16 gives infinity.
const F16_LIMIT: f32 = 65_520.0;

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
    /// Clips in which no face was found, when this was opened.
    without_face: usize,
    /// Clips to be made again in their places.
    damaged: HashMap<String, ClipRecord>,
    /// Clips of other ranks: their number may change between runs, and their shares may overlap.
    others: Watch,
    index_lock: IndexLock,
    shard: u32,
    rows: usize,
    files: BTreeMap<String, File>,
    _lock: File,
}

impl StoreWriter {
    /// Open or create the store in `folder` for `rank`. What an interrupted run left behind its last indexed clip is
    /// cut off. Errors: a store made with other weights or settings, another process writing the same rank.
    pub fn open(folder: &Path, info: StoreInfo, rank: u32) -> Result<Self> {
        disk::call(|| fs::create_dir_all(folder)).map_err(Error::io(folder))?;
        let lock = rank_lock(folder, rank)?;
        describe(folder, &info)?;
        let index_path = index_path(folder, rank);
        let (records, whole) = read_index(&index_path)?;
        let mut ids = HashSet::new();
        if let Some(twice) = records.iter().find(|record| !ids.insert(record.id.as_str())) {
            let what = format!("the clip {:?} stands in it twice", twice.id);
            return Err(npy::damaged(&index_path, "", &what));
        }
        let open = || regular_file::append(&index_path);
        let index = disk::call(open).map_err(Error::io(&index_path))?;
        disk::call(|| index.set_len(whole as u64)).map_err(Error::io(&index_path))?;
        let shard = records.iter().map(|r| r.shard).max().unwrap_or(0);
        let ends = records.iter().filter(|r| r.shard == shard).map(|r| r.offset.saturating_add(r.frames));
        let rows = ends.max().unwrap_or(0);
        let mut writer = Self {
            folder: folder.to_path_buf(),
            info,
            rank,
            index,
            index_path,
            index_bytes: whole as u64,
            failures_path: failures::path(folder, rank),
            without_face: records.iter().filter(|r| r.facts.face_coverage == Some(0.0)).count(),
            done: records.into_iter().map(|r| r.id).collect(),
            damaged: HashMap::new(),
            others: Watch::new(folder, rank)?,
            index_lock: IndexLock::open(folder)?,
            shard,
            rows,
            files: BTreeMap::new(),
            _lock: lock,
        };
        writer.open_shard(shard, rows)?;
        Ok(writer)
    }

    /// Whether a clip is already in the store, of this rank or, as far as is known here, of another.
    pub fn is_done(&self, id: &str) -> bool {
        self.done.contains(id) || self.others.knows(id)
    }

    /// A look at what other ranks finish meanwhile.
    pub fn watch(&self) -> Watch {
        self.others.clone()
    }

    /// Clips of this rank's share without any face that were there when this was opened.
    pub fn without_face(&self) -> usize {
        self.without_face
    }

    /// Take a clip of this rank for missing where its bytes are not those that were written, so that it is made again,
    /// in its place. Says whether that is so.
    pub fn reopen_damaged(&mut self, id: &str) -> Result<bool> {
        if !self.done.contains(id) {
            return Ok(false);
        }
        let store = Store::open(&self.folder)?;
        let Some(clip) = store.clips.iter().position(|clip| clip.id == id) else { return Ok(false) };
        if self.info.streams.keys().all(|stream| store.verify_clip(clip, stream).is_ok()) {
            return Ok(false);
        }
        self.done.remove(id);
        self.damaged.insert(id.to_owned(), store.clips[clip].clone());
        Ok(true)
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
            self.open_shard(self.shard + 1, 0)?;
        }
        let sums = self.info.streams.keys().map(|s| (s.clone(), (0, Checksum::default()))).collect();
        Ok(ClipWriter { store: self, streams: sums })
    }

    /// Failures recorded by earlier runs of this rank.
    pub fn failures(&self) -> Result<Vec<Failure>> {
        failures::read(&self.failures_path)
    }

    /// Record a clip that failed, at once.
    pub fn add_failure(&self, failure: &Failure) -> Result<()> {
        failures::add(&self.failures_path, failure)
    }

    /// Record failed clips, replacing earlier records: a clip that failed before and is stored now is no failure.
    pub fn write_failures(&self, failures: &[Failure]) -> Result<()> {
        failures::write(&self.failures_path, failures)
    }

    /// Take clips that are not `known` any more out of the lists of failures.
    pub fn forget_failures(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        let mut own = self.failures()?;
        own.retain(|failure| known(&failure.id));
        self.write_failures(&own)?;
        failures::settle(&self.folder, self.rank, |id| !known(id))
    }

    /// Take clips that are stored by now, and those in `tried`, which this rank tells of, out of the lists of ranks
    /// that are not running.
    pub fn settle_failures(&self, tried: &HashSet<&str>) -> Result<()> {
        failures::settle(&self.folder, self.rank, |id| tried.contains(id) || self.is_done(id))
    }

    /// Open a shard of each stream, cut it behind its `rows` indexed rows, repair its row count and go on with it.
    /// Shards beyond it hold nothing indexed and are removed.
    fn open_shard(&mut self, shard: u32, rows: usize) -> Result<()> {
        let mut files = BTreeMap::new();
        for (stream, info) in &self.info.streams {
            let path = shard_path(&self.folder, stream, self.rank, shard);
            let open = || regular_file::create(&path);
            let file = disk::call(open).map_err(Error::io(&path))?;
            let wanted = self.payload_end(rows, info.dim);
            let present = file.metadata().map_err(Error::io(&path))?.len();
            if present < wanted && rows > 0 {
                let what = format!("{present} bytes where the index has {wanted}");
                return Err(npy::damaged(&path, "length", &what));
            }
            disk::call(|| file.set_len(wanted)).map_err(Error::io(&path))?;
            self.write_header(&file, &path, rows, info.dim)?;
            files.insert(stream.clone(), file);
            let mut beyond = shard + 1;
            while disk::call(|| fs::remove_file(shard_path(&self.folder, stream, self.rank, beyond))).is_ok()
            {
                beyond += 1;
            }
        }
        atomic::sync_folder(&self.index_path).map_err(Error::io(&self.folder))?;
        (self.files, self.shard, self.rows) = (files, shard, rows);
        Ok(())
    }

    /// Put the rows of a clip that stand behind the last clip into the place of `old`. A kill on the way leaves it
    /// damaged, to be made again.
    fn replace(&mut self, old: &ClipRecord, new: ClipRecord) -> Result<ClipRecord> {
        let new = ClipRecord { shard: old.shard, offset: old.offset, ..new };
        for (stream, file) in &self.files {
            let dim = self.info.streams[stream].dim;
            let begin = self.payload_end(self.rows, dim);
            let mut bytes = vec![0; (self.payload_end(self.rows + new.frames, dim) - begin) as usize];
            let path = shard_path(&self.folder, stream, self.rank, self.shard);
            file.read_exact_at(&mut bytes, begin).map_err(Error::io(&path))?;
            let path = shard_path(&self.folder, stream, self.rank, old.shard);
            let place = regular_file::edit(&path).map_err(Error::io(&path))?;
            let begin = self.payload_end(old.offset, dim);
            disk::write(&bytes, |bytes| place.write_all_at(bytes, begin))
                .and_then(|()| disk::call(|| place.sync_data()))
                .map_err(Error::io(&path))?;
        }
        if new != *old {
            let records = read_index(&self.index_path)?.0;
            let line = |record: &ClipRecord| {
                let record = if record.id == new.id { &new } else { record };
                json::line(record)
            };
            let text = records.iter().map(line).collect::<Result<String>>()?;
            atomic::write(&self.index_path, text.as_bytes())?;
            self.index = regular_file::append(&self.index_path).map_err(Error::io(&self.index_path))?;
            self.index_bytes = text.len() as u64;
        }
        self.done.insert(new.id.clone());
        Ok(new)
    }

    fn payload_end(&self, rows: usize, dim: usize) -> u64 {
        let bytes = rows.saturating_mul(dim * self.info.dtype.bytes());
        bytes.saturating_add(npy::HEADER) as u64
    }

    fn write_header(&self, file: &File, path: &Path, rows: usize, dim: usize) -> Result<()> {
        let header = npy::header(self.info.dtype, rows, dim);
        disk::write(&header, |bytes| file.write_all_at(bytes, 0)).map_err(Error::io(path))
    }
}

/// A clip being written, window by window.
pub struct ClipWriter<'s> {
    store: &'s mut StoreWriter,
    /// Rows so far and running checksum, by stream.
    streams: BTreeMap<String, (usize, Checksum)>,
}

impl ClipWriter<'_> {
    /// Append rows (`[n, dim]`, row-major float32) to a stream; converted to the store's type. Errors: a part of a
    /// row, a value that is not finite in that type.
    pub fn append(&mut self, stream: &str, rows: &[f32]) -> Result<()> {
        let store = &mut *self.store;
        let unknown =
            || Error::usage(format!("the store has no stream {stream:?}"), "this is a bug; please report it");
        let dim = store.info.streams.get(stream).ok_or_else(unknown)?.dim;
        let (done, sum) = self.streams.get_mut(stream).ok_or_else(unknown)?;
        if !rows.len().is_multiple_of(dim) {
            let what = format!("stream {stream:?}: {} values are no rows of {dim}", rows.len());
            return Err(Error::usage(what, "this is a bug; please report it"));
        }
        let limit = match store.info.dtype {
            StoreDtype::F16 => F16_LIMIT,
            StoreDtype::F32 => f32::INFINITY,
        };
        if let Some(at) = rows.iter().position(|x| !x.is_finite() || x.abs() >= limit) {
            let row = *done + at / dim;
            return Err(Error::usage(
                format!("stream {stream:?}, row {row}: {} cannot be stored", rows[at]),
                "use --store-dtype f32 for values beyond float16; NaN or infinity: compute with --dtype f32",
            ));
        }
        let bytes = to_bytes(rows, store.info.dtype);
        let begin = store.payload_end(store.rows + *done, dim);
        let file = &store.files[stream];
        let path = shard_path(&store.folder, stream, store.rank, store.shard);
        disk::write(&bytes, |bytes| file.write_all_at(bytes, begin)).map_err(Error::io(&path))?;
        sum.update(&bytes);
        *done += rows.len() / dim;
        Ok(())
    }

    /// Make the clip part of the store. Errors where its streams differ in length, or it has no rows.
    pub fn finish(mut self, id: &str, facts: ClipFacts) -> Result<ClipRecord> {
        let frames = self.streams.values().map(|(rows, _)| *rows).max().unwrap_or(0);
        if frames == 0 || self.streams.values().any(|(rows, _)| *rows != frames) {
            let lengths: Vec<String> = self.streams.iter().map(|(s, (n, _))| format!("{s} {n}")).collect();
            return Err(Error::usage(
                format!("clip {id:?}: the streams have {} frames", lengths.join(", ")),
                "every stream needs the same number, and at least one",
            ));
        }
        let sums = std::mem::take(&mut self.streams);
        let store = &mut *self.store;
        for (stream, file) in &store.files {
            let path = shard_path(&store.folder, stream, store.rank, store.shard);
            disk::call(|| file.sync_data()).map_err(Error::io(&path))?;
        }
        if let Some(old) = store.damaged.remove(id) {
            if old.frames != frames {
                return Err(Error::usage(
                    format!("clip {id:?}: {frames} frames where the store has {}", old.frames),
                    "its source has changed; move the split's folder away and extract again",
                ));
            }
            let sha256 = sums.into_iter().map(|(stream, (_, sum))| (stream, sum.hex())).collect();
            let new = ClipRecord { sha256, facts, ..old.clone() };
            return store.replace(&old, new);
        }
        // From the look at the others' indexes until the line stands in this one nobody else adds any.
        let index_lock = store.index_lock.hold();
        store.others.look()?;
        if store.is_done(id) {
            let what = format!("the clip {id:?} is already in the store");
            return Err(Error::usage(what, "give each clip an id of its own"));
        }
        let sha256 = sums.into_iter().map(|(stream, (_, sum))| (stream, sum.hex())).collect();
        let record =
            ClipRecord { id: id.to_owned(), shard: store.shard, offset: store.rows, frames, sha256, facts };
        let line = json::line(&record)?;
        if serde_json::from_str(&line).ok().as_ref() != Some(&record) {
            let what = format!("clip {id:?}: {line} does not read back as what was meant");
            return Err(Error::usage(what, "numbers must be finite"));
        }
        let index = &mut store.index;
        let added = disk::write(line.as_bytes(), |bytes| index.write_all(bytes));
        if let Err(e) = added.and_then(|()| disk::call(|| index.sync_data())) {
            // A part of a line would spoil the next one.
            let _ = disk::call(|| index.set_len(store.index_bytes));
            return Err(Error::io(&store.index_path)(e));
        }
        drop(index_lock);
        store.index_bytes += line.len() as u64;
        store.rows += frames;
        store.done.insert(id.to_owned());
        for (stream, file) in &store.files {
            let path = shard_path(&store.folder, stream, store.rank, store.shard);
            store.write_header(file, &path, store.rows, store.info.streams[stream].dim)?;
        }
        Ok(record)
    }
}

/// A clip that was given up must not keep the room its rows took, least of all on a full disk.
impl Drop for ClipWriter<'_> {
    fn drop(&mut self) {
        for (stream, file) in &self.store.files {
            let end = self.store.payload_end(self.store.rows, self.store.info.streams[stream].dim);
            if let Err(e) = disk::call(|| file.set_len(end)) {
                tracing::debug!("{stream}: not cut back: {e}");
            }
        }
    }
}

/// Make `store.json`, or compare it with `info` where it exists: another rank may have been first.
fn describe(folder: &Path, info: &StoreInfo) -> Result<()> {
    let path = folder.join(STORE_FILE);
    // Listed before store.json is looked for, which is older than any index.
    let mut indexes = index_files(folder)?;
    indexes.retain(|(_, index)| fs::metadata(index).is_ok_and(|m| m.len() > 0));
    if !path.exists() {
        if let Some((_, index)) = indexes.first() {
            let what = format!("missing, though {} has clips", index.display());
            return Err(npy::damaged(&path, "", &what));
        }
        info.check(&path)?;
        let text = json::pretty(info)?;
        if info.format != FORMAT || serde_json::from_str(&text).ok().as_ref() != Some(info) {
            let what = format!("{}: the description does not read back as what was meant", path.display());
            return Err(Error::usage(what, "numbers must be finite"));
        }
        atomic::create(&path, text.as_bytes())?;
    }
    let present = StoreInfo::read(folder)?;
    match present.difference(info)? {
        None => Ok(()),
        Some((field, there, here)) => Err(Error::input(
            path,
            field,
            format!("the store was made with {there}, this run has {here}"),
            "use the same weights and settings, or another folder with --out",
        )),
    }
}

/// Rows as they lie on disk: little-endian, IEEE rounding to nearest.
fn to_bytes(rows: &[f32], dtype: StoreDtype) -> Vec<u8> {
    match dtype {
        StoreDtype::F16 => rows.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        StoreDtype::F32 => rows.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}
