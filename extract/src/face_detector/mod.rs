//! Faces in a picture.

pub mod bodies;
pub mod nms;
pub mod priors;
pub mod retina_face;

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
