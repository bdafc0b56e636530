//! Windows of frames to Z_v.

use super::video_mae::{OTHER_KEYS, VideoMae, VideoMaeConfig};
use crate::card;
use crate::media::frame::Frame;
use crate::media::resize::{squashed, video_mae_resize_crop};
use crate::streams::layers::pictures::{self, Normalise};
use crate::streams::layers::rows::finite_rows;
use serde::{Deserialize, Serialize};
use signclip_common::Result;
use signclip_common::store::RowRule;
use signclip_common::weights::Weights;
use std::sync::Arc;
use tch::{Device, Tensor};

/// Mean and standard deviation of VideoMAE's image processor, by channel (R, G, B): those of ImageNet.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Frames from one window to the next: SpaMo's `overlap_size`.
pub const STRIDE: usize = 8;

/// Settings of the motion encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionConfig {
    pub network: VideoMaeConfig,
    /// Frames from one window to the next.
    pub stride: usize,
    /// Squash frames to this (width, height) by OpenCV's Lanczos before anything else, or not at all.
    pub squash: Option<(usize, usize)>,
}

/// A frame resized and cropped to the network's input, 8-bit RGB `[size, size, 3]`. The windows around it share it.
pub type Picture = Arc<[u8]>;

/// Consecutive frames that make a row.
pub type Window = Vec<Picture>;

impl MotionConfig {
    /// Features of a window.
    pub fn dim(&self) -> usize {
        self.network.hidden_size as usize
    }

    /// Rows of a clip.
    pub fn rows(&self) -> RowRule {
        RowRule { window: self.network.num_frames as usize, stride: self.stride }
    }

    /// Resize one decoded frame for the network. Runs on any thread; no tensor is involved.
    pub fn prepare(&self, frame: &Frame) -> Result<Picture> {
        let frame = squashed(frame, self.squash)?;
        Ok(video_mae_resize_crop(&frame, self.network.image_size as usize).rgb.into())
    }
}

/// The frozen network on one device.
pub struct MotionEncoder {
    network: VideoMae,
    normalise: Normalise,
    config: MotionConfig,
    device: Device,
}

impl MotionEncoder {
    /// Load the network; keys of its decoder are skipped, anything else unexpected is an error.
    pub fn load(weights: &Weights, config: &MotionConfig, device: Device) -> Result<Self> {
        let network = weights.build(&OTHER_KEYS, |root| VideoMae::new(root, &config.network))?;
        Ok(Self { network, normalise: Normalise::new(MEAN, STD, device), config: config.clone(), device })
    }

    /// Z_v of n windows, row-major `[n, dim]`.
    pub fn encode(&self, windows: &[Window]) -> Result<Vec<f32>> {
        let _frozen = tch::no_grad_guard();
        let parts = windows.chunks(self.windows_at_once());
        let rows = parts.map(|windows| {
            let rows = self.forward(&card::filled(windows, self.device));
            finite_rows(&rows.narrow(0, 0, windows.len() as i64), "motion encoder", "--dtype f32")
        });
        Ok(rows.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Windows that pass the network together, on the CPU always counted from the clip's beginning.
    pub fn windows_at_once(&self) -> usize {
        if self.device.is_cuda() {
            return card::WINDOWS;
        }
        pictures::at_once_on_cpu(self.config.network.tokens() * self.config.network.hidden_size)
    }

    fn forward(&self, windows: &[&Window]) -> Tensor {
        let size = self.config.network.image_size;
        let pictures = windows.iter().copied().flatten().map(AsRef::as_ref);
        let pixels = self.normalise.forward(&pictures::upload(pictures, [size, size], self.device));
        self.network.first_token(&pixels.unflatten(0, [windows.len() as i64, -1]))
    }
}

/// What VideoMAE's image processor makes of cropped pictures: 8-bit `[n, h, w, 3]` to float32 `[n, 3, h, w]`.
pub fn normalise(rgb_nhw3: &Tensor) -> Tensor {
    Normalise::new(MEAN, STD, rgb_nhw3.device()).forward(rgb_nhw3)
}
