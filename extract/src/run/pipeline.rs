//! Decode, encode, store: threads that each see one clip through, one thread a device that serves them, and one writer.
//!
//! A clip is a stream of windows; its pictures are never all in memory. Clips are independent: one that fails is recorded
//! and the others continue. A device that breaks leaves its work to the others. A full disk ends the run, and so does a
//! request to end, after the clips in flight.

use crate::card;
use crate::media::reading::Reading;
use crate::media::remark::Remark;
use crate::recipe::Recipe;
use crate::run::changed::{size_and_time, source};
use crate::run::clip::{Clips, Encoded};
use crate::run::failures::{Earlier, record};
use crate::run::faults::Working;
use crate::run::heartbeat::Heartbeat;
use crate::run::in_flight::InFlight;
use crate::run::interrupt;
use crate::run::networks::Networks;
use crate::run::queue::queue;
use crate::run::stages::{Shares, Stage, Stages};
use crate::streams::mouthing::gaps;
use crossbeam_channel::bounded;
use signclip_common::manifest::{Clip, Media};
use signclip_common::progress::Progress;
use signclip_common::store::{ClipFacts, Failure, StoreWriter};
use signclip_common::{Error, Result, atomic, sheet_name};
use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;
use tch::Device;

/// What one split's run did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Outcome {
    pub already_done: usize,
    pub stored: usize,
    pub frames: usize,
    pub seconds: f64,
    /// Share of the device threads' time spent in the networks.
    pub busy: f64,
    /// How busy each stage was.
    pub stages: Shares,
    /// Share of frames with a face in each clip of this run, where faces were looked for.
    pub face_coverage: BTreeMap<String, f64>,
    /// From when to when, in seconds, no mouth was found in clips of this run; gaps of more than two seconds.
    pub long_gaps: BTreeMap<String, Vec<[f64; 2]>>,
    /// Frames of clips of this run with a face whose mouth lies outside of the picture, where there are any.
    pub mouths_outside: BTreeMap<String, usize>,
    /// Clips of the store, earlier runs included, without any mouth: their mouthing stream is zeros.
    pub without_face: usize,
    pub failures: Vec<Failure>,
    /// What is to be known about clips of this run, with their ids.
    pub remarks: BTreeMap<Remark, Vec<String>>,
    /// Clips of this run without the contact sheet that was asked for, with the reason. Their features are stored.
    pub without_sheet: BTreeMap<String, String>,
    /// Clips that were not tried because the run was asked to end.
    pub left: usize,
}

/// One split's work.
pub struct Work<'a> {
    pub clips: &'a [Clip],
    pub recipe: &'a Recipe,
    /// Folder of landmark files.
    pub landmarks: Option<&'a Path>,
    /// A clip in which no face is found fails, instead of getting zeros.
    pub require_face: bool,
    pub reading: Reading,
    /// Folder that recorded paths are relative to.
    pub root: &'a Path,
    /// Names of the split, the data set's own included.
    pub splits: &'a [&'a str],
    /// Folder of this split's contact sheets.
    pub preview: Option<&'a Path>,
}

impl Work<'_> {
    /// Encode every clip that the store does not have yet. `networks`: one a device; those that broke are gone after
    /// it. Errors: the store cannot be written, no device works any more.
    pub fn run(
        &self,
        networks: &mut Vec<Arc<Networks>>,
        store: &mut StoreWriter,
        progress: &Progress,
        heartbeat: &Heartbeat,
        in_flight: &InFlight,
    ) -> Result<Outcome> {
        let mut todo: Vec<usize> =
            (0..self.clips.len()).filter(|&i| !store.is_done(&self.clips[i].id)).collect();
        let mut outcome = Outcome { already_done: self.clips.len() - todo.len(), ..Outcome::default() };
        let attempted: HashSet<&str> = todo.iter().map(|&i| self.clips[i].id.as_str()).collect();
        let earlier = Earlier::read(store, |id| attempted.contains(id))?;

        // Another rank may have stored them.
        in_flight.forgive(self.clips.iter().map(|clip| clip.id.as_str()).filter(|id| store.is_done(id)))?;
        for clip in todo.extract_if(.., |&mut clip| in_flight.is_deadly(&self.clips[clip].id)) {
            let id = &self.clips[clip].id;
            let reason = format!(
                "the program has crashed over it twice and passes over it; convert its video, then try it again with \
                 --only {id}"
            );
            let failure = Failure { id: id.clone(), stage: "decode".to_owned(), reason };
            record(failure, store, &mut outcome.failures)?;
        }
        todo.sort_by_key(|&clip| !in_flight.is_suspect(&self.clips[clip].id));
        let ids = todo.iter().map(|&clip| self.clips[clip].id.as_str());
        let suspects: Vec<&str> = ids.take_while(|id| in_flight.is_suspect(id)).collect();
        if !suspects.is_empty() {
            tracing::warn!(
                "tried first, one at a time, as a run has crashed over them: {}",
                suspects.join(", ")
            );
        }

        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let devices: Vec<Device> = networks.iter().map(|networks| networks.device()).collect();
        let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
        let readers = card::readers(&devices, cores);
        // The number of its device, for each thread of one.
        let serving: Vec<usize> = (0..devices.len())
            .flat_map(|number| std::iter::repeat_n(number, card::threads(devices[number])))
            .collect();
        let at_once =
            networks.iter().filter_map(|n| Some(n.spatial.as_ref()?.frames_at_once())).max().unwrap_or(1);
        let windows_at_once =
            networks.iter().filter_map(|n| Some(n.motion.as_ref()?.windows_at_once())).max().unwrap_or(1);
        let stages = Arc::new(Stages::new(readers, serving.len()));
        let (queue, requests) = queue(readers, &stages);
        let (done_sender, done) = bounded(2);
        let (working, watch, tried) = (Working::new(devices.len()), store.watch(), AtomicUsize::new(0));

        let written = std::thread::scope(|scope| {
            let (ended, end) = bounded(0);
            let watched = &stages;
            scope.spawn(move || heartbeat.run(progress, watched, &end));
            in_flight.watch();
            for reader in 0..readers {
                let (queue, done, watch) = (queue.clone(), done_sender.clone(), watch.clone());
                let (next, todo, stop, tried) = (&next, &todo, &stop, &tried);
                scope.spawn(move || {
                    let clips = Clips {
                        recipe: self.recipe,
                        landmarks: self.landmarks,
                        require_face: self.require_face,
                        queue: &queue,
                        reading: self.reading,
                        splits: self.splits,
                        preview: self.preview.is_some(),
                        at_once,
                        windows_at_once,
                        progress,
                        stop,
                    };
                    while let Some(&number) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let clip = &self.clips[number];
                        let turn = in_flight.turn(&clip.id);
                        if interrupt::asked() || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        tried.fetch_add(1, Ordering::Relaxed);
                        // Whoever writes it looks again: an index that cannot be read is reported there.
                        let encoded = match watch.finds(&clip.id).unwrap_or(false) {
                            true => Ok(None),
                            false => in_flight.work(reader, &clip.id, || clips.encode(clip)),
                        };
                        drop(turn);
                        // Nobody listens any more where the run ends early.
                        if done.send((number, encoded)).is_err() {
                            return;
                        }
                    }
                });
            }
            for number in serving {
                let networks = &networks[number];
                let (requests, working) = (requests.clone(), &working);
                scope.spawn(move || {
                    if let Err(reason) = networks.serve(&requests) {
                        working.lose(number, reason);
                        if working.none() {
                            requests.refuse();
                        }
                    }
                });
            }
            // The threads hold the only ends now: their end is the end of the channels.
            drop((queue, requests, done_sender));
            let write = || -> Result<()> {
                for (clip, encoded) in done {
                    let clip = &self.clips[clip];
                    match encoded {
                        Ok(Some(encoded)) => {
                            stages.time(Stage::Write, || self.take(clip, encoded, store, &mut outcome))?;
                        }
                        Ok(None) if store.is_done(&clip.id) => outcome.already_done += 1,
                        Ok(None) => {}
                        // Not the fault of the clip.
                        Err(_) if working.none() => stop.store(true, Ordering::Relaxed),
                        Err(failure) => record(failure, store, &mut outcome.failures)?,
                    }
                    heartbeat.count(outcome.already_done + outcome.stored, outcome.failures.len());
                    let (stored, failed) = (outcome.stored, outcome.failures.len());
                    progress.advance(0, || format!("{stored} clips, {failed} failed, {}", stages.shares()));
                }
                Ok(())
            };
            let written = write();
            stop.store(written.is_err(), Ordering::Relaxed);
            drop(ended);
            written
        });
        written?;
        outcome.stages = stages.shares();
        outcome.busy = outcome.stages.device();
        let lost = working.finish()?;
        let mut number = 0..;
        networks.retain(|_| number.next().is_some_and(|number| !lost.contains(&number)));
        outcome.left = todo.len() - tried.into_inner();
        earlier.replace(store, &outcome.failures)?;
        let zero = outcome.face_coverage.values().filter(|&&coverage| coverage == 0.0).count();
        outcome.without_face = store.without_face() + zero;
        outcome.seconds = begun.elapsed().as_secs_f64();
        Ok(outcome)
    }

    /// Make a clip part of the store. Errors: those that are not the fault of the clip, such as a full disk.
    fn take(
        &self,
        clip: &Clip,
        encoded: Encoded,
        store: &mut StoreWriter,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let frames = encoded.timing.frames;
        match self.store(clip, &encoded, store) {
            Ok(()) => {}
            // The disk, or a store that is damaged.
            Err(error @ (Error::Io { .. } | Error::Input { .. })) => return Err(error),
            // Another rank was faster.
            Err(_) if store.is_done(&clip.id) => {
                outcome.already_done += 1;
                return Ok(());
            }
            Err(error) => {
                let (stage, reason) = ("store".to_owned(), error.to_string());
                let failure = Failure { id: clip.id.clone(), stage, reason };
                return record(failure, store, &mut outcome.failures);
            }
        }
        // The features are safe: a sheet that cannot be written is not a reason to stop.
        let sheet = encoded.mouths.as_ref().and_then(|found| found.sheet.as_ref());
        if let (Some(sheet), Some(folder)) = (sheet, self.preview)
            && let Err(error) = atomic::write(&folder.join(sheet_name(&clip.id)), sheet)
        {
            tracing::warn!("{}: no contact sheet: {error}", clip.id);
            outcome.without_sheet.insert(clip.id.clone(), error.to_string());
        }
        for remark in &encoded.timing.remarks {
            let clips = outcome.remarks.entry(*remark).or_default();
            if clips.is_empty() {
                tracing::warn!("{}: {}; others like it are counted at the end", clip.id, remark.text());
            }
            clips.push(clip.id.clone());
        }
        if let Some(found) = encoded.mouths {
            outcome.face_coverage.insert(clip.id.clone(), found.coverage);
            let (_, times) = gaps::long(&found.gaps);
            // A clip without any mouth has no gaps: nothing is interpolated.
            if found.coverage > 0.0 && !times.is_empty() {
                outcome.long_gaps.insert(clip.id.clone(), times);
            }
            if found.outside > 0 {
                outcome.mouths_outside.insert(clip.id.clone(), found.outside);
            }
        }
        outcome.frames += frames;
        outcome.stored += 1;
        Ok(())
    }

    fn store(&self, clip: &Clip, encoded: &Encoded, store: &mut StoreWriter) -> Result<()> {
        let path = clip.media.path();
        let timing = &encoded.timing;
        let (source_bytes, source_mtime) = size_and_time(&clip.media);
        let (start, end) = match clip.media {
            Media::Video { start, end, .. } => (start, end),
            Media::Frames(_) | Media::Unknown => (None, None),
        };
        let facts = ClipFacts {
            text: clip.text.clone(),
            signer: clip.signer.clone(),
            gloss: clip.gloss.clone(),
            source_fps: timing.source_fps,
            source_frames: timing.source_frames,
            resampled: timing.resampled,
            turned: timing.turned,
            video_stream: timing.video_stream,
            end_unknown: timing.end_unknown,
            frames_unknown: false,
            face_coverage: encoded.mouths.as_ref().map(|found| found.coverage),
            missed: encoded.mouths.as_ref().map_or_else(Vec::new, |found| found.gaps.clone()),
            mouths_outside: encoded.mouths.as_ref().map_or(0, |found| found.outside),
            landmarks: encoded.mouths.as_ref().and_then(|found| found.landmarks.clone()),
            source: source(path, self.root),
            start,
            end,
            source_bytes,
            source_mtime,
        };
        let mut writer = store.begin()?;
        for (stream, rows) in &encoded.rows {
            writer.append(stream.as_str(), rows)?;
        }
        writer.finish(&clip.id, timing.frames, facts)?;
        Ok(())
    }
}
