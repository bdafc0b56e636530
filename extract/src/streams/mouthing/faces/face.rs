//! A face.

/// A face, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// x1, y1, x2, y2; may reach beyond the picture.
    pub bounds: [f32; 4],
    /// Probability of being a face.
    pub score: f32,
    /// Right eye, left eye, nose, right and left corner of the mouth (of the person), each x, y.
    pub points: [[f32; 2]; 5],
}

impl Face {
    pub fn width(&self) -> f32 {
        self.bounds[2] - self.bounds[0]
    }

    pub fn height(&self) -> f32 {
        self.bounds[3] - self.bounds[1]
    }

    /// x, y of the middle of the bounds.
    pub fn centre(&self) -> [f32; 2] {
        [0, 1].map(|axis| (self.bounds[axis] + self.bounds[axis + 2]) / 2.0)
    }
}

/// Distance between two points: what glibc's `hypotf` gives, which programs need a glibc of 2022 for.
pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    let [x, y] = [0, 1].map(|axis| f64::from(a[axis] - b[axis]));
    (x * x + y * y).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_hypot() {
        for n in 0..100_000_u32 {
            let value =
                |salt: u32| f32::from_bits((n ^ salt).wrapping_mul(2_654_435_761) % (130 << 23) + (1 << 23));
            let (x, y) = (value(0), -value(0x5bd1));
            assert_eq!(distance([x, 0.0], [0.0, y]), x.hypot(y), "{x:e} {y:e}");
        }
        assert_eq!(distance([1.0, 5.0], [4.0, 1.0]), 5.0);
    }
}
