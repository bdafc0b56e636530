//! How busy each stage of the pipeline is: what limits a run is seen in one line.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// A part of the work that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading and decoding, in the threads that see clips through.
    Decode,
    /// Resizing for CLIP and VideoMAE, cutting out faces and mouths, in the same threads.
    Crop,
    /// Face detector and landmark network, in the threads of the devices.
    Faces,
    /// CLIP with S², in the same threads.
    Spatial,
    /// VideoMAE, in the same threads.
    Motion,
    /// AV-HuBERT, in the same threads.
    Lips,
    /// Making a clip part of the store, in one thread.
    Write,
}

/// Time spent in each stage so far, added up over the threads of a run.
pub struct Stages {
    begun: Instant,
    /// Threads that see clips through, and threads of devices.
    readers: usize,
    devices: usize,
    /// Nanoseconds by [`Stage`].
    spent: [AtomicU64; 7],
    /// Requests that devices took, and those that waited behind them, added up.
    taken: AtomicU64,
    waited: AtomicU64,
}

/// How busy the stages were: each as a share of the time of the threads that do it, so that the networks of a
/// device, or decoding and cutting, add up to at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Shares {
    pub decode: f64,
    pub crop: f64,
    pub faces: f64,
    pub spatial: f64,
    /// 0 in files of versions that did not have it.
    #[serde(default)]
    pub motion: f64,
    pub lips: f64,
    pub write: f64,
    /// Requests that waited in the queue when a device took one, on average. Near 0 the devices wait for the others.
    pub waiting: f64,
}

impl Stages {
    /// For a run that begins now with so many threads for clips and for devices.
    pub fn new(readers: usize, devices: usize) -> Self {
        Self {
            begun: Instant::now(),
            readers,
            devices,
            spent: Default::default(),
            taken: AtomicU64::default(),
            waited: AtomicU64::default(),
        }
    }

    /// Do `work`, which belongs to `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.spent[stage as usize].fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
        done
    }

    /// A device took a request, and left `waiting` others.
    pub fn take(&self, waiting: usize) {
        self.taken.fetch_add(1, Relaxed);
        self.waited.fetch_add(waiting as u64, Relaxed);
    }

    /// The shares up to now.
    pub fn shares(&self) -> Shares {
        let nanos = self.begun.elapsed().as_nanos().max(1) as f64;
        let share = |stage: Stage, threads: usize| {
            self.spent[stage as usize].load(Relaxed) as f64 / (nanos * threads as f64)
        };
        Shares {
            decode: share(Stage::Decode, self.readers),
            crop: share(Stage::Crop, self.readers),
            faces: share(Stage::Faces, self.devices),
            spatial: share(Stage::Spatial, self.devices),
            motion: share(Stage::Motion, self.devices),
            lips: share(Stage::Lips, self.devices),
            write: share(Stage::Write, 1),
            waiting: self.waited.load(Relaxed) as f64 / self.taken.load(Relaxed).max(1) as f64,
        }
    }
}

impl Shares {
    /// Share of the device threads' time spent in networks.
    pub fn device(&self) -> f64 {
        self.faces + self.spatial + self.motion + self.lips
    }

    /// The stage that a faster run would need more of: the largest one of the busiest threads.
    pub fn limiting(&self) -> &'static str {
        let readers = [("decode", self.decode), ("crop", self.crop)];
        let devices =
            [("faces", self.faces), ("spatial", self.spatial), ("motion", self.motion), ("lips", self.lips)];
        let threads: [&[(&str, f64)]; 3] = [&devices, &readers, &[("write", self.write)]];
        let sum = |stages: &[(&str, f64)]| stages.iter().map(|(_, share)| share).sum::<f64>();
        let busiest = threads.into_iter().max_by(|a, b| sum(a).total_cmp(&sum(b)));
        let largest = busiest.into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1));
        largest.map_or("none", |(name, _)| name)
    }
}

impl std::fmt::Display for Shares {
    /// In percent, for the line that shows progress.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shares = [
            self.device(),
            self.spatial,
            self.motion,
            self.faces,
            self.lips,
            self.decode,
            self.crop,
            self.write,
        ];
        let [device, spatial, motion, faces, lips, decode, crop, write] = shares.map(|x| 100.0 * x);
        write!(
            f,
            "device {device:.0} % busy (spatial {spatial:.0}, motion {motion:.0}, faces {faces:.0}, lips {lips:.0}), {:.1} waiting, decode \
             {decode:.0} %, crop {crop:.0} %, write {write:.0} %",
            self.waiting
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shares_are_of_the_threads_that_do_the_work() {
        let stages = Stages::new(4, 2);
        assert_eq!(stages.time(Stage::Spatial, || std::thread::sleep(Duration::from_millis(3))), ());
        // One thread of each, busy since the beginning.
        for stage in [Stage::Decode, Stage::Faces, Stage::Write] {
            stages.spent[stage as usize].store(stages.begun.elapsed().as_nanos() as u64, Relaxed);
        }
        stages.take(3);
        stages.take(0);
        let shares = stages.shares();
        let near = |share: f64, wanted: f64| share <= wanted && share > 0.5 * wanted;
        assert!(
            near(shares.decode, 0.25) && near(shares.faces, 0.5) && near(shares.write, 1.0),
            "{shares:?}"
        );
        assert!(shares.spatial > 0.0 && shares.spatial <= 0.5, "{shares:?}");
        assert_eq!((shares.waiting, shares.crop, shares.lips), (1.5, 0.0, 0.0));
    }

    #[test]
    fn the_largest_stage_of_the_busiest_threads_limits() {
        let shares =
            Shares { decode: 0.45, crop: 0.3, faces: 0.2, spatial: 0.4, lips: 0.2, ..Shares::default() };
        assert_eq!(shares.limiting(), "spatial");
        assert_eq!(Shares { crop: 0.5, ..shares }.limiting(), "crop");
        assert_eq!(Shares { write: 1.0, ..shares }.limiting(), "write");
    }
}
