//! The aligned picture, as scikit-image's `warp` makes it with order 1 and zeros outside.

use super::similarity::Similarity;
use crate::media::frame::Frame;

/// Edge of the whole aligned picture, of which only a part is ever computed (`STD_SIZE`).
pub const ALIGNED: usize = 256;

/// The `size`×`size` pixels of the aligned picture whose upper left one is (`left`, `top`).
///
/// The reference warps the picture as 64-bit floats of 0 to 1, bilinearly between pixel centres at whole numbers, and
/// cuts the products with 255 off to integers. The order of the operations is kept, because cutting off makes a
/// difference in the last bit visible.
pub fn warp_part(frame: &Frame, transform: &Similarity, left: usize, top: usize, size: usize) -> Frame {
    if frame.width == 0 || frame.height == 0 {
        return Frame::filled(size, size, [0; 3]);
    }
    let back = transform.inverse();
    let levels: [f64; 256] = std::array::from_fn(|level| level as f64 * (1.0 / 255.0));
    let (low, high) = range(frame, &back);
    let (low, high) = (levels[usize::from(low)], levels[usize::from(high)]);
    let mut rgb = Vec::with_capacity(size * size * 3);
    for y in top..top + size {
        for x in left..left + size {
            let [column, row] = back.apply([x as f64, y as f64]);
            let (west, north) = (column.floor(), row.floor());
            let (dc, dr) = (column - west, row - north);
            let columns = [pixel(west, frame.width), pixel(column.ceil(), frame.width)];
            let rows = [pixel(north, frame.height), pixel(row.ceil(), frame.height)];
            let corners = rows.map(|row| columns.map(|column| at(frame, row, column)));
            for channel in 0..3 {
                let [[nw, ne], [sw, se]] =
                    corners.map(|row| row.map(|rgb| levels[usize::from(rgb[channel])]));
                let upper = (1.0 - dc) * nw + dc * ne;
                let lower = (1.0 - dc) * sw + dc * se;
                let value = (1.0 - dr) * upper + dr * lower;
                rgb.push((value.clamp(low, high) * 255.0) as u8);
            }
        }
    }
    Frame { rgb, width: size, height: size }
}

/// A coordinate that is inside `0..length`.
fn pixel(place: f64, length: usize) -> Option<usize> {
    (place >= 0.0 && place < length as f64).then_some(place as usize)
}

/// A pixel, black outside the picture.
fn at(frame: &Frame, row: Option<usize>, column: Option<usize>) -> [u8; 3] {
    let (Some(row), Some(column)) = (row, column) else {
        return [0; 3];
    };
    let first = (row * frame.width + column) * 3;
    [frame.rgb[first], frame.rgb[first + 1], frame.rgb[first + 2]]
}

/// The range that the aligned picture is clipped to: that of the whole frame, and zero where some aligned pixel lies
/// fully outside of it (`clip=True` of `warp`, whose default it is). Shows where a dark rim is blended with the zeros
/// outside, and where rounding exceeds the brightest level.
fn range(frame: &Frame, back: &Similarity) -> (u8, u8) {
    let low = frame.rgb.iter().copied().fold(u8::MAX, u8::min);
    let high = frame.rgb.iter().copied().fold(u8::MIN, u8::max);
    // A pixel gets nothing of the frame when its place is at least one pixel outside. The places form a rectangle, so
    // its corners decide.
    let reached = |place: f64, length: usize| place > -1.0 && place < length as f64;
    let last = (ALIGNED - 1) as f64;
    let all_reached = [[0.0, 0.0], [last, 0.0], [0.0, last], [last, last]].iter().all(|&corner| {
        let [column, row] = back.apply(corner);
        reached(column, frame.width) && reached(row, frame.height)
    });
    (if all_reached { low } else { 0 }, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Similarity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    fn noise(width: usize, height: usize) -> Frame {
        let rgb = (0..width * height * 3).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
        Frame { rgb, width, height }
    }

    #[test]
    fn nothing_moved_is_nothing_changed() {
        let frame = noise(300, 270);
        let part = warp_part(&frame, &SAME, 10, 20, 96);
        let want = frame.crop(10, 20, 96, 96);
        // 1/255 is not a binary number: a level times it, times 255, may be cut off to the level below.
        let levels: Vec<u8> =
            (0..=255).map(|level| (f64::from(level) * (1.0 / 255.0) * 255.0) as u8).collect();
        let want: Vec<u8> = want.rgb.iter().map(|&level| levels[usize::from(level)]).collect();
        assert_eq!(part.rgb, want);
    }

    #[test]
    fn outside_is_black_and_a_rim_is_blended() {
        let frame = Frame::filled(10, 10, [200; 3]);
        // Half a pixel to the right: the first column is half outside, some pixels are fully outside.
        let part = warp_part(&frame, &Similarity { tx: 0.5, ..SAME }, 0, 0, 96);
        assert_eq!(part.rgb[0], 100);
        assert_eq!(part.rgb[3 * 50], 0);
    }

    #[test]
    fn the_range_of_the_frame_is_kept_where_every_pixel_reaches_it() {
        // Half a pixel to the right: the first column is half outside, no pixel of the aligned picture fully.
        let frame = Frame::filled(256, 256, [200; 3]);
        let part = warp_part(&frame, &Similarity { tx: 0.5, ..SAME }, 0, 0, 96);
        assert!(part.rgb.iter().all(|&level| level >= 199), "{:?}", &part.rgb[..6]);
    }

    #[test]
    fn far_away_and_empty_frames_are_black() {
        let far = Similarity { tx: 1e300, ..SAME };
        assert_eq!(warp_part(&noise(5, 5), &far, 0, 0, 96), Frame::filled(96, 96, [0; 3]));
        let empty = Frame { rgb: Vec::new(), width: 0, height: 0 };
        assert_eq!(warp_part(&empty, &SAME, 0, 0, 96), Frame::filled(96, 96, [0; 3]));
    }
}
