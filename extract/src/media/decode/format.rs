//! Which formats are read: those that keep all of a video, or a picture, in one file.
//!
//! FFmpeg reads some 350. Many are scripts and playlists that name further files, addresses or devices. They are told by
//! their content, so that one of them may be called `clip.mp4`. A list of what is read leaves none of them in.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::{CStr, c_char};
use std::io::Read;
use std::path::Path;
use std::ptr;

use ffmpeg_next::ffi::*;
use signclip_common::{Error, Result, regular_file};

use super::failure::unreadable;

/// The formats that are read, by FFmpeg's names. None of them opens another file; `mov` could and does not unless asked.
const READ: &CStr = c"3gp,3g2,apng,asf,asf_o,av1,avi,avs2,avs3,bink,bmp_pipe,cavsvideo,dirac,dnxhd,dv,flic,flv,gif,gxf,\
h261,h263,h264,hevc,ivf,jpeg_pipe,lxf,m4v,matroska,mjpeg,mjpeg_2000,mov,mp4,mpeg,mpegts,mpegvideo,mpjpeg,mxf,nsv,nut,nuv,\
obu,ogg,png_pipe,rm,roq,swf,tiff_pipe,vc1,vc1test,vivo,webp_pipe,wtv,yop,yuv4mpegpipe";

/// Formats whose files name other files, addresses or devices.
const LISTS: [&str; 8] = ["concat", "dash", "hls", "imf", "rtp", "rtsp", "sdp", "webm_dash_manifest"];

/// What an open file and what is opened for it may be: a file of this machine, of a format that is read.
pub(super) fn restrictions() -> *mut AVDictionary {
    let mut options = ptr::null_mut();
    // SAFETY: keys and values are NUL-terminated and copied by FFmpeg.
    unsafe {
        av_dict_set(&mut options, c"protocol_whitelist".as_ptr(), c"file".as_ptr(), 0);
        av_dict_set(&mut options, c"format_whitelist".as_ptr(), READ.as_ptr(), 0);
    }
    options
}

/// The format of the open `file` by its content. `url` is its address for FFmpeg.
pub(super) fn kind(io: *mut AVIOContext, file: &Path, url: &CStr) -> Result<*const AVInputFormat> {
    if let Some(list) = list_in(file) {
        return Err(is_a_list(file, list));
    }
    let mut format: *const AVInputFormat = ptr::null();
    // SAFETY: the file is open, and is back at its beginning afterwards. A format that was found is one of FFmpeg's
    // constants, its name NUL-terminated.
    let (name, read) = unsafe {
        let code = av_probe_input_buffer2(io, &mut format, url.as_ptr(), ptr::null_mut(), 0, 0);
        if code < 0 {
            return Err(unreadable(file, code));
        }
        let name = (*format).name;
        (CStr::from_ptr(name), av_match_list(name, READ.as_ptr(), b',' as c_char) > 0)
    };
    if read {
        return Ok(format);
    }
    let name = name.to_string_lossy();
    if LISTS.contains(&&*name) {
        return Err(is_a_list(file, &name));
    }
    let what = format!("{name} is not a format that is read");
    Err(Error::input(file, "container", what, "give a video, or convert it to MP4"))
}

fn is_a_list(file: &Path, name: &str) -> Error {
    Error::input(
        file,
        "container",
        format!("a playlist ({name}), which names other files"),
        "give the video itself",
    )
}

/// The playlist that `file` is. An FFmpeg without XML and network, as in the wheel, does not know these two, and goes by the
/// file's name.
fn list_in(file: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    regular_file::open(file).ok()?.take(1024).read_to_end(&mut head).ok()?;
    let is_xml = head.trim_ascii_start().starts_with(b"<");
    match () {
        () if head.starts_with(b"v=0\n") || head.starts_with(b"v=0\r\n") => Some("sdp"),
        () if is_xml && head.windows(4).any(|part| part == b"<MPD") => Some("dash"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A misspelt name would refuse a whole format.
    #[test]
    fn ffmpeg_knows_each_format() {
        for name in READ.to_str().expect("ASCII").split(',') {
            let name = std::ffi::CString::new(name).expect("a name");
            // SAFETY: NUL-terminated.
            assert!(!unsafe { av_find_input_format(name.as_ptr()) }.is_null(), "{name:?}");
        }
    }
}
