//! How the mouthing stream is made.

use crate::streams::mouthing::faces::retina_face::{RetinaFaceConfig, THRESHOLD};
use crate::streams::mouthing::landmarks::fan::FanConfig;
use crate::streams::mouthing::lips::config::LipConfig;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::Kind;

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

/// Compute type of the networks that find faces and landmarks, whose results are pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FaceDtype {
    #[default]
    F32,
    /// Ten bits of every number are kept.
    F16,
}

impl FaceDtype {
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::F16 => Kind::Half,
        }
    }

    fn is_exact(&self) -> bool {
        *self == Self::F32
    }
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
    /// Of the detector and FAN; absent: float32.
    #[serde(default, skip_serializing_if = "FaceDtype::is_exact")]
    pub face_dtype: FaceDtype,
    pub lips: LipConfig,
    /// Layer whose output is taken, counted from 1; absent: the last one after the final layer norm.
    pub layer: Option<usize>,
    /// Seconds: frames of a longer gap between faces have rows of zeros; absent: all gaps are interpolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_gap: Option<f64>,
}

impl MouthingConfig {
    /// The first setting that this version does not make, with the reason.
    pub(in crate::streams) fn unmade(&self, computed: bool) -> Option<(&'static str, String)> {
        let unknown = |field, what: &str| Some((field, format!("{what} that is not known here")));
        let detects = self.landmarks != LandmarkSource::Files;
        let detectors = [RetinaFaceConfig::resnet50(), RetinaFaceConfig::mobilenet025()];
        let fans = [FanConfig::two_hourglasses(), FanConfig::four_hourglasses()];
        let lips = [LipConfig::large(), LipConfig::base(), LipConfig::tiny()];
        if self.detector.is_some() != detects
            || self.detector.iter().any(|config| !detectors.contains(config))
        {
            return unknown("detector", "a face detector");
        }
        if self.threshold != detects.then_some(THRESHOLD) {
            return unknown("threshold", "a threshold");
        }
        if self.detect_every.is_some() != detects || self.detect_every == Some(0) {
            return unknown("detect_every", "a number of frames");
        }
        let fan = self.landmarks == LandmarkSource::Fan;
        if self.fan.is_some() != fan || self.fan.iter().any(|config| !fans.contains(config)) {
            return unknown("fan", "a landmark network");
        }
        if !detects && !self.face_dtype.is_exact() {
            return unknown("face_dtype", "a compute type");
        }
        // Of a file, its tensors tell the sizes.
        if computed && !lips.contains(&self.lips) {
            return unknown("lips", "sizes of an AV-HuBERT");
        }
        None
    }
}
