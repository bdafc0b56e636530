//! What a container's header says about its video stream, before anything is decoded.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::{CStr, c_int};
use std::path::Path;
use std::ptr;

use ffmpeg_next::ffi::*;
use signclip_common::{Error, Result};

use crate::media::frame::MAX_PIXELS;
use crate::media::orientation::Orientation;

/// No clock of a recording is later than this (seconds): those that count from 1970 or 1601 are not.
const LATEST: f64 = 1e11;

/// What the header says about the video stream. Times are seconds after the beginning of the video, which is the
/// container's start time, as for `ffmpeg -ss` and for players.
pub(super) struct Header {
    /// Average frames per second, where the header knows.
    pub(super) fps: Option<f64>,
    /// Seconds per unit of the stream's time stamps.
    pub(super) time_base: f64,
    /// The beginning of the video on the stream's clock, in seconds.
    pub(super) origin: f64,
    /// End of the last frame, if known or well guessed.
    pub(super) duration: Option<f64>,
    /// Whether `duration` was written by who made the file, so that less is a loss.
    pub(super) promised: bool,
    /// Where there is no sound: the container's duration. An MP4 track's is that of decoding; reordered frames of uneven
    /// length are shown until later.
    pub(super) longest: Option<f64>,
    /// Number of frames, where the container counts them.
    pub(super) frames: Option<usize>,
    /// Coded width and height.
    pub(super) size: (usize, usize),
    /// How to turn the pictures upright.
    pub(super) orientation: Orientation,
    /// The format carries no time stamps (raw streams): frames are counted, and seeking is of no use.
    pub(super) counted: bool,
    /// Time stamps may begin anew in the middle (MPEG streams), and a time may be there twice.
    pub(super) restarts: bool,
    /// FFmpeg's name of the format.
    pub(super) format: String,
}

impl Header {
    /// Refuse pictures that are too large, and times that no video can have.
    pub(super) fn check(&self, file: &Path) -> Result<()> {
        let refuse = |what: String, remedy: &str| Err(Error::input(file, "video stream", what, remedy));
        if self.size.0.saturating_mul(self.size.1) > MAX_PIXELS {
            let (width, height) = self.size;
            let what = format!("{width}x{height} pixels are more than the 8192x8192 that are accepted");
            return refuse(what, "make the video smaller");
        }
        if self.origin.abs() > LATEST {
            let what = format!("its time stamps begin at {:.0} s, which cannot be", self.origin);
            return refuse(
                what,
                "make the file again from its source; an Ogg file cannot be cut with -c copy",
            );
        }
        Ok(())
    }

    /// Seconds between two frames on average; 25 frames per second where the header does not know.
    pub(super) fn period(&self) -> f64 {
        1.0 / self.fps.unwrap_or(25.0)
    }
}

impl Header {
    /// Reads the header of a stream.
    ///
    /// # Safety
    /// The format context is open, `avformat_find_stream_info` has filled its fields, and `stream` is one of its streams.
    pub(super) unsafe fn read(format: &AVFormatContext, stream: &AVStream) -> Self {
        // SAFETY: all that is read are plain fields.
        unsafe {
            let time_base = ratio(stream.time_base).unwrap_or(1.0 / 90_000.0);
            let counted = (*format.iformat).flags & AVFMT_NOTIMESTAMPS as c_int != 0;
            // The other rate that FFmpeg tells is the finest tick of the time stamps, 1000 for milliseconds. Only where
            // there are no time stamps it is the rate.
            let tick = Some(stream.r_frame_rate).filter(|_| counted);
            let fps = [Some(stream.avg_frame_rate), tick].into_iter().flatten().find_map(ratio);
            let fps = fps.filter(|fps| (0.01..=1000.0).contains(fps));
            let known = |value: i64| (value != AV_NOPTS_VALUE).then_some(value as f64);
            let first = known(stream.start_time).map(|t| t * time_base);
            let origin = known(format.start_time).map(|t| t / AV_TIME_BASE as f64).or(first).unwrap_or(0.0);
            let name = CStr::from_ptr((*format.iformat).name).to_string_lossy();

            // Only some containers say how long the video stream itself is; a container's duration includes sound,
            // which may last longer.
            let own = known(stream.duration).filter(|&t| t > 0.0).map(|t| t * time_base);
            let own = own.map(|t| t + first.unwrap_or(origin) - origin);
            let tag = duration_tag(stream).map(|t| t - origin);
            let whole = known(format.duration).filter(|&t| t > 0.0).map(|t| t / AV_TIME_BASE as f64);
            let alone = moving_streams(format) == 1;
            let written =
                format.duration_estimation_method == AVDurationEstimationMethod::AVFMT_DURATION_FROM_STREAM;
            let frames = usize::try_from(stream.nb_frames).ok().filter(|&n| n > 0);
            // Writers that cannot go back to the header leave a number that is larger than any.
            let open = &*name == "avi" && frames.is_some_and(|n| n >= 1 << 30);
            let (frames, own) = if open { (None, None) } else { (frames, own) };
            // A material exchange file's duration is its number of frames.
            let counts = &*name == "mxf" && written;
            let frames = frames.or(usize::try_from(stream.duration).ok().filter(|&n| counts && n > 0));
            let exact = match () {
                () if name.contains("mov") => own,
                // FFmpeg shortens the duration of a truncated AVI to what is left, but not its count of frames.
                () if name == "avi" => own.map(|t| t.max(frames.map_or(0.0, |n| n as f64 * time_base))),
                () if tag.is_some() => tag,
                () if alone && !open => own.or(whole),
                () => None,
            };
            let guessed =
                format.duration_estimation_method == AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE;
            let size = &*stream.codecpar;
            Header {
                fps,
                time_base,
                origin,
                duration: exact.or(own).or(whole).filter(|_| !guessed && !open),
                promised: written && exact.is_some(),
                longest: whole.filter(|_| alone),
                frames,
                size: (size.width.max(0) as usize, size.height.max(0) as usize),
                orientation: orientation(stream),
                counted,
                restarts: (*format.iformat).flags & AVFMT_TS_DISCONT as c_int != 0,
                format: name.into_owned(),
            }
        }
    }
}

/// Number of sound and video streams.
fn moving_streams(format: &AVFormatContext) -> usize {
    // SAFETY: as in `Header::read`.
    unsafe {
        (0..format.nb_streams as usize)
            .filter(|&index| {
                let kind = (*(**format.streams.add(index)).codecpar).codec_type;
                kind == AVMediaType::AVMEDIA_TYPE_VIDEO || kind == AVMediaType::AVMEDIA_TYPE_AUDIO
            })
            .count()
    }
}

/// Matroska's per-track `DURATION` tag, "00:00:03.900000000", in seconds.
fn duration_tag(stream: &AVStream) -> Option<f64> {
    // SAFETY: the dictionary belongs to the open stream and its values are NUL-terminated.
    let text = unsafe {
        let entry = av_dict_get(stream.metadata, c"DURATION".as_ptr(), ptr::null(), 0);
        CStr::from_ptr(entry.as_ref()?.value).to_str().ok()?
    };
    let mut seconds = 0.0;
    for part in text.split(':') {
        seconds = seconds * 60.0 + part.trim().parse::<f64>().ok()?;
    }
    (seconds > 0.0).then_some(seconds)
}

/// The display matrix that phones write instead of turning the pixels.
fn orientation(stream: &AVStream) -> Orientation {
    // SAFETY: `side_data` points to `nb_side_data` entries of `size` bytes each; the matrix is nine 32-bit numbers.
    unsafe {
        for index in 0..stream.nb_side_data.max(0) as usize {
            let data = &*stream.side_data.add(index);
            if data.type_ == AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX && data.size >= 36 {
                return Orientation::from_matrix(data.data.cast::<[i32; 9]>().read_unaligned());
            }
        }
    }
    Orientation::default()
}

fn ratio(value: AVRational) -> Option<f64> {
    (value.num > 0 && value.den > 0).then(|| f64::from(value.num) / f64::from(value.den))
}
