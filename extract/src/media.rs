//! Where the pictures of a clip come from, and the stream of frames that they become.

use serde::Serialize;
use signclip_common::{Error, Result};

use crate::decode::{self, VideoSource};
use crate::frame::Frame;
use crate::frame_folder::{self, FrameFolder};
use crate::resample::{Range, Resampler, Shown, Timed};

pub use signclip_common::manifest::Media;

/// What was found in a clip and what was made of it; kept in the store with the clip's features.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Timing {
    /// Frames per second of the source (average, for a variable rate).
    pub source_fps: f64,
    /// Frames decoded inside the range.
    pub source_frames: usize,
    /// Frames delivered at the target rate.
    pub frames: usize,
    /// Whether any source frame was left out or repeated to reach the target rate.
    pub resampled: bool,
}

/// What the headers of a clip say, without decoding it.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Probe {
    /// Source frames of the clip; exact for a folder, by duration and rate for a video, `None` if unknown.
    pub frames: Option<usize>,
    /// Frames per second of the source.
    pub fps: f64,
    /// Seconds of the clip, if known.
    pub duration: Option<f64>,
    /// Pixels per row of an upright frame.
    pub width: usize,
    /// Rows of an upright frame.
    pub height: usize,
}

/// Read what the headers say: the container's for a video, the first picture's for a folder.
///
/// Fails on everything that can be seen without decoding: a missing or empty file, no video stream, a range outside
/// the video, a folder without pictures.
pub fn probe(media: &Media, folder_fps: f64) -> Result<Probe> {
    match media {
        Media::Frames(folder) => {
            let files = frame_folder::list(folder)?;
            let (width, height) = frame_folder::first_size(&files)?;
            let duration = Some(files.len() as f64 / folder_fps);
            Ok(Probe { frames: Some(files.len()), fps: folder_fps, duration, width, height })
        }
        Media::Video { path, start, end } => decode::probe(path, Range { start: *start, end: *end }),
    }
}

/// Bytes of pictures after which a window ends: sixteen of 1920×1080 pixels fit, of a film in 4K only six.
const WINDOW_BYTES: usize = 128 << 20;

/// A clip as a stream of windows of upright RGB frames at a fixed rate; never a whole video in memory.
///
/// It must be opened, read and dropped on one thread (it is not `Send`), and uses one thread. After an error it
/// must not be read on.
pub struct FrameStream {
    frames: Resampler<Source, Frame>,
    source_fps: f64,
}

enum Source {
    Folder(FrameFolder),
    Video(Box<VideoSource>),
}

impl Iterator for Source {
    type Item = Result<Timed<Frame>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Folder(folder) => folder.next(),
            Self::Video(video) => video.next(),
        }
    }
}

impl FrameStream {
    /// Open a clip for delivery at `target_fps`. `folder_fps` is the rate at which folders were recorded.
    pub fn open(media: &Media, folder_fps: f64, target_fps: f64) -> Result<Self> {
        for fps in [folder_fps, target_fps] {
            if !(fps.is_finite() && (0.1..=1000.0).contains(&fps)) {
                return Err(Error::usage(
                    format!("{fps} frames per second is no frame rate"),
                    "give a number between 0.1 and 1000",
                ));
            }
        }
        let (source, source_fps, range) = match media {
            Media::Frames(folder) => {
                (Source::Folder(FrameFolder::open(folder, folder_fps)?), folder_fps, Range::default())
            }
            Media::Video { path, start, end } => {
                let range = Range { start: *start, end: *end };
                let video = VideoSource::open(path, range)?;
                let fps = video.fps();
                (Source::Video(Box::new(video)), fps, range)
            }
        };
        Ok(Self { frames: Resampler::new(source, target_fps, range), source_fps })
    }

    /// The next frames in order, at most `max_frames`, and no more once they take [`WINDOW_BYTES`]; empty at the end of
    /// the clip. How a clip is cut depends on nothing but the clip.
    ///
    /// Fails with the file and the time on damage, truncation, and a range that the video does not cover. All frames
    /// of a clip are valid only if no window failed.
    pub fn next_window(&mut self, max_frames: usize) -> Result<Vec<Shown<Frame>>> {
        let (mut window, mut bytes) = (Vec::new(), 0);
        while window.len() < max_frames
            && bytes < WINDOW_BYTES
            && let Some(shown) = self.frames.next().transpose()?
        {
            bytes += shown.frame.rgb.len();
            window.push(shown);
        }
        Ok(window)
    }

    /// Counts up to here; complete when a window has come back empty.
    pub fn timing(&self) -> Timing {
        let counts = self.frames.counts();
        Timing {
            source_fps: self.source_fps,
            source_frames: counts.source,
            frames: counts.delivered,
            resampled: counts.uneven,
        }
    }
}
