//! A stream of one clip: it takes the clip's frames window by window, and gives the clip's rows at the end.

use crate::media::frame::Frame;
use crate::media::frame_reader::Timing;
use crate::streams::mouthing::landmark_rows::LandmarkRows;
use signclip_common::Error;
use std::sync::Arc;

/// Frames that are decoded and encoded together. Counted from the clip's beginning, so that features do not depend on
/// what ran before.
pub const WINDOW: usize = 16;

/// A frame with its number and the number of its source frame.
pub struct Numbered {
    pub frame: Arc<Frame>,
    pub number: usize,
    pub source: usize,
}

/// One stream of one clip.
pub trait ClipStream {
    /// Takes the clip's next frames.
    fn window(&mut self, frames: &[Numbered]) -> Result<(), Stop>;

    /// The clip has ended.
    fn finish(self: Box<Self>, timing: &Timing) -> Result<Finished, Stop>;
}

/// Why a clip has no rows.
pub enum Stop {
    /// The stage for the list of failures, and the reason.
    Failed(&'static str, Error),
    /// The rows of its landmark file mean something else than was assumed: read the clip again.
    Reread(LandmarkRows),
}

impl Stop {
    /// A failure in `stage`, for `map_err`.
    pub fn at(stage: &'static str) -> impl Fn(Error) -> Self {
        move |error| Self::Failed(stage, error)
    }
}

/// A stream of a clip that has ended.
pub struct Finished {
    /// Row-major float32.
    pub rows: Vec<f32>,
    /// What was found of the signer's mouth, where one was looked for.
    pub mouths: Option<MouthFacts>,
}

/// What was found of the signer's mouth in a clip.
pub struct MouthFacts {
    /// Share of frames with a mouth.
    pub coverage: f64,
    /// First and last frame of each gap.
    pub gaps: Vec<[usize; 2]>,
    /// Frames with a face whose mouth lies outside of the picture.
    pub outside: usize,
    /// SHA-256 of the file of landmarks, where they came from one.
    pub landmarks: Option<String>,
    /// The contact sheet as a PNG file, where one is wanted.
    pub sheet: Option<Vec<u8>>,
}
