//! From arrays to the store of a split.

use super::foreign::Foreign;
use super::survey::{Arrays, Found};
use crate::run::changed;
use crate::run::failures::{Earlier, record};
use crate::run::heartbeat::Heartbeat;
use crate::run::interrupt;
use crate::run::stages::{Stage, Stages};
use signclip_common::manifest::{Clip, Media};
use signclip_common::progress::Progress;
use signclip_common::store::{ClipFacts, ClipRecord, Failure, StoreDtype, StoreWriter, rank_files, to_bytes};
use signclip_common::{Error, Result, checksum};
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What one split's import did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Imported {
    pub already_done: usize,
    pub stored: usize,
    pub frames: usize,
    pub seconds: f64,
    pub failures: Vec<Failure>,
    /// Clips of this run of which the number of frames is not known.
    pub frames_unknown: usize,
    /// Clips that were not tried because the run was asked to end.
    pub left: usize,
}

/// One split's work.
pub struct Work<'a> {
    pub streams: &'a [Foreign],
    pub clips: &'a [Clip],
    /// What is there for each clip.
    pub found: &'a [Found],
    /// Folder of the files.
    pub folder: &'a Path,
    /// Frames per second of the features.
    pub fps: f64,
}

impl Work<'_> {
    /// Frames of the clips that the store does not have yet.
    pub fn frames(&self, store: &StoreWriter) -> u64 {
        let left = self.clips.iter().zip(self.found).filter(|(clip, _)| !store.is_done(&clip.id));
        left.filter_map(|(_, found)| Some(found.arrays()?.frames as u64)).sum()
    }

    /// Stores every clip that the store does not have yet. Errors: the store cannot be written.
    pub fn run(
        &self,
        store: &mut StoreWriter,
        progress: &Progress,
        heartbeat: &Heartbeat,
    ) -> Result<Imported> {
        let todo: Vec<usize> = (0..self.clips.len()).filter(|&i| !store.is_done(&self.clips[i].id)).collect();
        let mut done = Imported { already_done: self.clips.len() - todo.len(), ..Imported::default() };
        let tried: HashSet<&str> = todo.iter().map(|&i| self.clips[i].id.as_str()).collect();
        let earlier = Earlier::read(store, |id| tried.contains(id))?;
        let stages = Stages::new(1, 1);
        std::thread::scope(|scope| {
            let (ended, end) = crossbeam_channel::bounded(0);
            let watched = &stages;
            scope.spawn(move || heartbeat.run(progress, watched, &end));
            let written = todo.iter().try_for_each(|&i| -> Result<()> {
                if interrupt::asked() {
                    done.left += 1;
                    return Ok(());
                }
                self.take(i, store, &stages, &mut done)?;
                heartbeat.count(done.already_done + done.stored, done.failures.len());
                let frames = self.found[i].arrays().map_or(0, |arrays| arrays.frames as u64);
                progress.advance(frames, || format!("{} clips, {} failed", done.stored, done.failures.len()));
                Ok(())
            });
            drop(ended);
            written
        })?;
        earlier.replace(store, &done.failures)?;
        done.seconds = progress.seconds();
        Ok(done)
    }

    /// Stores a clip, or records why not. Errors: those that are not the fault of the clip, such as a full disk.
    fn take(&self, clip: usize, store: &mut StoreWriter, stages: &Stages, done: &mut Imported) -> Result<()> {
        let (clip, found) = (&self.clips[clip], &self.found[clip]);
        let failed = |error: Error| {
            let (id, stage) = (clip.id.clone(), "store".to_owned());
            Failure { id, stage, reason: error.to_string() }
        };
        let arrays = match found {
            Found::Arrays(arrays) => arrays,
            Found::Gone(failure) | Found::Wrong(failure) => {
                return record(failure.clone(), store, &mut done.failures);
            }
        };
        let read = || arrays.files.iter().map(|file| file.read()).collect::<Result<Vec<_>>>();
        let rows = match stages.time(Stage::Decode, read) {
            Ok(rows) => rows,
            Err(error) => {
                let failure = Failure { stage: "open".to_owned(), ..failed(error) };
                return record(failure, store, &mut done.failures);
            }
        };
        match stages.time(Stage::Write, || self.store(clip, arrays, &rows, store)) {
            Ok(()) => {
                done.stored += 1;
                done.frames += arrays.frames;
                done.frames_unknown += usize::from(arrays.frames_unknown);
                Ok(())
            }
            Err(error @ (Error::Io { .. } | Error::Input { .. })) => Err(error),
            Err(error) => record(failed(error), store, &mut done.failures),
        }
    }

    fn store(&self, clip: &Clip, arrays: &Arrays, rows: &[Vec<f32>], store: &mut StoreWriter) -> Result<()> {
        let (start, end) = match clip.media {
            Media::Video { start, end, .. } => (start, end),
            Media::Frames(_) | Media::Unknown => (None, None),
        };
        let facts = ClipFacts {
            text: clip.text.clone(),
            signer: clip.signer.clone(),
            gloss: clip.gloss.clone(),
            source_fps: self.fps,
            source_frames: arrays.frames,
            frames_unknown: arrays.frames_unknown,
            source: self.folder.display().to_string(),
            start,
            end,
            source_bytes: bytes(arrays),
            source_mtime: mtime(arrays),
            ..ClipFacts::default()
        };
        let mut writer = store.begin()?;
        for (stream, rows) in self.streams.iter().zip(rows) {
            writer.append(&stream.name, rows)?;
        }
        writer.finish(&clip.id, arrays.frames, facts)?;
        Ok(())
    }
}

/// Bytes of a clip's files together.
fn bytes(arrays: &Arrays) -> u64 {
    arrays.files.iter().map(|file| file.bytes).sum()
}

/// The latest modification of a clip's files, in seconds since 1970.
fn mtime(arrays: &Arrays) -> u64 {
    arrays.files.iter().map(|file| file.mtime).max().unwrap_or(0)
}

/// Refuses a clip that is stored in the folder `store` and has another sentence or other files by now; files that are gone do
/// not matter. `dtype`: of the store. Returns the ids of clips that the data set has no longer.
pub fn check_clips(
    store: &Path,
    dtype: StoreDtype,
    streams: &[Foreign],
    clips: &[Clip],
    found: &[Found],
) -> Result<Vec<String>> {
    let there: HashMap<&str, &Found> = clips.iter().map(|clip| clip.id.as_str()).zip(found).collect();
    let imported = last_import(store)?;
    changed::refuse(store, clips, |clip, record| {
        changed::text(clip, record).or_else(|| {
            let arrays = match there.get(clip.id.as_str())? {
                Found::Arrays(arrays) => arrays,
                Found::Gone(_) => return None,
                Found::Wrong(failure) => return Some(other_files(failure.reason.clone())),
            };
            let (now, then) = (bytes(arrays), record.facts.source_bytes);
            if now != then {
                return Some(("source_bytes", format!("files of {now} bytes"), format!("{then} bytes")));
            }
            // Times are known to the second: a file may have changed again in that of the import.
            let touched = mtime(arrays) != record.facts.source_mtime || mtime(arrays) + 1 >= imported;
            if touched { other_values(arrays, record, dtype, streams) } else { None }
        })
    })
}

fn other_files(now: String) -> changed::Difference {
    ("source", now, "the files of then".to_owned())
}

/// Whether the files have other values than what is stored of them.
fn other_values(
    arrays: &Arrays,
    record: &ClipRecord,
    dtype: StoreDtype,
    streams: &[Foreign],
) -> Option<changed::Difference> {
    streams.iter().zip(&arrays.files).find_map(|(stream, file)| {
        let stored = &record.streams.get(&stream.name)?.sha256;
        match file.read() {
            Ok(rows) if checksum::of(&to_bytes(&rows, dtype)) == *stored => None,
            Ok(_) => Some(other_files(format!("other values in {}", file.path.display()))),
            Err(error) => Some(other_files(error.to_string())),
        }
    })
}

/// When a clip was last stored, in seconds since 1970; 0 where none is.
fn last_import(store: &Path) -> Result<u64> {
    if !store.is_dir() {
        return Ok(0);
    }
    let mut last = 0;
    for (_, index) in rank_files(store, "clips-", ".jsonl")? {
        let time = index.metadata().map_err(Error::io(&index))?.mtime();
        last = last.max(u64::try_from(time).unwrap_or(0));
    }
    Ok(last)
}
