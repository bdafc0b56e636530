//! Points of the stage: the plane the signer stands on, one unit = one pixel of a 210 x 260 frame.
//! x = 0 is the body's middle and grows to the right of the picture, y = 0 is the top and grows downwards.

use std::ops::{Add, Mul, Sub};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

pub(crate) const fn at(x: f32, y: f32) -> Point {
    Point { x, y }
}

impl Point {
    pub(crate) fn length(self) -> f32 {
        // As `hypot`, which would ask for a glibc of 2022.
        (f64::from(self.x).powi(2) + f64::from(self.y).powi(2)).sqrt() as f32
    }

    /// Turned clockwise (as seen in the picture) by `degrees`.
    pub(crate) fn turned(self, degrees: f32) -> Point {
        let (sin, cos) = degrees.to_radians().sin_cos();
        at(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }

    pub(crate) const fn mirrored(self) -> Point {
        at(-self.x, self.y)
    }
}

impl Add for Point {
    type Output = Point;
    fn add(self, other: Point) -> Point {
        at(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Point;
    fn sub(self, other: Point) -> Point {
        at(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Point {
    type Output = Point;
    fn mul(self, factor: f32) -> Point {
        at(self.x * factor, self.y * factor)
    }
}

/// What the renderer can blend from one frame to the next.
pub(crate) trait Blend: Copy {
    /// `self` at `share` 0, `other` at `share` 1.
    fn blend(self, other: Self, share: f32) -> Self;
}

impl Blend for f32 {
    fn blend(self, other: f32, share: f32) -> f32 {
        self + (other - self) * share
    }
}

impl Blend for Point {
    fn blend(self, other: Point, share: f32) -> Point {
        at(self.x.blend(other.x, share), self.y.blend(other.y, share))
    }
}

/// Minimum-jerk time course: the way human hands move between two points of rest (Flash and Hogan, 1985).
pub(crate) fn minimum_jerk(time: f32) -> f32 {
    let t = time.clamp(0.0, 1.0);
    t * t * t * (10.0 + t * (6.0 * t - 15.0))
}
