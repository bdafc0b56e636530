//! A clip, read as windows of upright RGB frames at a fixed rate.

use serde::Serialize;
use signclip_common::manifest::Media;
use signclip_common::{Error, Result};

use crate::media::decode::{self, VideoSource};
use crate::media::frame::Frame;
use crate::media::frame_folder::{self, FrameFolder};
use crate::media::reading::{Probe, Reading};
use crate::media::remark::Remark;
use crate::media::resample::{Range, Resampler, Shown, Timed};

/// What was found in a clip and what was made of it; kept in the store with the clip's features.
#[derive(Serialize, Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// Frames per second of the source (average, for a variable rate).
    pub source_fps: f64,
    /// Frames decoded inside the range.
    pub source_frames: usize,
    /// Frames delivered at the target rate.
    pub frames: usize,
    /// Whether any source frame was left out or repeated to reach the target rate.
    pub resampled: bool,
    /// Whether pictures were turned or mirrored to be upright, as the file said.
    pub turned: bool,
    /// Which of several video streams was read.
    pub video_stream: Option<usize>,
    /// Whether the file does not say how long it is, so that frames may be missing.
    pub end_unknown: bool,
    /// What a user should know.
    pub remarks: Vec<Remark>,
}

/// Read what the headers say: the container's for a video, the first picture's for a folder.
///
/// Fails on everything that can be seen without decoding: a missing or empty file, no video stream, a range outside
/// the video, a folder without pictures.
pub fn probe(media: &Media, reading: impl Into<Reading>) -> Result<Probe> {
    let reading = reading.into();
    match media {
        Media::Frames(folder) => {
            let files = frame_folder::list(folder)?;
            let (width, height) = frame_folder::first_size(&files)?;
            let (fps, duration) = (reading.folder_fps, files.len() as f64 / reading.folder_fps);
            Ok(Probe { frames: Some(files.len()), fps: Some(fps), duration: Some(duration), width, height })
        }
        Media::Video { path, start, end } => {
            decode::probe(path, Range { start: *start, end: *end }, &reading)
        }
        Media::Unknown => Err(unknown()),
    }
}

/// The error of a clip whose features alone are there.
fn unknown() -> Error {
    Error::usage(
        "neither a video nor pictures are named",
        "give \"video\" or \"frames\" in the list of clips",
    )
}

/// Bytes of pictures after which a window ends: sixteen of 1920×1080 pixels fit, of a film in 4K only six.
const WINDOW_BYTES: usize = 128 << 20;

/// A clip as windows of upright RGB frames at a fixed rate; never a whole video in memory.
///
/// It must be opened, read and dropped on one thread (it is not `Send`), and uses one thread. After an error it
/// must not be read on.
pub struct FrameReader {
    frames: Resampler<Source, Frame>,
    /// Frames per second, as far as headers know.
    stated_fps: Option<f64>,
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

impl FrameReader {
    /// Open a clip for delivery at `target_fps`.
    pub fn open(media: &Media, reading: impl Into<Reading>, target_fps: f64) -> Result<Self> {
        let reading = reading.into();
        for fps in [reading.folder_fps, target_fps] {
            if !(fps.is_finite() && (0.1..=1000.0).contains(&fps)) {
                return Err(Error::usage(
                    format!("{fps} frames per second is not a frame rate"),
                    "give a number between 0.1 and 1000",
                ));
            }
        }
        let (source, stated_fps, range) = match media {
            Media::Frames(folder) => {
                let fps = reading.folder_fps;
                (Source::Folder(FrameFolder::open(folder, fps)?), Some(fps), Range::default())
            }
            Media::Video { path, start, end } => {
                let range = Range { start: *start, end: *end };
                let video = VideoSource::open(path, range, &reading)?;
                let fps = video.fps();
                (Source::Video(Box::new(video)), fps, range)
            }
            Media::Unknown => return Err(unknown()),
        };
        Ok(Self { frames: Resampler::new(source, target_fps, range), stated_fps })
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
        let (turned, video_stream, end_unknown, remarks) = match self.frames.source() {
            Source::Folder(folder) => (folder.turned(), None, false, Vec::new()),
            Source::Video(video) => {
                (video.turned(), video.video_stream(), video.end_unknown(), video.remarks())
            }
        };
        Timing {
            source_fps: self.source_fps(),
            source_frames: counts.source,
            frames: counts.delivered,
            resampled: counts.uneven,
            turned,
            video_stream,
            end_unknown,
            remarks,
        }
    }

    /// The rate that the header states, unless the frames that were read have another one.
    fn source_fps(&self) -> f64 {
        let (gaps, seconds) = (self.frames.counts().source.saturating_sub(1) as f64, self.frames.span());
        let measured = Some(gaps / seconds).filter(|_| gaps > 0.0 && seconds > 0.0);
        // Time stamps are rounded.
        let agrees = |fps: &f64| measured.is_none() || (gaps / fps - seconds).abs() <= 0.02 * seconds + 0.01;
        self.stated_fps.filter(agrees).or(measured).unwrap_or(25.0)
    }
}
