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
