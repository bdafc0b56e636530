//! What FFmpeg's error codes mean.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::{CStr, c_int};
use std::path::Path;

use ffmpeg_next::ffi::*;
use signclip_common::Error;

/// FFmpeg's text for an error code.
pub(super) fn text(code: c_int) -> String {
    let mut buffer = [0; AV_ERROR_MAX_STRING_SIZE];
    // SAFETY: FFmpeg writes at most the given size, its NUL included.
    unsafe {
        av_strerror(code, buffer.as_mut_ptr(), buffer.len());
        CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
    }
}

/// The file is not a video that FFmpeg reads.
pub(super) fn unreadable(file: &Path, code: c_int) -> Error {
    Error::input(
        file,
        "container",
        format!("not a complete video file ({})", text(code)),
        "copy or download the file again, or give a video",
    )
}
