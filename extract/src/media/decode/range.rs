//! The part of a video that a clip is.

use std::path::Path;

use signclip_common::{Error, Result};

use super::header::Header;
use crate::media::resample::Range;

/// A time that lies behind the end of `file`.
pub(super) fn outside(file: &Path, which: &str, time: f64, duration: f64) -> Error {
    Error::input(
        file,
        format!("{which} {time} s"),
        format!("beyond the end of the video, which lasts {duration:.2} s"),
        "correct the times or use the complete video",
    )
}

/// Refuse a range that is not one, or that the header already shows to lie outside the video.
pub(super) fn check_range(file: &Path, header: &Header, Range { start, end }: Range) -> Result<()> {
    let remedy = "give 0 <= start < end in seconds";
    let bad = |which: &str, time: f64| Error::input(file, which, format!("{time} s is not a time"), remedy);
    for (which, time) in [("start", start), ("end", end)] {
        if let Some(time) = time.filter(|time| !(time.is_finite() && *time >= 0.0)) {
            return Err(bad(which, time));
        }
    }
    let begin = start.unwrap_or(0.0);
    if let Some(end) = end.filter(|&end| end <= begin) {
        return Err(Error::input(file, "end", format!("{end} s is not after the start, {begin} s"), remedy));
    }
    if let Some(duration) = header.duration.filter(|_| header.promised) {
        let duration = duration.max(header.longest.unwrap_or(duration));
        if begin >= duration && start.is_some() {
            return Err(outside(file, "start", begin, duration));
        }
        if let Some(end) = end.filter(|&end| end > duration + header.period() + 0.05) {
            return Err(outside(file, "end", end, duration));
        }
    }
    Ok(())
}
