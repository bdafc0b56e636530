//! A decoded FFmpeg frame as upright RGB.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi::*;
use ffmpeg_next::format::Pixel;

use crate::frame::{Frame, MAX_PIXELS};

/// How stored pixels become an upright picture: first mirrored, then perhaps transposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Rows become columns.
    pub(super) transpose: bool,
    /// Mirror the result left to right.
    pub(super) flip_x: bool,
    /// Mirror the result top to bottom.
    pub(super) flip_y: bool,
}

impl Orientation {
    /// Of a display matrix `[a b u; c d v; x y w]`, where `x' = a x + c y`, `y' = b x + d y`. Angles that are no
    /// multiple of 90 degrees are brought to the nearest one.
    pub(super) fn from_matrix([a, b, _, c, d, ..]: [i32; 9]) -> Self {
        if i64::from(a).abs() + i64::from(d).abs() >= i64::from(b).abs() + i64::from(c).abs() {
            Self { transpose: false, flip_x: a < 0, flip_y: d < 0 }
        } else {
            Self { transpose: true, flip_x: c < 0, flip_y: b < 0 }
        }
    }

    /// The upright picture.
    pub(super) fn apply(self, frame: Frame) -> Frame {
        if self == Self::default() {
            return frame;
        }
        let (w, h) = if self.transpose { (frame.height, frame.width) } else { (frame.width, frame.height) };
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

/// An owned FFmpeg frame.
pub(super) struct AvFrame(*mut AVFrame);

impl AvFrame {
    pub(super) fn new() -> Self {
        // SAFETY: no arguments; the result is checked.
        let frame = unsafe { av_frame_alloc() };
        assert!(!frame.is_null(), "out of memory");
        Self(frame)
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut AVFrame {
        self.0
    }

    /// Presentation time stamp, guessed from the decoding time where the file has none.
    pub(super) fn time_stamp(&self) -> Option<i64> {
        // SAFETY: the frame is allocated for as long as self lives.
        let stamp = unsafe { (*self.0).best_effort_timestamp };
        (stamp != AV_NOPTS_VALUE).then_some(stamp)
    }

    /// How long the frame is shown, in the stream's time base, if known.
    pub(super) fn duration(&self) -> Option<i64> {
        // SAFETY: as above.
        let duration = unsafe { (*self.0).pkt_duration };
        (duration > 0).then_some(duration)
    }

    /// Whether the decoder had to invent parts of the picture.
    pub(super) fn is_damaged(&self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.0).decode_error_flags != 0 || (*self.0).flags & AV_FRAME_FLAG_CORRUPT as c_int != 0 }
    }
}

impl Drop for AvFrame {
    fn drop(&mut self) {
        // SAFETY: the pointer is owned.
        unsafe { av_frame_free(&mut self.0) }
    }
}

/// Converts frames of any pixel format to RGB; keeps the conversion tables while size and format stay the same.
pub(super) struct Painter {
    scaler: *mut SwsContext,
    /// Size, pixel format, colour matrix and range that the scaler was made for.
    made_for: [c_int; 5],
    rgb: AvFrame,
}

impl Painter {
    pub(super) fn new() -> Self {
        Self { scaler: ptr::null_mut(), made_for: [-1; 5], rgb: AvFrame::new() }
    }

    /// `source` as RGB at its own size, with the colour matrix and range that it declares (FFmpeg's defaults, BT.601
    /// and limited, where it declares none).
    ///
    /// The flag is the `ffmpeg` program's. 8-bit 4:2:0 video of even height takes a path in which no flag matters:
    /// measured equal, bit for bit, to that program and to PyAV 18's `to_ndarray("rgb24")`. Elsewhere (10 bits, odd
    /// heights) it is equal to the program and closer to PyAV than bilinear interpolation of the chroma is.
    pub(super) fn paint(&mut self, source: &AvFrame) -> Result<Frame, String> {
        // SAFETY: `source` is a decoded frame whose planes are valid for its size; the target buffer is allocated by
        // FFmpeg with the padding its converters want, and rows are read within its height and line size.
        unsafe {
            let frame = source.0;
            let (width, height) = ((*frame).width, (*frame).height);
            let (w, h) = (width.max(0) as usize, height.max(0) as usize);
            if w == 0 || h == 0 || w.saturating_mul(h) > MAX_PIXELS {
                return Err(format!("a frame of {width}x{height} pixels is not acceptable"));
            }
            let matrix = (&raw const (*frame).colorspace).cast::<c_int>().read();
            let range = (&raw const (*frame).color_range).cast::<c_int>().read();
            let format = Pixel::from(std::mem::transmute::<c_int, AVPixelFormat>((*frame).format));
            let wanted = [width, height, (*frame).format, matrix, range];
            if self.made_for != wanted {
                self.prepare(wanted, format)?;
            }
            let rgb = self.rgb.0;
            let rows = sws_scale(
                self.scaler,
                (*frame).data.as_ptr().cast(),
                (*frame).linesize.as_ptr(),
                0,
                height,
                (*rgb).data.as_ptr(),
                (*rgb).linesize.as_ptr(),
            );
            if rows != height {
                return Err("a frame could not be converted to RGB".to_owned());
            }
            let mut pixels = Vec::with_capacity(w * h * 3);
            for row in 0..h {
                let start = (*rgb).data[0].add(row * (*rgb).linesize[0] as usize);
                pixels.extend_from_slice(std::slice::from_raw_parts(start, w * 3));
            }
            Ok(Frame { rgb: pixels, width: w, height: h })
        }
    }

    /// Build scaler and target buffer anew.
    fn prepare(&mut self, wanted: [c_int; 5], format: Pixel) -> Result<(), String> {
        let [width, height, _, matrix, range] = wanted;
        let full = range == AVColorRange::AVCOL_RANGE_JPEG as c_int
            || matches!(
                format,
                Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P
            );
        self.made_for = [-1; 5];
        // SAFETY: the old scaler is owned and freed once; the target frame is emptied before it gets a new buffer.
        unsafe {
            sws_freeContext(self.scaler);
            self.scaler = sws_getContext(
                width,
                height,
                format.into(),
                width,
                height,
                AVPixelFormat::AV_PIX_FMT_RGB24,
                SWS_BICUBIC,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.scaler.is_null() {
                return Err(format!("pixel format {format:?} cannot be converted to RGB"));
            }
            // Refused for sources that are RGB already, where it is not needed.
            sws_setColorspaceDetails(
                self.scaler,
                sws_getCoefficients(matrix),
                c_int::from(full),
                sws_getCoefficients(SWS_CS_DEFAULT),
                1,
                0,
                1 << 16,
                1 << 16,
            );
            let rgb = self.rgb.0;
            av_frame_unref(rgb);
            (*rgb).format = AVPixelFormat::AV_PIX_FMT_RGB24 as c_int;
            (*rgb).width = width;
            (*rgb).height = height;
            if av_frame_get_buffer(rgb, 0) < 0 {
                return Err(format!("no memory for a frame of {width}x{height} pixels"));
            }
        }
        self.made_for = wanted;
        Ok(())
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        // SAFETY: the pointer is null or owned.
        unsafe { sws_freeContext(self.scaler) }
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
}
