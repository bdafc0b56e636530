//! `progress-<rank>.json`: what a rank is doing, for `extract status`.

use crate::run::interrupt;
use crate::run::rank::Rank;
use crate::run::stages::{Shares, Stages};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde::{Deserialize, Serialize};
use signclip_common::progress::{LOG_ONLY, Progress};
use signclip_common::{atomic, json, machine};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the file is written.
pub const BEAT: Duration = Duration::from_secs(5);
/// How many beats apart lines with the same figures go into the JSON log.
const BEATS_A_LINE: u32 = 3;
/// How often a request to end is looked for.
const TICK: Duration = Duration::from_millis(250);

/// The content of the file. Times are seconds since 1970 by the clock of the rank's machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankProgress {
    pub rank: u32,
    pub world: u32,
    pub host: String,
    pub pid: u32,
    pub started: u64,
    /// When this was written.
    pub updated: u64,
    /// When a frame or a clip was last finished.
    pub advanced: u64,
    pub state: State,
    /// Clips of this rank's share, of them stored by anybody, and failed.
    pub clips: usize,
    pub done: usize,
    pub failed: usize,
    /// Frames seen in this run, and those it began with before it, as far as lengths are known.
    pub frames: u64,
    pub frames_total: u64,
    /// Seconds spent on this split.
    pub seconds: f64,
    /// How busy each stage was up to now; 0 in files of versions that did not say.
    #[serde(default)]
    pub stages: Shares,
}

impl RankProgress {
    /// Frames per second of this run so far.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.frames as f64 / self.seconds } else { 0.0 }
    }

    /// Seconds to the end at this rate, as far as lengths are known.
    pub fn left(&self) -> f64 {
        self.frames_total.saturating_sub(self.frames) as f64 / self.rate().max(1e-9)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Another split comes first.
    Waiting,
    Running,
    Finished,
    /// By Ctrl-C or SIGTERM.
    Interrupted,
    /// By an error such as a full disk.
    Stopped,
}

/// Writes the file, now and then.
pub struct Heartbeat {
    path: PathBuf,
    begun: Mutex<Instant>,
    now: Mutex<RankProgress>,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}

/// Name of the file.
pub fn path(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!("progress-{rank:05}.json"))
}

impl Heartbeat {
    /// For the split folder `folder`, of whose clips `clips` are this rank's.
    pub fn new(folder: &Path, rank: &Rank, clips: usize) -> Self {
        let time = now();
        let progress = RankProgress {
            rank: rank.number,
            world: rank.world,
            host: machine::host(),
            pid: std::process::id(),
            started: time,
            updated: time,
            advanced: time,
            state: State::Waiting,
            clips,
            done: 0,
            failed: 0,
            frames: 0,
            frames_total: 0,
            seconds: 0.0,
            stages: Shares::default(),
        };
        let begun = Mutex::new(Instant::now());
        let heartbeat = Self { path: path(folder, rank.number), begun, now: Mutex::new(progress) };
        heartbeat.write(|_| {});
        heartbeat
    }

    /// The split's turn has come.
    pub fn begin(&self, frames_total: u64) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.write(|progress| {
            (progress.state, progress.frames_total, progress.advanced) =
                (State::Running, frames_total, now());
        });
    }

    /// Clips of the share that are done, and that failed.
    pub fn count(&self, done: usize, failed: usize) {
        let mut progress = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if (progress.done, progress.failed) != (done, failed) {
            (progress.done, progress.failed, progress.advanced) = (done, failed, now());
        }
    }

    /// Write the file, and now and then a line for the JSON log, until `ended` is closed.
    pub fn run(&self, watched: &Progress, stages: &Stages, ended: &Receiver<()>) {
        let (mut last, mut told, mut beats) = (Instant::now(), false, 0);
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
            if interrupt::asked() && !told {
                told = true;
                tracing::warn!("asked to end: finishing the clips in flight; a second Ctrl-C ends at once");
            }
            if last.elapsed() >= BEAT {
                last = Instant::now();
                self.beat(watched.done(), stages.shares());
                beats += 1;
                if beats % BEATS_A_LINE == 0 {
                    self.log();
                }
            }
        }
        // A run shorter than a beat has had shares as well.
        self.beat(watched.done(), stages.shares());
        self.log();
    }

    fn beat(&self, frames: u64, stages: Shares) {
        self.write(|progress| {
            progress.stages = stages;
            if progress.frames != frames {
                (progress.frames, progress.advanced) = (frames, now());
            }
        });
    }

    /// What people see on the console, as fields.
    fn log(&self) {
        let progress = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let Shares { decode, crop, faces, spatial, motion, lips, write, waiting } = progress.stages;
        let RankProgress { clips, done, failed, frames, frames_total, .. } = *progress;
        let (per_second, seconds_left) = (progress.rate(), progress.left());
        tracing::info!(
            target: LOG_ONLY, clips, done, failed, frames, frames_total, per_second, seconds_left, decode, crop, faces,
            spatial, motion, lips, write, waiting, "progress"
        );
    }

    /// The last word.
    pub fn end(&self, state: State, frames: u64) {
        self.write(|progress| (progress.state, progress.frames) = (state, frames));
    }

    /// A file that cannot be written is not a reason to stop: what matters meets the same disk.
    fn write(&self, change: impl FnOnce(&mut RankProgress)) {
        let mut progress = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress);
        progress.updated = now();
        progress.seconds = self.begun.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64();
        let written = json::pretty(&*progress).and_then(|text| atomic::write(&self.path, text.as_bytes()));
        if let Err(e) = written {
            tracing::debug!("{e}");
        }
    }
}
