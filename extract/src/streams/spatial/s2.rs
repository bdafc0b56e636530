//! Scaling on Scales (S²): the same frozen tower on the image and on the four quarters of its double.
//!
//! z_s = concat(f(x²²⁴), mean of f over the 4 tiles of x⁴⁴⁸), the paper's first equation with K = 4. Following SpaMo's
//! published code, f is the class token of the last layer and x⁴⁴⁸ is the *normalised* 224 image enlarged by bicubic
//! interpolation; `S2Source::Frame` takes x⁴⁴⁸ from the frame itself, as the paper's text reads.

use super::clip_vision::ClipVision;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Where the doubled image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum S2Source {
    /// The normalised small image, enlarged (SpaMo's code).
    #[default]
    Upsampled,
    /// The frame, resized to the double (the paper's text).
    Frame,
}

/// Twice the size by bicubic interpolation (a = -0.75, no antialiasing, edges clamped), as torch's `interpolate`
/// does: `[n, 3, s, s]` to `[n, 3, 2s, 2s]`, float32.
pub fn upsample(pixels_n3hw: &Tensor) -> Tensor {
    let size = pixels_n3hw.size()[2] * 2;
    pixels_n3hw.to_kind(Kind::Float).upsample_bicubic2d([size, size], false, None, None)
}

/// S² features `[n, 2d]` (float32) of n images from their small `[n, 3, s, s]` and doubled `[n, 3, 2s, 2s]` forms.
pub fn features(tower: &ClipVision, small_n3hw: &Tensor, double_n3hw: &Tensor) -> Tensor {
    let (n, s) = (small_n3hw.size()[0], small_n3hw.size()[2]);
    let tile = |row: i64, column: i64| double_n3hw.narrow(2, row * s, s).narrow(3, column * s, s);
    // Image and tiles in one batch: 5n images, tile index outside, image index inside.
    let images = [small_n3hw.shallow_clone(), tile(0, 0), tile(0, 1), tile(1, 0), tile(1, 1)];
    let class = tower.class_token(&Tensor::cat(&images, 0)).to_kind(Kind::Float).view([5, n, -1]);
    let tiles = class.narrow(0, 1, 4).mean_dim(0, false, Kind::Float);
    Tensor::cat(&[class.select(0, 0), tiles], 1)
}
