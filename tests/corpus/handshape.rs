//! Hand shapes: which fingers are stretched, and how far apart. A shape is five numbers and a spread, so that
//! one shape can turn into the next without a jump.

use crate::geometry::Blend;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HandShape {
    /// Thumb, index, middle, ring, little finger: 0 folded, 1 stretched.
    pub(crate) fingers: [f32; 5],
    /// 0: fingers side by side; 1: fanned out; below 0: tips meet.
    pub(crate) spread: f32,
}

const fn shape(fingers: [f32; 5], spread: f32) -> HandShape {
    HandShape { fingers, spread }
}

pub(crate) const FIST: HandShape = shape([0.0, 0.0, 0.0, 0.0, 0.0], 0.0);
pub(crate) const FLAT: HandShape = shape([0.3, 1.0, 1.0, 1.0, 1.0], 0.0);
pub(crate) const OPEN: HandShape = shape([1.0, 1.0, 1.0, 1.0, 1.0], 1.0);
pub(crate) const INDEX: HandShape = shape([0.0, 1.0, 0.0, 0.0, 0.0], 0.0);
pub(crate) const VEE: HandShape = shape([0.0, 1.0, 1.0, 0.0, 0.0], 1.0);
pub(crate) const FOUR: HandShape = shape([0.0, 1.0, 1.0, 1.0, 1.0], 0.8);
pub(crate) const THUMB: HandShape = shape([1.0, 0.0, 0.0, 0.0, 0.0], 0.0);
pub(crate) const ELL: HandShape = shape([1.0, 1.0, 0.0, 0.0, 0.0], 0.3);
pub(crate) const WYE: HandShape = shape([1.0, 0.0, 0.0, 0.0, 1.0], 1.0);
pub(crate) const LITTLE: HandShape = shape([0.0, 0.0, 0.0, 0.0, 1.0], 0.3);
pub(crate) const HORNS: HandShape = shape([0.0, 1.0, 0.0, 0.0, 1.0], 0.7);
pub(crate) const CLAW: HandShape = shape([0.7, 0.5, 0.5, 0.5, 0.5], 1.4);
pub(crate) const BEAK: HandShape = shape([0.8, 0.7, 0.75, 0.7, 0.6], -0.9);

impl Blend for HandShape {
    fn blend(self, other: Self, share: f32) -> Self {
        let mut fingers = self.fingers;
        for (finger, target) in fingers.iter_mut().zip(other.fingers) {
            *finger = finger.blend(target, share);
        }
        Self { fingers, spread: self.spread.blend(other.spread, share) }
    }
}
