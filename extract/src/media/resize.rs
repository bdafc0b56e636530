//! Picture resizing, bit for bit as the tools did it that made the reference features.
//!
//! * [`pil_bicubic`]: Pillow's antialiased bicubic in its 8-bit arithmetic (`src/libImaging/Resample.c`), which is
//!   what CLIP's image processor runs on;
//! * [`clip_resize_crop`]: that processor's geometry; [`video_mae_resize_crop`]: the same with VideoMAE's bilinear filter;
//! * [`squash_lanczos`]: OpenCV's `INTER_LANCZOS4` without keeping the aspect, as the PHOENIX14T pictures of SpaMo
//!   were made.

use std::borrow::Cow;
use std::ops::Range;

use opencv::core::{CV_8UC3, Mat, Size};
use opencv::imgproc;
use opencv::prelude::*;
use signclip_common::{Error, Result};

use crate::media::frame::Frame;

/// Weights are fixed-point numbers with this many fractional bits (Pillow: `32 - 8 - 2`).
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Rows that the horizontal pass works on side by side; one vector register of 32-bit sums.
const LANES: usize = 8;

/// Pillow's `BICUBIC` (a = −0.5, antialiased when shrinking) of the whole picture, exactly.
pub fn pil_bicubic(frame: &Frame, width: usize, height: usize) -> Frame {
    resize_part(frame, Filter::Bicubic, (width, height), 0..width, 0..height)
}

/// CLIP's preprocessing up to the crop: the shortest edge becomes `size`, the other `int(size · long / short)`, then
/// the middle `size`×`size` pixels, offset `(edge − size) // 2`. Only those pixels are computed.
pub fn clip_resize_crop(frame: &Frame, size: usize) -> Frame {
    resize_crop(frame, Filter::Bicubic, size)
}

/// VideoMAE's preprocessing up to the crop: as CLIP's, with Pillow's `BILINEAR`, which is antialiased when shrinking as well.
pub fn video_mae_resize_crop(frame: &Frame, size: usize) -> Frame {
    resize_crop(frame, Filter::Bilinear, size)
}

fn resize_crop(frame: &Frame, filter: Filter, size: usize) -> Frame {
    let short = frame.width.min(frame.height).max(1);
    let (width, height) = (size * frame.width / short, size * frame.height / short);
    let (left, top) = ((width - size) / 2, (height - size) / 2);
    resize_part(frame, filter, (width, height), left..left + size, top..top + size)
}

/// The frame at the (width, height) that its data set prescribes by [`squash_lanczos`], or as it is.
pub fn squashed(frame: &Frame, size: Option<(usize, usize)>) -> Result<Cow<'_, Frame>> {
    match size {
        Some((width, height)) => Ok(Cow::Owned(squash_lanczos(frame, width, height)?)),
        None => Ok(Cow::Borrowed(frame)),
    }
}

/// OpenCV's `resize` with `INTER_LANCZOS4` to `width`×`height`, whatever the aspect.
pub fn squash_lanczos(frame: &Frame, width: usize, height: usize) -> Result<Frame> {
    opencv_resize(frame, width, height, imgproc::INTER_LANCZOS4)
}

/// OpenCV's `resize` to `width`×`height`, whatever the aspect.
pub(crate) fn opencv_resize(frame: &Frame, width: usize, height: usize, interpolation: i32) -> Result<Frame> {
    let failed = |error: opencv::Error| {
        Error::usage(format!("OpenCV cannot resize to {width}x{height}: {}", error.message), "check the size")
    };
    let source = Mat::new_rows_cols_with_data(frame.height as i32, (frame.width * 3) as i32, &frame.rgb)
        .map_err(failed)?;
    let source = source.reshape(3, frame.height as i32).map_err(failed)?;
    let mut rgb = vec![0; width * height * 3];
    {
        let mut flat =
            Mat::new_rows_cols_with_data_mut(height as i32, (width * 3) as i32, &mut rgb).map_err(failed)?;
        let mut target = flat.reshape_mut(3, height as i32).map_err(failed)?;
        let size = Size::new(width as i32, height as i32);
        imgproc::resize(&source, &mut target, size, 0.0, 0.0, interpolation).map_err(failed)?;
        debug_assert_eq!(target.typ(), CV_8UC3);
    }
    Ok(Frame { rgb, width, height })
}

/// Pillow's filters.
#[derive(Debug, Clone, Copy)]
enum Filter {
    Bilinear,
    Bicubic,
}

impl Filter {
    /// Farthest input position with a weight, at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Weight at a distance.
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => bicubic(x),
        }
    }
}

/// The taps of every output position along one axis.
struct Taps {
    /// First input position and number of taps of each output position.
    bounds: Vec<(usize, usize)>,
    /// `stride` fixed-point weights for each output position, zero beyond its taps.
    weights: Vec<i32>,
    stride: usize,
}

impl Taps {
    /// Of output positions `part` when `input` positions become `output`: Pillow's `precompute_coeffs` and
    /// `normalize_coeffs_8bpc`.
    fn new(filter: Filter, input: usize, output: usize, part: Range<usize>) -> Self {
        let scale = input as f64 / output as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let stride = support.ceil() as usize * 2 + 1;
        let mut bounds = Vec::with_capacity(part.len());
        let mut weights = vec![0; part.len() * stride];
        for (position, row) in part.zip(weights.chunks_exact_mut(stride)) {
            let centre = (position as f64 + 0.5) * scale;
            // As in C, conversion to integer cuts off towards zero.
            let first = ((centre - support + 0.5) as i64).max(0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input);
            let taps: Vec<f64> = (first..last)
                .map(|x| {
                    filter.weight(((x - first) as f64 + first as f64 - centre + 0.5) * (1.0 / filter_scale))
                })
                .collect();
            let sum: f64 = taps.iter().sum();
            for (weight, tap) in row.iter_mut().zip(&taps) {
                let scaled = (if sum == 0.0 { *tap } else { tap / sum }) * f64::from(1 << PRECISION_BITS);
                *weight = (scaled + 0.5f64.copysign(scaled)) as i32;
            }
            bounds.push((first, last - first));
        }
        Self { bounds, weights, stride }
    }

    /// First input position, and the weights of the taps, of each output position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let rows = self.weights.chunks_exact(self.stride);
        self.bounds.iter().zip(rows).map(|(&(first, count), row)| (first, &row[..count]))
    }
}

/// Pillow's `bicubic_filter` with a = −0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Round a fixed-point sum to a pixel value.
#[inline(always)]
fn clip8(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The pixels `columns`×`rows` of the picture resized to `(width, height)`.
fn resize_part(
    frame: &Frame,
    filter: Filter,
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Frame {
    assert!(width > 0 && height > 0 && frame.width > 0 && frame.height > 0, "empty picture");
    let across = (width != frame.width).then(|| Taps::new(filter, frame.width, width, columns.clone()));
    let down = (height != frame.height).then(|| Taps::new(filter, frame.height, height, rows.clone()));
    // Only the rows that the vertical pass will read go through the horizontal pass.
    let needed = match &down {
        Some(taps) => {
            let last = taps.bounds.iter().map(|(first, count)| first + count).max().unwrap_or(0);
            taps.bounds.first().map_or(0, |bounds| bounds.0)..last
        }
        None => rows.clone(),
    };
    let band = match &across {
        Some(taps) => {
            Frame { rgb: horizontal(frame, taps, needed.clone()), width: columns.len(), height: needed.len() }
        }
        None => frame.crop(columns.start, needed.start, columns.len(), needed.len()),
    };
    match &down {
        Some(taps) => {
            Frame { rgb: vertical(&band, taps, needed.start), width: columns.len(), height: rows.len() }
        }
        None => band,
    }
}

/// Horizontal pass over the given rows. Groups of `LANES` rows are laid side by side, so that the same tap of all of
/// them is one contiguous vector.
fn horizontal(frame: &Frame, taps: &Taps, rows: Range<usize>) -> Vec<u8> {
    let line = frame.width * 3;
    let out_line = taps.bounds.len() * 3;
    let mut out = vec![0; out_line * rows.len()];
    let mut lanes = vec![[0u8; LANES]; line];
    for (group, out_rows) in out.chunks_mut(out_line * LANES).enumerate() {
        let top = rows.start + group * LANES;
        let count = out_rows.len() / out_line;
        for lane in 0..count {
            let row = &frame.rgb[(top + lane) * line..][..line];
            for (column, &value) in lanes.iter_mut().zip(row) {
                column[lane] = value;
            }
        }
        for (x, (first, weights)) in taps.iter().enumerate() {
            let mut sums = [[1 << (PRECISION_BITS - 1); LANES]; 3];
            for (pixel, &weight) in lanes[first * 3..].as_chunks::<3>().0.iter().zip(weights) {
                for (sum, channel) in sums.iter_mut().zip(pixel) {
                    for (sum, &value) in sum.iter_mut().zip(channel) {
                        *sum += i32::from(value) * weight;
                    }
                }
            }
            for (channel, sum) in sums.iter().enumerate() {
                for (lane, &sum) in sum.iter().enumerate().take(count) {
                    out_rows[lane * out_line + x * 3 + channel] = clip8(sum);
                }
            }
        }
    }
    out
}

/// Vertical pass; row 0 of `band` is row `offset` of the picture that the taps count in.
fn vertical(band: &Frame, taps: &Taps, offset: usize) -> Vec<u8> {
    let line = band.width * 3;
    let mut out = vec![0; line * taps.bounds.len()];
    let mut sums = vec![0i32; line];
    for ((first, weights), out_row) in taps.iter().zip(out.chunks_exact_mut(line)) {
        sums.fill(1 << (PRECISION_BITS - 1));
        for (row, &weight) in band.rgb[(first - offset) * line..].chunks_exact(line).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        for (out, &sum) in out_row.iter_mut().zip(&sums) {
            *out = clip8(sum);
        }
    }
    out
}
