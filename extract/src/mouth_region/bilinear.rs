//! OpenCV's `resize` with its default `INTER_LINEAR`, in its own 8-bit arithmetic.

use crate::frame::Frame;

/// Weights are fixed-point numbers with this many fractional bits (`INTER_RESIZE_COEF_BITS`).
const BITS: u32 = 11;

/// The whole picture at `width`×`height`, without antialiasing, as OpenCV computes it.
pub fn resize_linear(frame: &Frame, width: usize, height: usize) -> Frame {
    if frame.width == 0 || frame.height == 0 {
        return Frame::filled(width, height, [0; 3]);
    }
    let columns = taps(frame.width, width);
    let rows = taps(frame.height, height);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for &(upper, lower, down) in &rows {
        for &(left, right, across) in &columns {
            for channel in 0..3 {
                let level = |row: usize, column: usize| {
                    i32::from(frame.rgb[(row * frame.width + column) * 3 + channel])
                };
                let line = |row: usize| level(row, left) * across[0] + level(row, right) * across[1];
                // Both products are cut off before they are added, each to two bits more than the result.
                let upper = ((line(upper) >> 4) * down[0]) >> 16;
                let lower = ((line(lower) >> 4) * down[1]) >> 16;
                rgb.push(((upper + lower + 2) >> 2).clamp(0, 255) as u8);
            }
        }
    }
    Frame { rgb, width, height }
}

/// For every output position its two input positions and their weights.
fn taps(input: usize, output: usize) -> Vec<(usize, usize, [i32; 2])> {
    let scale = 1.0 / (output as f64 / input as f64);
    let tap = |position: usize| {
        let place = ((position as f64 + 0.5) * scale - 0.5) as f32;
        let first = place.floor();
        let share = place - first;
        let clamped = |place: i64| place.clamp(0, input as i64 - 1) as usize;
        let fixed = |share: f32| (share * (1 << BITS) as f32).round_ties_even() as i32;
        (clamped(first as i64), clamped(first as i64 + 1), [fixed(1.0 - share), fixed(share)])
    };
    (0..output).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opencv::core::{Mat, Size};
    use opencv::imgproc;
    use opencv::prelude::*;

    fn opencv(frame: &Frame, width: usize, height: usize) -> opencv::Result<Vec<u8>> {
        let source = Mat::new_rows_cols_with_data(frame.height as i32, (frame.width * 3) as i32, &frame.rgb)?;
        let source = source.reshape(3, frame.height as i32)?;
        let mut target = Mat::default();
        let size = Size::new(width as i32, height as i32);
        imgproc::resize(&source, &mut target, size, 0.0, 0.0, imgproc::INTER_LINEAR)?;
        Ok(target.data_bytes()?.to_vec())
    }

    #[test]
    fn equals_opencv() {
        for (width, height) in
            [(180, 144), (210, 260), (1280, 720), (96, 96), (192, 192), (50, 31), (1, 1), (3, 200)]
        {
            let rgb =
                (0..width * height * 3).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
            let frame = Frame { rgb, width, height };
            let want = opencv(&frame, 96, 96).expect("OpenCV");
            let got = resize_linear(&frame, 96, 96).rgb;
            let differ = got.iter().zip(&want).filter(|(got, want)| got != want).count();
            assert_eq!(differ, 0, "{width}x{height}: values that differ");
        }
    }
}
