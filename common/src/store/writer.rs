//! Writing a store: payload first, then the index line, then the row counts. A kill between any two steps leaves
//! bytes behind the last indexed clip, which the next run cuts off.

use super::damage::damaged;
use super::description::{FORMAT, RowRule, STORE_FILE, StoreDtype, StoreInfo};
use super::failures::{self, Failure};
use super::index::{ClipFacts, ClipRecord, StreamRows, index_files, index_path, read_index, shard_path};
use super::lock::{IndexLock, rank_lock};
use super::npy;
use super::others::Watch;
use super::reader::Store;
use crate::checksum::Checksum;
use crate::regular_file;
use crate::{Error, Result, atomic, disk, json};
use half::f16;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Rows of a stream that a shard holds before the next one is begun: 1 GiB of spatial features in float16.
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
    files: BTreeMap<String, ShardFile>,
    _lock: File,
}

/// The current shard of one stream.
struct ShardFile {
    path: PathBuf,
    file: File,
    dtype: StoreDtype,
    dim: usize,
    rule: RowRule,
    /// Rows that the index has.
    rows: usize,
}

impl ShardFile {
    /// Opens the shard, cuts it behind its `rows` indexed rows and repairs its row count.
    fn open(path: PathBuf, dtype: StoreDtype, dim: usize, rule: RowRule, rows: usize) -> Result<Self> {
        let file = disk::call(|| regular_file::create(&path)).map_err(Error::io(&path))?;
        let shard = Self { path, file, dtype, dim, rule, rows };
        let (path, wanted) = (&shard.path, shard.position(rows));
        let present = shard.file.metadata().map_err(Error::io(path))?.len();
        if present < wanted && rows > 0 {
            return Err(damaged(path, "length", &format!("{present} bytes where the index has {wanted}")));
        }
        disk::call(|| shard.file.set_len(wanted)).map_err(Error::io(path))?;
        shard.write_header()?;
        Ok(shard)
    }

    /// Where a row begins in the file.
    fn position(&self, row: usize) -> u64 {
        let bytes = row.saturating_mul(self.dim * self.dtype.bytes());
        bytes.saturating_add(npy::HEADER) as u64
    }

    fn write_header(&self) -> Result<()> {
        let header = npy::header(self.dtype, self.rows, self.dim);
        disk::write(&header, |bytes| self.file.write_all_at(bytes, 0)).map_err(Error::io(&self.path))
    }

    fn sync(&self) -> Result<()> {
        disk::call(|| self.file.sync_data()).map_err(Error::io(&self.path))
    }
}

impl StoreWriter {
    /// Open or create the store in `folder` for `rank`. What an interrupted run left behind its last indexed clip is
    /// cut off. Errors: a store made with other weights or settings, another process writing the same rank.
    pub fn open(folder: &Path, info: StoreInfo, rank: u32) -> Result<Self> {
        disk::call(|| fs::create_dir_all(folder)).map_err(Error::io(folder))?;
        let lock = rank_lock(folder, rank)?;
        let info = describe(folder, info)?;
        let index_path = index_path(folder, rank);
        let (records, whole) = read_index(&index_path)?;
        let mut ids = HashSet::new();
        if let Some(twice) = records.iter().find(|record| !ids.insert(record.id.as_str())) {
            let what = format!("the clip {:?} is in it twice", twice.id);
            return Err(damaged(&index_path, "", &what));
        }
        // Rows that no line names would be cut off.
        for record in &records {
            if let Some(stream) = info.streams.keys().find(|stream| !record.streams.contains_key(*stream)) {
                let what = format!("the clip {:?} has no rows of the stream {stream}", record.id);
                return Err(damaged(&index_path, "", &what));
            }
        }
        let open = || regular_file::append(&index_path);
        let index = disk::call(open).map_err(Error::io(&index_path))?;
        disk::call(|| index.set_len(whole as u64)).map_err(Error::io(&index_path))?;
        let shard = records.iter().map(|r| r.shard).max().unwrap_or(0);
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for (stream, rows) in records.iter().filter(|r| r.shard == shard).flat_map(|r| &r.streams) {
            let end = ends.entry(stream.clone()).or_default();
            *end = (*end).max(rows.offset.saturating_add(rows.rows));
        }
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
            files: BTreeMap::new(),
            _lock: lock,
        };
        writer.open_shard(shard, &ends)?;
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
        if self.files.values().any(|file| file.rows >= SHARD_ROWS) {
            self.open_shard(self.shard + 1, &BTreeMap::new())?;
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

    /// Record failed clips, replacing earlier records: a clip that failed before and is stored now is not a failure.
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

    /// Open a shard of each stream to continue it behind its indexed rows, which `ends` counts. Shards beyond it hold
    /// nothing indexed and are removed.
    fn open_shard(&mut self, shard: u32, ends: &BTreeMap<String, usize>) -> Result<()> {
        let mut files = BTreeMap::new();
        for (stream, info) in &self.info.streams {
            let path = |shard| shard_path(&self.folder, stream, self.rank, shard);
            let rows = ends.get(stream).copied().unwrap_or(0);
            let file = ShardFile::open(path(shard), self.info.dtype, info.dim, info.rows, rows)?;
            files.insert(stream.clone(), file);
            let mut beyond = shard + 1;
            while disk::call(|| fs::remove_file(path(beyond))).is_ok() {
                beyond += 1;
            }
        }
        atomic::sync_folder(&self.index_path).map_err(Error::io(&self.folder))?;
        (self.files, self.shard) = (files, shard);
        Ok(())
    }

    /// Move the rows of a clip from behind the last clip into the place of `old`. A kill on the way leaves it damaged,
    /// to be made again.
    fn replace(&mut self, old: &ClipRecord, mut new: ClipRecord) -> Result<ClipRecord> {
        new.shard = old.shard;
        for (stream, file) in &self.files {
            let (Some(there), Some(here)) = (old.streams.get(stream), new.streams.get_mut(stream)) else {
                continue;
            };
            let begin = file.position(here.offset);
            let mut bytes = vec![0; (file.position(here.offset + here.rows) - begin) as usize];
            file.file.read_exact_at(&mut bytes, begin).map_err(Error::io(&file.path))?;
            let path = shard_path(&self.folder, stream, self.rank, old.shard);
            let place = regular_file::edit(&path).map_err(Error::io(&path))?;
            let begin = file.position(there.offset);
            disk::write(&bytes, |bytes| place.write_all_at(bytes, begin))
                .and_then(|()| disk::call(|| place.sync_data()))
                .map_err(Error::io(&path))?;
            here.offset = there.offset;
        }
        if new != *old {
            let records = read_index(&self.index_path)?.0;
            let lines = records.iter().map(|record| if record.id == new.id { &new } else { record });
            let text = lines.map(|record| record.line(self.info.format)).collect::<Result<String>>()?;
            atomic::write(&self.index_path, text.as_bytes())?;
            self.index = regular_file::append(&self.index_path).map_err(Error::io(&self.index_path))?;
            self.index_bytes = text.len() as u64;
        }
        self.done.insert(new.id.clone());
        Ok(new)
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
        let file = store.files.get(stream).ok_or_else(unknown)?;
        let dim = file.dim;
        let (done, sum) = self.streams.get_mut(stream).ok_or_else(unknown)?;
        if !rows.len().is_multiple_of(dim) {
            let what = format!("stream {stream:?}: {} values are not rows of {dim}", rows.len());
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
        let begin = file.position(file.rows + *done);
        disk::write(&bytes, |bytes| file.file.write_all_at(bytes, begin)).map_err(Error::io(&file.path))?;
        sum.update(&bytes);
        *done += rows.len() / dim;
        Ok(())
    }

    /// Make the clip of `frames` frames part of the store. Errors: a stream that has not the rows of so many frames; no
    /// frames.
    pub fn finish(mut self, id: &str, frames: usize, facts: ClipFacts) -> Result<ClipRecord> {
        let done = std::mem::take(&mut self.streams);
        let store = &mut *self.store;
        if frames == 0
            || done.iter().any(|(stream, (rows, _))| *rows != store.files[stream].rule.rows(frames))
        {
            let rows: Vec<String> =
                done.iter().map(|(stream, (rows, _))| format!("{stream} {rows}")).collect();
            return Err(Error::usage(
                format!("clip {id:?}: {frames} frames, and rows by stream: {}", rows.join(", ")),
                "a clip needs at least one frame, and each stream the rows of all frames",
            ));
        }
        let place = |(stream, (rows, sum)): (String, (usize, Checksum))| {
            let offset = store.files[&stream].rows;
            (stream, StreamRows { offset, rows, sha256: sum.hex() })
        };
        let streams = done.into_iter().map(place).collect();
        let record = ClipRecord { id: id.to_owned(), shard: store.shard, frames, streams, facts };
        for file in store.files.values() {
            file.sync()?;
        }
        if let Some(old) = store.damaged.remove(id) {
            if old.frames != frames {
                return Err(Error::usage(
                    format!("clip {id:?}: {frames} frames where the store has {}", old.frames),
                    "its source has changed; move the split's folder away and extract again",
                ));
            }
            return store.replace(&old, record);
        }
        // Held until our line is written, so that no two ranks store the same clip.
        let index_lock = store.index_lock.hold();
        store.others.look()?;
        if store.is_done(id) {
            let what = format!("the clip {id:?} is already in the store");
            return Err(Error::usage(what, "give each clip an id of its own"));
        }
        let line = record.line(store.info.format)?;
        let index = &mut store.index;
        let added = disk::write(line.as_bytes(), |bytes| index.write_all(bytes));
        if let Err(e) = added.and_then(|()| disk::call(|| index.sync_data())) {
            // A part of a line would spoil the next one.
            let _ = disk::call(|| index.set_len(store.index_bytes));
            return Err(Error::io(&store.index_path)(e));
        }
        drop(index_lock);
        store.index_bytes += line.len() as u64;
        store.done.insert(id.to_owned());
        for (stream, file) in &mut store.files {
            file.rows += record.streams[stream].rows;
        }
        for file in store.files.values() {
            file.write_header()?;
        }
        Ok(record)
    }
}

impl Drop for ClipWriter<'_> {
    fn drop(&mut self) {
        for file in self.store.files.values() {
            if let Err(e) = disk::call(|| file.file.set_len(file.position(file.rows))) {
                tracing::debug!("{}: not cut back: {e}", file.path.display());
            }
        }
    }
}

/// Make `store.json`, or compare it with `info` where it exists: another rank may have been first. Returns what it says.
fn describe(folder: &Path, info: StoreInfo) -> Result<StoreInfo> {
    let path = folder.join(STORE_FILE);
    // Listed before store.json is looked for, which is older than any index.
    let mut indexes = index_files(folder)?;
    indexes.retain(|(_, index)| fs::metadata(index).is_ok_and(|m| m.len() > 0));
    if !path.exists() {
        if let Some((_, index)) = indexes.first() {
            let what = format!("missing, though {} has clips", index.display());
            return Err(damaged(&path, "", &what));
        }
        info.check(&path)?;
        let text = json::pretty(&info)?;
        if info.format != FORMAT || serde_json::from_str(&text).ok().as_ref() != Some(&info) {
            let what = format!("{}: the description does not read back as what was meant", path.display());
            return Err(Error::usage(what, "numbers must be finite"));
        }
        atomic::create(&path, text.as_bytes())?;
    }
    let present = StoreInfo::read(folder)?;
    match present.difference(&info)? {
        None => Ok(present),
        Some((field, there, here)) => Err(Error::input(
            path,
            field,
            format!("the store was made with {there}, this run has {here}"),
            "use the same weights and settings, or another folder with --out",
        )),
    }
}

/// Rows as they lie on disk: little-endian, IEEE rounding to nearest.
pub fn to_bytes(rows: &[f32], dtype: StoreDtype) -> Vec<u8> {
    match dtype {
        StoreDtype::F16 => rows.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        StoreDtype::F32 => rows.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}
