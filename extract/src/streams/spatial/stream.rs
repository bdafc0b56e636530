//! Z_s of one clip, on its way through the encoder.

use crate::media::frame_reader::Timing;
use crate::run::queue::{Queue, Underway};
use crate::run::stages::Stage;
use crate::streams::clip_stream::{ClipStream, Finished, Numbered, Stop, WINDOW};
use crate::streams::spatial::encoder::{Prepared, SpatialConfig};
use signclip_common::Result;
use signclip_common::panics::guarded;

/// Windows of one clip that may be on their way through the encoder.
const WINDOWS_AHEAD: usize = 2;

/// The spatial stream of one clip.
pub struct SpatialStream<'a> {
    queue: &'a Queue,
    config: &'a SpatialConfig,
    /// The most frames that a device takes at once; a window is sent in such parts, so that the devices share even the
    /// last one.
    at_once: usize,
    underway: Underway,
}

impl<'a> SpatialStream<'a> {
    pub fn new(queue: &'a Queue, config: &'a SpatialConfig, at_once: usize) -> Self {
        Self { queue, config, at_once, underway: Underway::default() }
    }

    fn push(&mut self, frames: &[Numbered]) -> Result<()> {
        let prepare = || guarded(|| frames.iter().map(|f| self.config.prepare(&f.frame)).collect());
        let mut prepared: Vec<Prepared> = self.queue.stages.time(Stage::Crop, prepare)?;
        while !prepared.is_empty() {
            let rest = prepared.split_off(self.at_once.min(prepared.len()));
            self.underway.push(self.queue.spatial(prepared));
            prepared = rest;
        }
        self.underway.collect(WINDOWS_AHEAD * WINDOW.div_ceil(self.at_once))
    }
}

impl ClipStream for SpatialStream<'_> {
    fn window(&mut self, frames: &[Numbered]) -> Result<(), Stop> {
        self.push(frames).map_err(Stop::at("encode"))
    }

    fn finish(self: Box<Self>, _: &Timing) -> Result<Finished, Stop> {
        Ok(Finished { rows: self.underway.finish().map_err(Stop::at("encode"))?, mouths: None })
    }
}
