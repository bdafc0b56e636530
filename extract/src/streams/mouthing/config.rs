//! How the mouthing stream is made.

use crate::streams::mouthing::faces::retina_face::RetinaFaceConfig;
use crate::streams::mouthing::landmarks::fan::FanConfig;
use crate::streams::mouthing::lips::config::LipConfig;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Where the points come from that the mouth is aligned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LandmarkSource {
    /// 68 points by FAN in the detector's box.
    Fan,
    /// The detector's own five points: no second network.
    Retinaface5,
    /// 68 points from files (--landmarks DIR).
    Files,
}

/// How the mouthing stream is made; part of the store's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MouthingConfig {
    pub landmarks: LandmarkSource,
    /// Absent with landmarks from files, as are the next two.
    pub detector: Option<RetinaFaceConfig>,
    /// Score from which on a box is a face.
    pub threshold: Option<f32>,
    /// A face is looked for in every so many frames.
    pub detect_every: Option<usize>,
    pub fan: Option<FanConfig>,
    pub lips: LipConfig,
    /// Layer whose output is taken, counted from 1; absent: the last one after the final layer norm.
    pub layer: Option<usize>,
    /// Seconds: frames of a longer gap between faces have rows of zeros; absent: all gaps are interpolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_gap: Option<f64>,
}
