//! The libraries that do the reading and warping, as they were loaded: `extract --version` and `extract doctor`.

use ffmpeg_next::ffi::av_version_info;
use ffmpeg_next::util;
use std::ffi::CStr;

/// A line for each, as `--version` prints them.
pub fn versions() -> [String; 2] {
    [format!("FFmpeg {}", ffmpeg()), format!("OpenCV {}", opencv())]
}

/// Version and licence of FFmpeg, and the versions of its parts.
pub fn ffmpeg() -> String {
    // SAFETY: a constant of the library, NUL-terminated.
    #[expect(unsafe_code, reason = "FFmpeg is a C library")]
    let version = unsafe { CStr::from_ptr(av_version_info()) }.to_string_lossy();
    let text = |name: &str, v: u32| format!("lib{name} {}.{}.{}", v >> 16, v >> 8 & 255, v & 255);
    let parts = [
        text("avformat", ffmpeg_next::format::version()),
        text("avcodec", ffmpeg_next::codec::version()),
        text("swscale", ffmpeg_next::software::scaling::version()),
    ];
    format!("{version} ({}; {})", util::license(), parts.join(", "))
}

/// Version of OpenCV.
pub fn opencv() -> String {
    opencv::core::get_version_string().unwrap_or_else(|_| opencv::core::CV_VERSION.to_owned())
}
