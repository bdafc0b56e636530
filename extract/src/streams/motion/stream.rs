//! Z_v of one clip, on its way through the encoder.

use crate::media::frame_reader::Timing;
use crate::run::queue::{Queue, Underway};
use crate::run::stages::Stage;
use crate::streams::clip_stream::{ClipStream, Finished, Numbered, Stop};
use crate::streams::motion::encoder::{MotionConfig, Picture, Window};
use signclip_common::Result;
use signclip_common::panics::guarded;

/// Requests of one clip that may be on their way through the encoder.
const AHEAD: usize = 2;

/// The motion stream of one clip: full windows only, and one that repeats the last frame where the clip is shorter than that.
pub struct MotionStream<'a> {
    queue: &'a Queue,
    config: &'a MotionConfig,
    /// The most windows that a device takes at once.
    at_once: usize,
    /// Frames from the beginning of the next window on.
    pictures: Vec<Picture>,
    /// Windows that wait for others to be sent with.
    windows: Vec<Window>,
    /// Windows so far.
    count: usize,
    underway: Underway,
}

impl<'a> MotionStream<'a> {
    pub fn new(queue: &'a Queue, config: &'a MotionConfig, at_once: usize) -> Self {
        let (pictures, windows, underway) = Default::default();
        Self { queue, config, at_once, pictures, windows, count: 0, underway }
    }

    fn push(&mut self, frames: &[Numbered]) -> Result<()> {
        let prepare = || guarded(|| frames.iter().map(|f| self.config.prepare(&f.frame)).collect());
        let prepared: Vec<Picture> = self.queue.stages.time(Stage::Crop, prepare)?;
        self.pictures.extend(prepared);
        let rule = self.config.rows();
        while self.pictures.len() >= rule.window {
            self.windows.push(self.pictures[..rule.window].to_vec());
            self.pictures.drain(..rule.stride);
            self.count += 1;
            if self.windows.len() == self.at_once {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.underway.push(self.queue.motion(std::mem::take(&mut self.windows)));
        self.underway.collect(AHEAD)
    }

    fn end(mut self) -> Result<Vec<f32>> {
        if self.count == 0
            && let Some(last) = self.pictures.last().cloned()
        {
            self.pictures.resize(self.config.rows().window, last);
            self.windows.push(std::mem::take(&mut self.pictures));
        }
        if !self.windows.is_empty() {
            self.send()?;
        }
        self.underway.finish()
    }
}

impl ClipStream for MotionStream<'_> {
    fn window(&mut self, frames: &[Numbered]) -> Result<(), Stop> {
        self.push(frames).map_err(Stop::at("encode"))
    }

    fn finish(self: Box<Self>, _: &Timing) -> Result<Finished, Stop> {
        Ok(Finished { rows: self.end().map_err(Stop::at("encode"))?, mouths: None })
    }
}
