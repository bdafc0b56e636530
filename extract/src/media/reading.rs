//! How a clip is read, and what its headers say.

use serde::{Deserialize, Serialize};

/// Frames per second of the features. AV-HuBERT was trained at this rate.
pub const TARGET_FPS: f64 = 25.0;

/// How media are read, besides which part of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Rate at which folders of pictures were recorded.
    pub folder_fps: f64,
    pub video: VideoConfig,
}

/// How videos become frames: `config` of a store's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoConfig {
    pub resampling: Resampling,
    /// Which of a file's video streams is read, counted from 0; absent: the first one. Cover pictures do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_stream: Option<usize>,
    /// Each interlaced frame is made of one of its fields.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deinterlace: bool,
}

/// Which frame of the source a row shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resampling {
    #[default]
    #[serde(rename = "nearest frame in time")]
    Nearest,
}

/// Folders at a rate, and videos as they are.
impl From<f64> for Reading {
    fn from(folder_fps: f64) -> Self {
        Self { folder_fps, video: VideoConfig::default() }
    }
}

/// What the headers of a clip say, without decoding it.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Probe {
    /// Source frames of the clip; exact for a folder, by duration and rate for a video, `None` if unknown.
    pub frames: Option<usize>,
    /// Frames per second of the source; `None` if unknown.
    pub fps: Option<f64>,
    /// Seconds of the clip, if known.
    pub duration: Option<f64>,
    /// Pixels per row of an upright frame.
    pub width: usize,
    /// Rows of an upright frame.
    pub height: usize,
}

impl Probe {
    /// Seconds of the clip, said or by the number of its frames.
    pub fn seconds(&self) -> Option<f64> {
        self.duration.or_else(|| Some(self.frames? as f64 / self.fps?))
    }
}
