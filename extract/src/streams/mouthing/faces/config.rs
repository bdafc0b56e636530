//! Sizes of the face detector, and which of its boxes stay.

use super::bodies::BodyKind;
use serde::{Deserialize, Serialize};

/// The reference's configuration, with its own field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetinaFaceConfig {
    #[serde(rename = "name")]
    pub body: BodyKind,
    pub min_sizes: Vec<Vec<f64>>,
    pub steps: Vec<usize>,
    pub variance: [f64; 2],
    pub clip: bool,
    /// Half the channels of the body's finest map that is used.
    pub in_channel: i64,
    /// Channels of the pyramid.
    pub out_channel: i64,
    #[serde(flatten)]
    pub selection: Selection,
}

/// Which boxes stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Boxes with a lower score do not take part in the suppression.
    pub conf_thresh: f32,
    /// At most so many boxes take part in it.
    pub nms_top_k: usize,
    pub nms_thresh: f32,
    /// At most so many boxes come out of it.
    pub top_k: usize,
}

impl Default for Selection {
    fn default() -> Self {
        Self { conf_thresh: 0.02, nms_top_k: 5000, nms_thresh: 0.4, top_k: 750 }
    }
}

impl RetinaFaceConfig {
    /// The small network, 0.4 million parameters.
    pub fn mobilenet025() -> Self {
        Self {
            body: BodyKind::MobileNet025,
            min_sizes: [[16.0, 32.0], [64.0, 128.0], [256.0, 512.0]].map(Vec::from).into(),
            steps: vec![8, 16, 32],
            variance: [0.1, 0.2],
            clip: false,
            in_channel: 32,
            out_channel: 64,
            selection: Selection::default(),
        }
    }

    /// The large network, the reference's default.
    pub fn resnet50() -> Self {
        Self { body: BodyKind::ResNet50, in_channel: 256, out_channel: 256, ..Self::mobilenet025() }
    }
}
