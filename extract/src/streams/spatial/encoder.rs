//! Frames to Z_s.

use super::clip_vision::{ClipVision, ClipVisionConfig, OTHER_KEYS};
use super::s2::{self, S2Source};
use crate::card;
use crate::media::frame::Frame;
use crate::media::resize::{clip_resize_crop, squashed};
use crate::streams::layers::pictures::{self, Normalise};
use crate::streams::layers::rows::finite_rows;
use serde::{Deserialize, Serialize};
use signclip_common::Result;
use signclip_common::weights::Weights;
use tch::{Device, Tensor};

/// Mean and standard deviation of CLIP's image processor, by channel (R, G, B).
const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// Settings of the spatial encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialConfig {
    pub tower: ClipVisionConfig,
    pub s2_source: S2Source,
    /// Squash frames to this (width, height) by OpenCV's Lanczos before anything else, or not at all.
    pub squash: Option<(usize, usize)>,
}

impl SpatialConfig {
    /// Features a frame gets: the small image's class token beside the mean of its tiles'.
    pub fn dim(&self) -> usize {
        2 * self.tower.hidden_size as usize
    }

    /// Resize one decoded frame for the tower. Runs on any thread; no tensor is involved.
    pub fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        let size = self.tower.image_size as usize;
        let frame = squashed(frame, self.squash)?;
        Ok(Prepared {
            small: clip_resize_crop(&frame, size).rgb,
            double: (self.s2_source == S2Source::Frame).then(|| clip_resize_crop(&frame, 2 * size).rgb),
        })
    }
}

/// A frame resized and cropped to the tower's input, 8-bit RGB `[size, size, 3]`.
pub struct Prepared {
    pub small: Vec<u8>,
    /// `[2·size, 2·size, 3]`, where S² takes its double from the frame.
    pub double: Option<Vec<u8>>,
}

/// The frozen tower on one device.
pub struct SpatialEncoder {
    tower: ClipVision,
    normalise: Normalise,
    config: SpatialConfig,
    device: Device,
}

impl SpatialEncoder {
    /// Load the tower; keys of CLIP's text side are skipped, anything else unexpected is an error.
    pub fn load(weights: &Weights, config: &SpatialConfig, device: Device) -> Result<Self> {
        let tower = weights.build(&OTHER_KEYS, |root| ClipVision::new(root, &config.tower))?;
        Ok(Self { tower, normalise: Normalise::new(MEAN, STD, device), config: config.clone(), device })
    }

    /// Z_s of n frames, row-major `[n, dim]`.
    pub fn encode(&self, frames: &[Prepared]) -> Result<Vec<f32>> {
        let _frozen = tch::no_grad_guard();
        let parts = frames.chunks(self.frames_at_once());
        let rows = parts.map(|frames| {
            let rows = self.forward(&card::filled(frames, self.device));
            finite_rows(&rows.narrow(0, 0, frames.len() as i64), "spatial encoder", "--dtype f32")
        });
        Ok(rows.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Frames that pass the tower together. On the CPU as many as keep a layer's activations in the cache, which for
    /// ViT-L is one frame, five images; there always counted from the clip's beginning, so that a clip's features do not
    /// depend on what ran before it.
    pub fn frames_at_once(&self) -> usize {
        if self.device.is_cuda() {
            return card::FRAMES;
        }
        let tower = &self.config.tower;
        let tokens = (tower.image_size / tower.patch_size).pow(2) + 1;
        pictures::at_once_on_cpu(5 * tokens * tower.hidden_size)
    }

    fn forward(&self, frames: &[&Prepared]) -> Tensor {
        let size = self.config.tower.image_size;
        let small = self.pixels(frames.iter().map(|f| f.small.as_slice()), size);
        let double = match self.config.s2_source {
            S2Source::Upsampled => s2::upsample(&small),
            S2Source::Frame => self.pixels(frames.iter().filter_map(|f| f.double.as_deref()), 2 * size),
        };
        s2::features(&self.tower, &small, &double)
    }

    /// 8-bit RGB images to normalised pixels `[n, 3, size, size]` on the device.
    fn pixels<'a>(&self, images: impl Iterator<Item = &'a [u8]>, size: i64) -> Tensor {
        self.normalise.forward(&pictures::upload(images, [size, size], self.device))
    }
}

/// What CLIP's image processor makes of cropped pictures: 8-bit `[n, h, w, 3]` to float32 `[n, 3, h, w]`.
pub fn normalise(rgb_nhw3: &Tensor) -> Tensor {
    Normalise::new(MEAN, STD, rgb_nhw3.device()).forward(rgb_nhw3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// Alone, among others, and filled up as a card's batches are.
    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let config =
            SpatialConfig { tower: ClipVisionConfig::tiny(), s2_source: S2Source::Upsampled, squash: None };
        let weights = Weights::synthetic(3, Device::Cpu, Kind::Float);
        let encoder = SpatialEncoder::load(&weights, &config, Device::Cpu).expect("computed weights");
        let frames: Vec<Prepared> = [[200, 10, 30], [0, 90, 250], [60, 60, 60]]
            .map(|colour| config.prepare(&Frame::filled(80, 70, colour)).expect("an image"))
            .into();
        let _frozen = tch::no_grad_guard();
        let rows = |frames: &[&Prepared]| encoder.forward(frames);
        let alone: Vec<Tensor> = frames.iter().map(|frame| rows(&[frame])).collect();
        let together = rows(&card::filled(&frames, Device::Cuda(0)));
        assert_eq!(together.size()[0], 4);
        for (row, alone) in (0..).zip(&alone) {
            let gap = (together.narrow(0, row, 1) - alone).norm() / alone.norm();
            assert!(gap.double_value(&[]) < 1e-5, "row {row}: {gap}");
        }
        assert!((&alone[0] - &alone[1]).norm().double_value(&[]) > 1e-2, "different pictures");
    }
}
