//! One decoded picture.

/// An upright RGB picture as every later stage reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `[height, width, 3]`, row-major, 8 bits per channel, no padding.
    pub rgb: Vec<u8>,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Largest picture that is accepted, in pixels. Anything beyond (a header of 100000×100000, say) is damage or an
/// attack, and is refused before memory is asked for.
pub const MAX_PIXELS: usize = 8192 * 8192;

impl Frame {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { rgb: colour.repeat(width * height), width, height }
    }

    /// The part of `width`×`height` pixels whose upper left corner is at (`left`, `top`).
    ///
    /// The part must lie inside the picture.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        assert!(left + width <= self.width && top + height <= self.height, "crop outside the picture");
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in self.rgb.chunks_exact(self.width * 3).skip(top).take(height) {
            rgb.extend_from_slice(&row[left * 3..(left + width) * 3]);
        }
        Self { rgb, width, height }
    }
}
