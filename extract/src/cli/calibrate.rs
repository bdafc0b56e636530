//! `extract --dry-run --calibrate`: how long the whole data set will take on the devices at hand.
//!
//! A run on the first clips, with the settings of the real one, into a folder that is thrown away. What is timed is the
//! pipeline itself, not a model of it, so that stages that take each other's cores are seen to.

use crate::cli::job::Job;
use crate::cli::recipe_flags::InputFlags;
use crate::media::reading::TARGET_FPS;
use crate::recipe::Recipe;
use crate::run::heartbeat::Heartbeat;
use crate::run::in_flight::InFlight;
use crate::run::networks::Networks;
use crate::run::pipeline::{Outcome, Work};
use crate::run::plan::{Plan, bytes};
use crate::run::rank::Rank;
use crate::run::stages::Shares;
use serde::Serialize;
use signclip_common::manifest::{Clip, Media, Split};
use signclip_common::progress::Progress;
use signclip_common::store::StoreWriter;
use signclip_common::{Error, Result, devices, temporary};
use std::sync::Arc;
use std::time::Instant;

/// A sample that took so many seconds is long enough.
const SECONDS: f64 = 10.0;
/// Frames of the first sample, which warms the networks up and is not counted, and how much longer the next one is than
/// the one before.
const FRAMES: usize = 16;
const LONGER: usize = 4;

/// What was timed, and what follows from it for the whole data set.
#[derive(Debug, Clone, Serialize)]
pub struct Calibration {
    pub devices: Vec<String>,
    pub sample_clips: usize,
    pub sample_frames: usize,
    pub sample_seconds: f64,
    /// Seconds until the networks were on the devices and warm, which a run spends once.
    pub loading_seconds: f64,
    pub frames_per_second: f64,
    /// How busy the stages were, and the one that limits.
    pub stages: Shares,
    pub limiting_stage: &'static str,
    /// Frames of the whole data set at 25 a second; clips whose length is not known are taken to be as long as the others.
    pub frames: u64,
    pub hours: f64,
    pub bytes: u64,
}

/// Times the first clips of a job.
///
/// # Errors
/// Weights that do not load; no clip of the sample can be encoded; no room for it in the temporary folder.
pub fn calibrate(job: &Job, inputs: &InputFlags) -> Result<Calibration> {
    let Job { plan, rank, devices, recipe, sources } = job;
    let begun = Instant::now();
    let mut networks = Networks::load_all(recipe, sources, devices)?;
    let there = |split: &Split| -> Vec<Clip> {
        split.clips.iter().filter(|clip| clip.media.path().exists()).cloned().collect()
    };
    let Some(split) = plan.splits.iter().find(|split| !there(split).is_empty()) else {
        let remedy = "give the data set's folder with --root DIR";
        return Err(Error::usage("nothing to calibrate with: the media of all clips are missing", remedy));
    };
    let clips = there(split);
    let mut time = |frames: usize| -> Result<(Outcome, usize)> {
        let sample = sample(plan, inputs, &clips, frames, frames.div_ceil(devices.len()));
        Ok((run(plan, split, &sample, rank, (recipe, inputs), &mut networks)?, sample.len()))
    };
    time(FRAMES)?;
    let loading_seconds = begun.elapsed().as_secs_f64();
    let mut frames = FRAMES * devices.len();
    let (mut outcome, mut sampled) = time(frames)?;
    while outcome.seconds < SECONDS && sampled < clips.len() {
        frames *= LONGER;
        (outcome, sampled) = time(frames)?;
    }
    let all = plan.splits.iter().flat_map(there).map(|clip| plan.frames(std::iter::once(&clip)));
    let (unknown, known): (Vec<u64>, Vec<u64>) = all.partition(|&frames| frames == 0);
    let sum = known.iter().sum::<u64>() as f64;
    let mean = match known.len() {
        0 => outcome.frames as f64 / outcome.stored as f64,
        n => sum / n as f64,
    };
    let all = sum + mean * unknown.len() as f64;
    let frames_per_second = outcome.frames as f64 / outcome.seconds;
    Ok(Calibration {
        devices: devices::names(devices),
        sample_clips: outcome.stored,
        sample_frames: outcome.frames,
        sample_seconds: outcome.seconds,
        loading_seconds,
        frames_per_second,
        stages: outcome.stages,
        limiting_stage: outcome.stages.limiting(),
        frames: all as u64,
        hours: (all / frames_per_second + loading_seconds) / 3600.0,
        bytes: recipe.bytes(all as usize),
    })
}

/// The first clips up to this number of frames, cut where they are longer than `each`: a short sample has a clip for
/// every device, as a long run has at any moment.
fn sample(plan: &Plan, inputs: &InputFlags, clips: &[Clip], frames: usize, each: usize) -> Vec<Clip> {
    let (mut sample, mut left) = (Vec::new(), frames as u64);
    for clip in clips {
        let mut clip = clip.clone();
        let (mut length, wanted) = (plan.frames(std::iter::once(&clip)), left.min(each as u64));
        // One of unknown length cannot be cut, nor one whose file of landmarks has a row for each of its frames.
        if length > wanted
            && inputs.landmarks.is_none()
            && let Media::Video { start, end, .. } = &mut clip.media
        {
            *end = Some(start.unwrap_or(0.0) + wanted as f64 / TARGET_FPS);
            length = wanted;
        }
        sample.push(clip);
        left = left.saturating_sub(if length > 0 { length } else { wanted });
        if left == 0 {
            break;
        }
    }
    sample
}

fn run(
    plan: &Plan,
    split: &Split,
    clips: &[Clip],
    rank: &Rank,
    (recipe, inputs): (&Recipe, &InputFlags),
    networks: &mut Vec<Arc<Networks>>,
) -> Result<Outcome> {
    let folder = temporary::folder()?;
    let info = recipe.describe(&plan.dataset, &split.name)?;
    let mut store = StoreWriter::open(folder.path(), info, 0)?;
    let heartbeat = Heartbeat::new(folder.path(), rank, clips.len());
    let progress = Progress::new("calibrate", plan.frames(clips.iter()), "frames");
    let work = Work {
        clips,
        recipe,
        landmarks: inputs.landmarks.as_deref(),
        require_face: false,
        reading: plan.reading,
        root: &plan.root,
        splits: &plan.names(split),
        preview: None,
    };
    let in_flight = InFlight::begin(folder.path(), 0)?;
    let outcome = work.run(networks, &mut store, &progress, &heartbeat, &in_flight);
    progress.finish();
    let outcome = outcome?;
    match outcome.failures.first() {
        Some(failure) if outcome.stored == 0 => Err(Error::usage(
            format!("no clip of the sample could be encoded, e.g. {}: {}", failure.id, failure.reason),
            "begin with others: --split or --only",
        )),
        _ => Ok(outcome),
    }
}

impl Calibration {
    /// For people.
    pub fn text(&self) -> String {
        let hours = match self.hours {
            hours if hours < 1.0 => format!("{:.1} minutes", 60.0 * hours),
            hours => format!("{hours:.1} hours"),
        };
        format!(
            "about {hours} for {} frames, {}, on {} of this machine, {:.1} s of them for loading\n  timed: {} frames of {} \
             clips in {:.1} s, {:.1} frames/s; limited by: {}\n  {}\n",
            self.frames,
            bytes(self.bytes),
            self.devices.join(", "),
            self.loading_seconds,
            self.sample_frames,
            self.sample_clips,
            self.sample_seconds,
            self.frames_per_second,
            self.limiting_stage,
            self.stages
        )
    }
}
