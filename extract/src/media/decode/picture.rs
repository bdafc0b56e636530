//! A decoded FFmpeg frame as upright RGB.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi::*;
use ffmpeg_next::format::Pixel;

use super::field::{Field, whole};
use crate::media::frame::{Frame, MAX_PIXELS};

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

    /// Rows.
    pub(super) fn height(&self) -> c_int {
        // SAFETY: the frame is allocated for as long as self lives.
        unsafe { (*self.0).height }
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

    /// The field that is shown first, where the frame is made of two.
    pub(super) fn first_field(&self) -> Option<Field> {
        // SAFETY: as above.
        let (interlaced, top) = unsafe { ((*self.0).interlaced_frame, (*self.0).top_field_first) };
        (interlaced != 0).then_some(if top != 0 { Field::Top } else { Field::Bottom })
    }

    /// Whether a pixel is as wide as it is high; where nothing says so, it is.
    pub(super) fn has_square_pixels(&self) -> bool {
        // SAFETY: as above.
        let AVRational { num, den } = unsafe { (*self.0).sample_aspect_ratio };
        num <= 0 || den <= 0 || num == den
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
        let height = source.height();
        self.convert(source, height, None)
    }

    /// `source` as RGB by its field `kept` alone, with the rows between interpolated ([`whole`]).
    ///
    /// Each plane's rows of the field are converted as a picture of their own, so that the other field has no part in the
    /// colours either.
    pub(super) fn paint_field(&mut self, source: &AvFrame, kept: Field) -> Result<Frame, String> {
        // SAFETY: as in `convert`; the description belongs to FFmpeg's own table.
        let (shift, palette) = unsafe {
            let format = std::mem::transmute::<c_int, AVPixelFormat>((*source.0).format);
            let description = av_pix_fmt_desc_get(format).as_ref();
            description.map_or((0, true), |d| (d.log2_chroma_h, d.flags & AV_PIX_FMT_FLAG_PAL as u64 != 0))
        };
        let height = source.height();
        if palette || height < 4 {
            return self.paint(source);
        }
        // As many rows as both fields have, of the colours too.
        let rows = if shift > 0 { height >> (shift + 1) << shift } else { height / 2 };
        let field = self.convert(source, rows, Some(kept))?;
        Ok(whole(&field, kept, height as usize))
    }

    fn convert(&mut self, source: &AvFrame, height: c_int, field: Option<Field>) -> Result<Frame, String> {
        // SAFETY: `source` is a decoded frame whose planes are valid for its size; the rows of a field are every other one
        // of them, and `height` is no more than there are. The target buffer is allocated by FFmpeg with the padding its
        // converters want, and rows are read within its height and line size.
        unsafe {
            let frame = source.0;
            let width = (*frame).width;
            let (w, h) = (width.max(0) as usize, height.max(0) as usize);
            if w == 0 || h == 0 || w.saturating_mul(source.height() as usize) > MAX_PIXELS {
                let height = source.height();
                return Err(format!(
                    "a frame of {width}x{height} pixels is more than the 8192x8192 that are accepted"
                ));
            }
            let (mut data, mut lines) = ((*frame).data, (*frame).linesize);
            if let Some(field) = field {
                for (plane, line) in data.iter_mut().zip(&mut lines).filter(|(plane, _)| !plane.is_null()) {
                    if field == Field::Bottom {
                        *plane = plane.offset(*line as isize);
                    }
                    *line *= 2;
                }
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
                data.as_ptr().cast(),
                lines.as_ptr(),
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
