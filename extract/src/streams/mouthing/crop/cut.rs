//! The mouth cut out of a frame, and the lip encoder's input made of it (`cut_patch` of `align_mouth.py`, and the
//! image transforms of AV-HuBERT's `hubert_pretraining.py` without augmentation).

use super::align::Alignment;
use super::warp::{ALIGNED, warp_part};
use crate::media::frame::Frame;
use crate::media::resize::opencv_resize;
use opencv::imgproc::INTER_LINEAR;
use signclip_common::Result;

/// Edge of the crop (`--crop-width`, `--crop-height`).
pub const CROP: usize = 96;

/// Edge of the encoder's input (`image_crop_size`).
pub const INPUT: usize = 88;

/// Mean of the gray values in the encoder's training, of 0 to 1 (`image_mean`).
pub const MEAN: f64 = 0.421;

/// Their standard deviation (`image_std`).
pub const STD: f64 = 0.165;

/// The level of a crop on which nothing is to be seen: it becomes almost zero in the encoder's input.
pub const NOTHING: u8 = 107;

/// The 96×96 pixels around the mouth of the aligned frame. Where the mouth is too near to the edge of the aligned
/// picture, the crop is moved inside. Only these pixels are computed.
pub fn mouth_crop<const N: usize>(frame: &Frame, alignment: &Alignment<N>) -> Frame {
    let [left, top] = alignment.mouth.map(first_pixel);
    warp_part(frame, &alignment.transform, left, top, CROP)
}

/// What the reference uses in place of the crop where a clip has no face at all: the whole frame, at the size of the
/// crop. `extract` stores zeros for such a clip instead.
pub fn resized_crop(frame: &Frame) -> Result<Frame> {
    opencv_resize(frame, CROP, CROP, INTER_LINEAR)
}

/// First pixel of the crop along one axis. Python rounds halves to even.
fn first_pixel(centre: f64) -> usize {
    let half = CROP / 2;
    let inside = centre.max(half as f64).min((ALIGNED - half) as f64);
    inside.round_ties_even() as usize - half
}

/// OpenCV's gray of a picture, in its fixed-point arithmetic.
pub fn gray(crop: &Frame) -> Vec<u8> {
    let (pixels, _) = crop.rgb.as_chunks::<3>();
    let luma = |&[red, green, blue]: &[u8; 3]| {
        ((u32::from(red) * 9798 + u32::from(green) * 19235 + u32::from(blue) * 3735 + (1 << 14)) >> 15) as u8
    };
    pixels.iter().map(luma).collect()
}

/// The gray middle of a mouth crop, [`INPUT`]² levels row by row.
pub fn lip_levels(crop: &Frame) -> Vec<u8> {
    assert_eq!((crop.width, crop.height), (CROP, CROP), "a mouth crop");
    let edge = (CROP - INPUT) / 2;
    gray(&crop.crop(edge, edge, INPUT, INPUT))
}

/// The encoder's input: gray levels as 0 to 1, minus the mean, divided by the standard deviation.
pub fn lip_input(levels: &[u8]) -> Vec<f32> {
    let normalised: [f32; 256] = std::array::from_fn(|level| ((level as f64 / 255.0 - MEAN) / STD) as f32);
    levels.iter().map(|&level| normalised[usize::from(level)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::mouthing::crop::align::{Layout, align};
    use crate::streams::mouthing::crop::landmarks::{POINTS, Points};
    use crate::streams::mouthing::crop::mean_face::MEAN_FACE;

    /// The mean face, scaled and moved.
    fn face(size: f32, x: f32, y: f32) -> Points<POINTS> {
        MEAN_FACE.map(|point| [point[0] as f32 * size + x, point[1] as f32 * size + y])
    }

    fn crop_of(frame: &Frame, points: Points<POINTS>) -> Frame {
        mouth_crop(frame, &align(Layout::ibug68(), &[Some(points)]).expect("a face")[0])
    }

    #[test]
    fn centres_are_rounded_to_even_and_kept_inside() {
        let cases = [(128.5, 80), (129.5, 82), (129.4, 81), (-1e9, 0), (47.0, 0), (208.4, 160), (1e9, 160)];
        for (centre, first) in cases {
            assert_eq!(first_pixel(centre), first, "{centre}");
        }
        assert_eq!(first_pixel(f64::NAN), 0);
    }

    #[test]
    fn nothing_is_almost_zero_to_the_encoder() {
        let nearer = |level: u8| lip_input(&[level])[0].abs() > lip_input(&[NOTHING])[0].abs();
        assert!((0..=255).filter(|level| *level != NOTHING).all(nearer));
    }

    #[test]
    fn a_face_that_leaves_the_frame_ends_in_black() {
        let frame = Frame::filled(256, 256, [255; 3]);
        assert!(crop_of(&frame, face(1.0, 0.0, 0.0)).rgb.iter().all(|&level| level >= 254));
        let half = crop_of(&frame, face(1.0, 128.0, 0.0));
        assert!(half.rgb[0] >= 254 && half.rgb[CROP * 3 - 1] == 0, "the right side is outside");
        assert_eq!(crop_of(&frame, face(1.0, -900.0, 5000.0)), Frame::filled(CROP, CROP, [0; 3]));
    }

    #[test]
    fn frames_smaller_than_the_crop_work() {
        for (width, height) in [(1, 1), (2, 5), (40, 30), (0, 0)] {
            let frame = Frame::filled(width, height, [90, 120, 60]);
            for points in [face(0.1, 0.0, 0.0), face(1e-4, 0.5, 0.5), face(300.0, -9e4, 2.0)] {
                assert_eq!(crop_of(&frame, points).rgb.len(), CROP * CROP * 3, "{width}x{height}");
            }
        }
    }

    #[test]
    fn the_input_is_the_normalised_middle() {
        let mut crop = Frame::filled(CROP, CROP, [0; 3]);
        crop.rgb[(4 * CROP + 4) * 3..][..3].fill(255);
        crop.rgb[(3 * CROP + 4) * 3..][..3].fill(77);
        let input = lip_input(&lip_levels(&crop));
        assert_eq!(input[0], ((1.0 - MEAN) / STD) as f32);
        assert!(input[1..].iter().all(|&value| value == (-MEAN / STD) as f32));
    }
}
