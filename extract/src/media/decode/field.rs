//! Deinterlacing: a whole picture from one of the two fields that make an interlaced frame.

use crate::media::frame::Frame;

/// Which rows of a frame a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Rows 0, 2, 4, …
    Top,
    /// Rows 1, 3, 5, …
    Bottom,
}

/// A picture of `height` rows: those of the field stay as they are, each other one is the mean of the rows above and
/// below it (rounded up), and at the edges a copy of the only one there is.
pub(super) fn whole(field: &Frame, kept: Field, height: usize) -> Frame {
    let (width, offset) = (field.width * 3, if kept == Field::Top { 0 } else { 1 });
    let row = |y: usize| {
        let number = (y.saturating_sub(offset) / 2).min(field.height.saturating_sub(1));
        &field.rgb[number * width..(number + 1) * width]
    };
    let mut rgb = Vec::with_capacity(width * height);
    for y in 0..height {
        if y % 2 == offset {
            rgb.extend_from_slice(row(y));
        } else {
            let (above, below) = (row(y.saturating_sub(1)), row(y + 1));
            rgb.extend(above.iter().zip(below).map(|(a, b)| a.midpoint(*b) + ((a ^ b) & 1)));
        }
    }
    Frame { rgb, width: field.width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_between_are_means() {
        let field = Frame { rgb: [10, 21, 200].iter().flat_map(|&v| [v; 3]).collect(), width: 1, height: 3 };
        let rows =
            |kept, height| whole(&field, kept, height).rgb.iter().step_by(3).copied().collect::<Vec<u8>>();
        assert_eq!(rows(Field::Top, 6), [10, 16, 21, 111, 200, 200]);
        assert_eq!(rows(Field::Bottom, 6), [10, 10, 16, 21, 111, 200]);
        assert_eq!(rows(Field::Top, 5), [10, 16, 21, 111, 200]);
        assert_eq!(rows(Field::Bottom, 7), [10, 10, 16, 21, 111, 200, 200]);
    }
}
