//! Which frames the rows of a landmark file are of.

/// What the rows of a file of landmarks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LandmarkRows {
    /// Frames of the source, before it was resampled.
    Source,
    /// Frames at 25 a second.
    At25,
}

impl LandmarkRows {
    /// What so many rows are for a clip of these numbers of frames. Where the numbers are equal, rows are the source's.
    pub fn of(rows: usize, source_frames: usize, frames: usize) -> Option<Self> {
        if rows == source_frames {
            return Some(Self::Source);
        }
        (rows == frames).then_some(Self::At25)
    }
}
