//! Sizes of pictures, and how places in one picture become places in another.
//!
//! The pictures of one clip may differ in size: a browser sends smaller ones when the connection is bad, and folders are
//! put together from several cameras' pictures. What is known from one frame is then of use for another only after
//! conversion.

use crate::media::frame::Frame;
use crate::streams::mouthing::crop::similarity::Similarity;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSize {
    pub width: u32,
    pub height: u32,
}

impl PictureSize {
    pub fn of(frame: &Frame) -> Self {
        Self { width: frame.width as u32, height: frame.height as u32 }
    }

    /// The transform from places in a picture of this size to places in one of size `other`; `None` where both are
    /// the same, so that nothing is computed and every bit stays.
    ///
    /// The middle of one is the middle of the other, and pixels are scaled by the square root of the areas' ratio. For
    /// pictures of the same shape that is width to width and height to height; of another shape, as after a phone was
    /// turned, faces keep their proportions.
    pub fn to(self, other: Self) -> Option<Similarity> {
        if self == other {
            return None;
        }
        let area = |size: Self| f64::from(size.width.max(1)) * f64::from(size.height.max(1));
        let middle = |size: Self| [f64::from(size.width) / 2.0, f64::from(size.height) / 2.0];
        let a = (area(other) / area(self)).sqrt();
        let (from, to) = (middle(self), middle(other));
        Some(Similarity { a, b: 0.0, tx: to[0] - a * from[0], ty: to[1] - a * from[1] })
    }

    /// Whether a point lies in the picture. The left and upper edges belong to it, the right and lower ones do not; NaN
    /// lies nowhere.
    pub fn contains(self, [x, y]: [f64; 2]) -> bool {
        (0.0..f64::from(self.width)).contains(&x) && (0.0..f64::from(self.height)).contains(&y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> PictureSize {
        PictureSize { width, height }
    }

    #[test]
    fn pictures_of_one_shape_are_scaled_edge_to_edge() {
        let half = size(852, 480).to(size(426, 240)).expect("another size");
        assert_eq!(half.apply([852.0, 0.0]), [426.0, 0.0]);
        assert_eq!(half.apply([100.0, 60.0]), [50.0, 30.0]);
        assert_eq!(size(852, 480).to(size(852, 480)), None);
    }

    #[test]
    fn a_turned_picture_keeps_proportions_and_middle() {
        let turned = size(640, 480).to(size(480, 640)).expect("another size");
        assert_eq!(turned.apply([320.0, 240.0]), [240.0, 320.0]);
        assert_eq!((turned.a, turned.b), (1.0, 0.0));
        // A file may say that a picture has no pixels.
        assert!(
            size(0, 0).to(size(3, 5)).is_some_and(|to| to.matrix().iter().all(|value| value.is_finite()))
        );
    }

    #[test]
    fn what_lies_in_the_picture() {
        let picture = size(10, 20);
        for inside in [[0.0, 0.0], [9.99, 19.99]] {
            assert!(picture.contains(inside), "{inside:?}");
        }
        let outside =
            [[10.0, 5.0], [5.0, 20.0], [-0.01, 5.0], [5.0, -1.0], [f64::NAN, 5.0], [5.0, f64::INFINITY]];
        for outside in outside {
            assert!(!picture.contains(outside), "{outside:?}");
        }
    }
}
