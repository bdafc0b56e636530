//! Turning stored pixels upright: by the display matrix of a video, or by the EXIF data of a picture.

use crate::media::frame::Frame;

/// How stored pixels become an upright picture: first mirrored, then perhaps transposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Rows become columns.
    pub transpose: bool,
    /// Mirror the result left to right.
    pub flip_x: bool,
    /// Mirror the result top to bottom.
    pub flip_y: bool,
}

impl Orientation {
    /// Of a display matrix `[a b u; c d v; x y w]`, where `x' = a x + c y`, `y' = b x + d y`. Angles that are no
    /// multiple of 90 degrees are brought to the nearest one.
    pub fn from_matrix([a, b, _, c, d, ..]: [i32; 9]) -> Self {
        if i64::from(a).abs() + i64::from(d).abs() >= i64::from(b).abs() + i64::from(c).abs() {
            Self { transpose: false, flip_x: a < 0, flip_y: d < 0 }
        } else {
            Self { transpose: true, flip_x: c < 0, flip_y: b < 0 }
        }
    }

    /// What the EXIF data of a picture say: the number 1 to 8 under tag 0x0112 of the first directory, as in TIFF files.
    /// Pictures whose data say nothing, or nothing that can be read, are taken as upright, as viewers do.
    pub fn from_exif(tiff: &[u8]) -> Self {
        orientation_number(tiff).map_or_else(Self::default, Self::from_number)
    }

    /// EXIF's numbers: where the first row and the first column of the stored pixels belong.
    fn from_number(number: u16) -> Self {
        let (transpose, flip_x, flip_y) = match number {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transpose, flip_x, flip_y }
    }

    /// Whether the stored pixels are upright already.
    pub fn is_upright(self) -> bool {
        self == Self::default()
    }

    /// Width and height of the upright picture.
    pub fn size(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// The upright picture.
    pub fn apply(self, frame: Frame) -> Frame {
        if self.is_upright() {
            return frame;
        }
        let (w, h) = self.size((frame.width, frame.height));
        let mut rgb = vec![0; frame.rgb.len()];
        // 32x32 tiles keep both sides of a transposition in the cache.
        for (top, left) in (0..h).step_by(32).flat_map(|y| (0..w).step_by(32).map(move |x| (y, x))) {
            for y in top..(top + 32).min(h) {
                let from_y = if self.flip_y { h - 1 - y } else { y };
                for x in left..(left + 32).min(w) {
                    let from_x = if self.flip_x { w - 1 - x } else { x };
                    let (column, row) = if self.transpose { (from_y, from_x) } else { (from_x, from_y) };
                    let (to, from) = ((y * w + x) * 3, (row * frame.width + column) * 3);
                    rgb[to..to + 3].copy_from_slice(&frame.rgb[from..from + 3]);
                }
            }
        }
        Frame { rgb, width: w, height: h }
    }
}

/// The tag of EXIF that says how a picture is turned.
const ORIENTATION: u16 = 0x0112;
/// Numbers of 16 and of 32 bits, as TIFF types values; the first is what EXIF wants.
const SHORT: u16 = 3;
const LONG: u16 = 4;

fn orientation_number(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = [*tiff.get(at)?, *tiff.get(at.checked_add(1)?)?];
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let offset = tiff.get(4..8)?.try_into().ok()?;
    let directory = if little { u32::from_le_bytes(offset) } else { u32::from_be_bytes(offset) } as usize;
    let entries = usize::from(short(directory)?);
    // An entry: tag, type, count, value.
    let mut places = (0..entries).map(|entry| directory + 2 + 12 * entry);
    let place = places.find(|&at| short(at) == Some(ORIENTATION))?;
    match short(place + 2)? {
        SHORT => short(place + 8),
        LONG => short(if little { place + 8 } else { place + 10 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientations() {
        // 2 columns, 3 rows, named by their red value:  1 2 / 3 4 / 5 6
        let frame = Frame { rgb: (1..=6).flat_map(|v| [v, 0, 0]).collect(), width: 2, height: 3 };
        let one = 65536;
        for (matrix, size, expected) in [
            ([one, 0, 0, 0, one, 0, 0, 0, 0], (2, 3), [1, 2, 3, 4, 5, 6]),
            ([0, one, 0, -one, 0, 0, 0, 0, 0], (3, 2), [5, 3, 1, 6, 4, 2]), // a quarter turn clockwise
            ([-one, 0, 0, 0, -one, 0, 0, 0, 0], (2, 3), [6, 5, 4, 3, 2, 1]),
            ([0, -one, 0, one, 0, 0, 0, 0, 0], (3, 2), [2, 4, 6, 1, 3, 5]),
            ([-one, 0, 0, 0, one, 0, 0, 0, 0], (2, 3), [2, 1, 4, 3, 6, 5]),
        ] {
            let out = Orientation::from_matrix(matrix).apply(frame.clone());
            assert_eq!((out.width, out.height), size);
            assert_eq!(out.rgb.iter().step_by(3).copied().collect::<Vec<_>>(), expected);
        }
    }

    /// EXIF data with this orientation behind another entry, in both byte orders.
    fn exif(number: u16) -> [Vec<u8>; 2] {
        let big = [
            &b"MM\0*\0\0\0\x08\0\x02\x01\x0f\0\x02\0\0\0\x04abc\0\x01\x12\0\x03\0\0\0\x01"[..],
            &number.to_be_bytes(),
            &[0; 6],
        ]
        .concat();
        let little = [
            &b"II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x04\0\0\0abc\0\x12\x01\x03\0\x01\0\0\0"[..],
            &number.to_le_bytes(),
            &[0; 6],
        ]
        .concat();
        [big, little]
    }

    /// The upright picture 1 2 3 / 4 5 6, stored in the eight ways that EXIF numbers.
    #[test]
    fn exif_numbers() {
        let stored: [(&[u8], usize); 8] = [
            (&[1, 2, 3, 4, 5, 6], 3),
            (&[3, 2, 1, 6, 5, 4], 3),
            (&[6, 5, 4, 3, 2, 1], 3),
            (&[4, 5, 6, 1, 2, 3], 3),
            (&[1, 4, 2, 5, 3, 6], 2),
            (&[3, 6, 2, 5, 1, 4], 2),
            (&[6, 3, 5, 2, 4, 1], 2),
            (&[4, 1, 5, 2, 6, 3], 2),
        ];
        for (number, (pixels, width)) in (1..).zip(stored) {
            let rgb = pixels.iter().flat_map(|&v| [v; 3]).collect();
            let frame = Frame { rgb, width, height: 6 / width };
            for tiff in exif(number) {
                let orientation = Orientation::from_exif(&tiff);
                assert_eq!(orientation.is_upright(), number == 1);
                let out = orientation.apply(frame.clone());
                assert_eq!((out.width, out.height), (3, 2), "{number}");
                assert_eq!(
                    out.rgb.iter().step_by(3).copied().collect::<Vec<_>>(),
                    [1, 2, 3, 4, 5, 6],
                    "{number}"
                );
            }
        }
        for tiff in exif(6) {
            for end in 0..tiff.len() - 6 {
                assert!(Orientation::from_exif(&tiff[..end]).is_upright(), "cut off at {end}");
            }
        }
        assert!(Orientation::from_exif(&exif(9)[0]).is_upright());
    }
}
