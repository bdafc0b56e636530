//! Decode, encode, store: decoder threads feed device threads, one writer makes clips part of the store.
//!
//! A clip is a stream of windows through a bounded channel; pictures of a clip are never all in memory. Clips are
//! independent: one that fails is recorded and the others go on. A full disk ends the run.

use crate::frame::Frame;
use crate::media::{FrameStream, Timing};
use crate::plan::TARGET_FPS;
use crate::settings::Settings;
use crate::spatial_encoder::{Prepared, SpatialConfig, SpatialEncoder};
use crossbeam_channel::{Receiver, Sender, bounded};
use signclip_common::manifest::{Clip, Media};
use signclip_common::panics::guarded;
use signclip_common::progress::Progress;
use signclip_common::store::{ClipFacts, Failure, SPATIAL, StoreWriter};
use signclip_common::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, UNIX_EPOCH};

/// Frames that travel together from a decoder to a device.
const WINDOW: usize = 16;
/// Windows of one clip that may wait for the device.
const WINDOWS_AHEAD: usize = 2;

/// What one split's run did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Outcome {
    pub already_done: usize,
    pub stored: usize,
    pub frames: usize,
    pub seconds: f64,
    /// Share of the device threads' time spent encoding.
    pub busy: f64,
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// A clip that failed: told at once, and recorded in the store.
    fn record(&mut self, failure: Failure, store: &StoreWriter) -> Result<()> {
        tracing::warn!("{}: {}", failure.id, failure.reason);
        self.failures.push(failure);
        store.write_failures(&self.failures)
    }
}

fn failure(clip: &Clip, stage: &str, reason: &Error) -> Failure {
    Failure { id: clip.id.clone(), stage: stage.to_owned(), reason: reason.to_string() }
}

/// A clip on its way from a decoder to a device.
struct Job {
    clip: usize,
    windows: Receiver<Window>,
}

enum Window {
    Frames(Vec<Prepared>),
    End(Timing),
    Failed(Failure),
}

/// A clip on its way from a device to the writer.
enum Encoded {
    Clip { clip: usize, rows: Vec<f32>, timing: Timing },
    Failed(Failure),
}

/// One split's work.
pub struct Work<'a> {
    pub clips: &'a [Clip],
    pub settings: &'a Settings,
    /// Rate of image folders.
    pub folder_fps: f64,
    /// Folder that recorded paths are relative to.
    pub root: &'a Path,
}

impl Work<'_> {
    /// Encode every clip that the store does not have yet. `encoders`: one a device.
    pub fn run(
        &self,
        encoders: &mut [SpatialEncoder],
        store: &mut StoreWriter,
        progress: &Progress,
    ) -> Result<Outcome> {
        let todo: Vec<usize> = (0..self.clips.len()).filter(|&i| !store.is_done(&self.clips[i].id)).collect();
        let mut outcome = Outcome { already_done: self.clips.len() - todo.len(), ..Outcome::default() };
        let attempted: Vec<&str> = todo.iter().map(|&i| self.clips[i].id.as_str()).collect();
        outcome.failures = store.failures()?;
        outcome.failures.retain(|f| !attempted.contains(&f.id.as_str()) && !store.is_done(&f.id));
        let earlier = outcome.failures.len();

        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let busy_nanos = AtomicU64::new(0);
        let devices = encoders.len();
        let decoders = (devices + 1).max(std::thread::available_parallelism().map_or(2, |n| n.get().min(8)));
        let (job_sender, jobs) = bounded::<Job>(decoders);
        let (done_sender, done) = bounded::<Encoded>(2);

        std::thread::scope(|scope| {
            for _ in 0..decoders {
                let (sender, next, todo) = (job_sender.clone(), &next, &todo);
                scope.spawn(move || {
                    while let Some(&clip) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (windows_sender, windows) = bounded(WINDOWS_AHEAD);
                        if sender.send(Job { clip, windows }).is_err() {
                            return;
                        }
                        decode(&self.clips[clip], self.folder_fps, &self.settings.spatial, &windows_sender);
                    }
                });
            }
            for encoder in encoders.iter_mut() {
                let (jobs, done, busy) = (jobs.clone(), done_sender.clone(), &busy_nanos);
                scope.spawn(move || {
                    for job in jobs {
                        if done.send(encode(encoder, &self.clips[job.clip], job, busy, progress)).is_err() {
                            return;
                        }
                    }
                });
            }
            // The threads hold the only ends now: their end is the end of the channels.
            drop((job_sender, jobs, done_sender));
            // Dropping `done` on an error stops devices, then decoders.
            for encoded in done {
                match encoded {
                    Encoded::Clip { clip, rows, timing } => {
                        let (clip, frames) = (&self.clips[clip], timing.frames);
                        match self.store(clip, &rows, timing, store) {
                            Ok(()) => {
                                outcome.frames += frames;
                                outcome.stored += 1;
                            }
                            // A full disk is no fault of the clip.
                            Err(error @ Error::Io { .. }) => return Err(error),
                            Err(error) => outcome.record(failure(clip, "store", &error), store)?,
                        }
                    }
                    Encoded::Failed(failure) => outcome.record(failure, store)?,
                }
                let busy = busy_nanos.load(Ordering::Relaxed) as f64 / 1e9;
                outcome.busy = busy / (begun.elapsed().as_secs_f64() * devices as f64);
                let (stored, failed) = (outcome.stored, outcome.failures.len());
                progress.advance(0, || {
                    format!("{stored} clips, {failed} failed, device {:.0} % busy", 100.0 * outcome.busy)
                });
            }
            Ok::<(), Error>(())
        })?;
        if outcome.failures.len() == earlier {
            store.write_failures(&outcome.failures)?;
        }
        outcome.seconds = begun.elapsed().as_secs_f64();
        Ok(outcome)
    }

    fn store(&self, clip: &Clip, rows: &[f32], timing: Timing, store: &mut StoreWriter) -> Result<()> {
        let path = clip.media.path();
        let (source_bytes, source_mtime) = size_and_time(&clip.media);
        let facts = ClipFacts {
            text: clip.text.clone(),
            signer: clip.signer.clone(),
            gloss: clip.gloss.clone(),
            source_fps: timing.source_fps,
            source_frames: timing.source_frames,
            resampled: timing.resampled,
            face_coverage: None,
            source: path.strip_prefix(self.root).unwrap_or(path).display().to_string(),
            source_bytes,
            source_mtime,
        };
        let mut writer = store.begin()?;
        writer.append(SPATIAL, rows)?;
        writer.finish(&clip.id, facts)?;
        Ok(())
    }
}

/// Read one clip and send its windows, ready for the tower. Ends early where nobody listens any more.
fn decode(clip: &Clip, folder_fps: f64, config: &SpatialConfig, windows: &Sender<Window>) {
    let failed = |stage: &str, error: Error| {
        // A closed channel means that the run is ending.
        let _ = windows.send(Window::Failed(failure(clip, stage, &error)));
    };
    let mut stream = match guarded(|| FrameStream::open(&clip.media, folder_fps, TARGET_FPS)) {
        Ok(stream) => stream,
        Err(error) => return failed("open", error),
    };
    loop {
        let prepared: Result<Vec<Prepared>> = guarded(|| {
            let frames = stream.next_window(WINDOW)?;
            frames.iter().map(|f: &Frame| config.prepare(f)).collect()
        });
        let message = match prepared {
            Ok(prepared) if prepared.is_empty() => Window::End(stream.timing()),
            Ok(prepared) => Window::Frames(prepared),
            Err(error) => return failed("decode", error),
        };
        let end = matches!(message, Window::End(_));
        if windows.send(message).is_err() || end {
            return;
        }
    }
}

/// Encode one clip's windows as they come.
fn encode(encoder: &SpatialEncoder, clip: &Clip, job: Job, busy: &AtomicU64, progress: &Progress) -> Encoded {
    let mut rows = Vec::new();
    for window in &job.windows {
        match window {
            Window::Frames(frames) => {
                let begun = Instant::now();
                match guarded(|| encoder.encode(&frames)) {
                    Ok(features) => rows.extend(features),
                    Err(error) => return Encoded::Failed(failure(clip, "encode", &error)),
                }
                busy.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                progress.advance(frames.len() as u64, String::new);
            }
            Window::End(timing) => return Encoded::Clip { clip: job.clip, rows, timing },
            Window::Failed(failure) => return Encoded::Failed(failure),
        }
    }
    let reason = "the decoder thread ended before the clip did; this is a bug, please report it".to_owned();
    Encoded::Failed(Failure { id: clip.id.clone(), stage: "decode".into(), reason })
}

/// Bytes and modification time of a video, or of a folder's files together.
fn size_and_time(media: &Media) -> (u64, u64) {
    let of = |meta: std::fs::Metadata| {
        let time = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        (meta.len(), time.map_or(0, |t| t.as_secs()))
    };
    match media {
        Media::Video { path, .. } => path.metadata().map(of).unwrap_or_default(),
        Media::Frames(folder) => {
            let files =
                std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok());
            files.map(of).fold((0, 0), |(bytes, latest), (b, t)| (bytes + b, latest.max(t)))
        }
    }
}
