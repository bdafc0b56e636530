//! The square part of a picture that the landmark network sees, as `FANPredictor` of `hhj1897/face_alignment` cuts it.

use opencv::imgproc;
use signclip_common::{Error, Result};

use crate::media::frame::{Frame, MAX_PIXELS};
use crate::media::resize::opencv_resize;

/// An integer box in a picture, which may reach beyond the picture's edges. `right` and `bottom` are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropBox {
    pub left: i64,
    pub top: i64,
    pub right: i64,
    pub bottom: i64,
}

impl CropBox {
    /// Around a face `[x1, y1, x2, y2]`: the square whose side is the mean of the face's width and height divided by
    /// `ratio`, rounded (halves to even) as numpy does in float32.
    pub fn around(face: [f32; 4], ratio: f32) -> Result<Self> {
        let [x1, y1, x2, y2] = face;
        let side = ((y2 - y1) + (x2 - x1)) / 2.0 / ratio;
        let corner = |low: f32, high: f32| ((low + high) / 2.0 - side / 2.0).round_ties_even();
        let (left, top) = (corner(x1, x2), corner(y1, y2));
        // Beyond these numbers the crop would be nothing but padding, or more than memory should be asked for.
        let sane = (0.0..=(MAX_PIXELS as f32).sqrt()).contains(&side) && left.abs().max(top.abs()) < 1e6;
        if !sane {
            return Err(Error::usage(
                format!("no crop around the face box {face:?}"),
                "the face detector returned a box that is not part of a picture; check its weights",
            ));
        }
        let end = |start: f32| ((start + side).round_ties_even() + 1.0) as i64;
        Ok(Self { left: left as i64, top: top as i64, right: end(left), bottom: end(top) })
    }

    /// The boxed part of the picture, black where there is no picture, at `size`×`size`: OpenCV's `resize` with
    /// `INTER_LINEAR`.
    pub fn cut(&self, frame: &Frame, size: usize) -> Result<Frame> {
        opencv_resize(&self.padded(frame), size, size, imgproc::INTER_LINEAR)
    }

    fn padded(&self, frame: &Frame) -> Frame {
        let (width, height) = ((self.right - self.left) as usize, (self.bottom - self.top) as usize);
        let mut part = Frame::filled(width, height, [0; 3]);
        let inside = |place: i64, limit: usize| place.clamp(0, limit as i64);
        let (from, to) = (inside(self.left, frame.width), inside(self.right, frame.width));
        for y in inside(self.top, frame.height)..inside(self.bottom, frame.height) {
            if from == to {
                break;
            }
            let row = &frame.rgb[y as usize * frame.width * 3..][from as usize * 3..to as usize * 3];
            let start = ((y - self.top) as usize * width + (from - self.left) as usize) * 3;
            part.rgb[start..start + row.len()].copy_from_slice(row);
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_of_the_reference() {
        let got = CropBox::around([80.3, 60.2, 120.9, 118.7], 0.55).expect("a box");
        assert_eq!(got, CropBox { left: 56, top: 44, right: 147, bottom: 135 });
    }

    #[test]
    fn boxes_that_are_no_faces() {
        for face in [[f32::NAN; 4], [10.0, 10.0, 0.0, 0.0], [0.0, 0.0, 1e9, 1e9], [1e9, 0.0, 1e9, 10.0]] {
            assert!(CropBox::around(face, 0.55).is_err(), "{face:?}");
        }
    }

    #[test]
    fn outside_is_black() {
        let frame = Frame::filled(8, 8, [200; 3]);
        let far = CropBox { left: 100, top: -50, right: 110, bottom: -40 };
        assert_eq!(far.cut(&frame, 4).expect("a crop"), Frame::filled(4, 4, [0; 3]));
        let corner = CropBox { left: -4, top: -4, right: 4, bottom: 4 };
        let got = corner.cut(&frame, 8).expect("a crop");
        assert_eq!(got.crop(4, 4, 4, 4), Frame::filled(4, 4, [200; 3]));
        assert_eq!(got.crop(0, 0, 8, 4), Frame::filled(8, 4, [0; 3]));
    }
}
