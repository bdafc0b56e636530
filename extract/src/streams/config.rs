//! The streams that can be made, and how each is made.

use crate::streams::motion::encoder::{MotionConfig, STRIDE};
use crate::streams::motion::video_mae::VideoMaeConfig;
use crate::streams::mouthing::config::{FaceDtype, MouthingConfig};
use crate::streams::spatial::clip_vision::ClipVisionConfig;
use crate::streams::spatial::encoder::SpatialConfig;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;
use signclip_common::store::{MOTION, MOUTHING, RowRule, SPATIAL};

/// Name of a stream, in flags, in `store.json` and in the names of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum StreamName {
    Spatial,
    Motion,
    Mouthing,
}

impl StreamName {
    pub const ALL: [Self; 3] = [Self::Spatial, Self::Motion, Self::Mouthing];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Motion => MOTION,
            Self::Mouthing => MOUTHING,
            Self::Spatial => SPATIAL,
        }
    }
}

/// A frozen network of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    Clip,
    VideoMae,
    RetinaFace,
    Fan,
    AvHubert,
}

impl Network {
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "CLIP",
            Self::VideoMae => "VideoMAE",
            Self::RetinaFace => "RetinaFace",
            Self::Fan => "FAN",
            Self::AvHubert => "AV-HuBERT",
        }
    }
}

/// Settings of a stream: `config` in a store's description.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "a run has one of each")]
pub enum StreamConfig {
    Motion(MotionConfig),
    Mouthing(MouthingConfig),
    Spatial(SpatialConfig),
}

impl StreamConfig {
    /// Reads the settings of the stream `name`.
    pub fn read(name: StreamName, config: Value) -> serde_json::Result<Self> {
        Ok(match name {
            StreamName::Motion => Self::Motion(serde_json::from_value(config)?),
            StreamName::Mouthing => Self::Mouthing(serde_json::from_value(config)?),
            StreamName::Spatial => Self::Spatial(serde_json::from_value(config)?),
        })
    }

    pub fn name(&self) -> StreamName {
        match self {
            Self::Motion(_) => StreamName::Motion,
            Self::Mouthing(_) => StreamName::Mouthing,
            Self::Spatial(_) => StreamName::Spatial,
        }
    }

    /// The first setting that this version does not make, with the reason. A store may have been written by hand or by
    /// another version, and what it says is what networks are built from. `computed`: their weights are not from files,
    /// which would tell their sizes.
    pub fn unmade(&self, computed: bool) -> Option<(&'static str, String)> {
        match self {
            Self::Mouthing(config) => config.unmade(computed),
            Self::Spatial(config) => {
                let known = [ClipVisionConfig::vit_large_patch14(), ClipVisionConfig::tiny()];
                match known.contains(&config.tower) {
                    false => Some(("tower", "sizes of a CLIP that is not known here".to_owned())),
                    true => without_pixels(config.squash),
                }
            }
            Self::Motion(config) => {
                let known = [VideoMaeConfig::large(), VideoMaeConfig::tiny()];
                match (known.contains(&config.network), config.stride) {
                    (false, _) => Some(("network", "sizes of a VideoMAE that is not known here".to_owned())),
                    (true, STRIDE) => without_pixels(config.squash),
                    (true, stride) => Some(("stride", format!("windows every {stride} frames"))),
                }
            }
        }
    }

    /// Columns of a row.
    pub fn dim(&self) -> usize {
        match self {
            Self::Motion(config) => config.dim(),
            Self::Mouthing(config) => config.lips.encoder_embed_dim as usize,
            Self::Spatial(config) => config.dim(),
        }
    }

    /// Rows of a clip.
    pub fn rows(&self) -> RowRule {
        match self {
            Self::Motion(config) => config.rows(),
            Self::Mouthing(_) | Self::Spatial(_) => RowRule::EACH_FRAME,
        }
    }

    /// The encoder, as the store names it.
    pub fn encoder(&self) -> String {
        match self {
            Self::Motion(config) => {
                format!("VideoMAE, {} layers, first token", config.network.num_hidden_layers)
            }
            Self::Mouthing(config) => format!("AV-HuBERT, {} layers, video only", config.lips.encoder_layers),
            Self::Spatial(config) => {
                format!("CLIP vision tower, {} layers, with S2", config.tower.num_hidden_layers)
            }
        }
    }

    /// The encoder and its size, for the log.
    pub fn describe(&self) -> String {
        match self {
            Self::Motion(config) => {
                let (n, RowRule { window, stride }) = (&config.network, config.rows());
                format!(
                    "motion: VideoMAE ({} layers, width {}, windows of {window} {}x{} images, one every {stride} frames)",
                    n.num_hidden_layers, n.hidden_size, n.image_size, n.image_size
                )
            }
            Self::Mouthing(config) => {
                let (layers, width) = (config.lips.encoder_layers, config.lips.encoder_embed_dim);
                let faces = if config.face_dtype == FaceDtype::F16 { "faces in f16, " } else { "" };
                format!("mouthing: {faces}AV-HuBERT ({layers} layers, width {width})")
            }
            Self::Spatial(config) => {
                let t = &config.tower;
                format!(
                    "spatial: CLIP vision tower ({} layers, width {}, {}x{} images) with S2",
                    t.num_hidden_layers, t.hidden_size, t.image_size, t.image_size
                )
            }
        }
    }

    /// The networks that make it.
    pub fn networks(&self) -> Vec<Network> {
        match self {
            Self::Mouthing(config) => {
                let found = [
                    config.detector.is_some().then_some(Network::RetinaFace),
                    config.fan.is_some().then_some(Network::Fan),
                ];
                found.into_iter().flatten().chain([Network::AvHubert]).collect()
            }
            Self::Motion(_) => vec![Network::VideoMae],
            Self::Spatial(_) => vec![Network::Clip],
        }
    }
}

/// The setting `squash`, where nothing would be left of a picture.
fn without_pixels(squash: Option<(usize, usize)>) -> Option<(&'static str, String)> {
    let empty = squash.is_some_and(|(width, height)| width.min(height) == 0);
    empty.then(|| ("squash", "pictures without pixels".to_owned()))
}
