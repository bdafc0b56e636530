//! A video file opened by FFmpeg: one of its video streams, what the header says about it, packets and decoder.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use ffmpeg_next::ffi::*;
use signclip_common::{Error, Result};

use super::allocation;
use super::failure::{self, text};
use super::format;
use super::header::Header;
use super::log::{Listener, capture};
use crate::media::frame::MAX_PIXELS;

/// An open file with the decoder of its video stream.
///
/// All pointers are owned, non-null, and freed on drop.
pub(super) struct Container {
    pub(super) file: PathBuf,
    pub(super) io: *mut AVIOContext,
    pub(super) format: *mut AVFormatContext,
    pub(super) codec: *mut AVCodecContext,
    /// What the demuxer complains about, and the decoder.
    pub(super) demuxer_says: Option<Listener>,
    pub(super) decoder_says: Option<Listener>,
    pub(super) packet: *mut AVPacket,
    pub(super) stream: c_int,
    /// Number of the stream among those that show video, and how many there are.
    pub(super) number: usize,
    pub(super) videos: usize,
    pub(super) draining: bool,
    pub(super) suspect: bool,
    /// Packets among which a key frame is to come, where a recording may begin behind another one.
    pub(super) joint: u8,
    /// Decoding time of the first packet, where the file says nothing of when pictures are shown.
    pub(super) decoded_at: Option<i64>,
    /// Packets of the video that were read.
    pub(super) packets: usize,
}

/// The code for a form of coding that nobody has written a decoder for.
pub(super) const UNSUPPORTED: c_int = AVERROR_PATCHWELCOME;

/// Outcome of asking for a frame or a packet.
pub(super) enum Step {
    Done,
    End,
}

/// External tracks name other files; a clip is one file.
unsafe extern "C" fn refuse_other_files(
    _: *mut AVFormatContext,
    _: *mut *mut AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut AVDictionary,
) -> c_int {
    AVERROR(libc::EACCES)
}

/// Decoder options: one thread (many clips are decoded at once) and no absurd picture sizes.
pub(super) fn codec_options() -> *mut AVDictionary {
    let mut options = ptr::null_mut();
    let pixels = CString::new(MAX_PIXELS.to_string()).unwrap_or_default();
    // SAFETY: keys and values are NUL-terminated and copied by FFmpeg.
    unsafe {
        av_dict_set(&mut options, c"threads".as_ptr(), c"1".as_ptr(), 0);
        av_dict_set(&mut options, c"max_pixels".as_ptr(), pixels.as_ptr(), 0);
    }
    options
}

impl Container {
    /// Open `file`, read its header and prepare the decoder of its video stream number `wanted`, the first by default.
    pub(super) fn open(file: &Path, wanted: Option<usize>) -> Result<(Self, Header)> {
        let meta = std::fs::metadata(file).map_err(Error::io(file))?;
        let wrong = |what: &str| Error::input(file, "", what, "give the path of a video file");
        if meta.is_dir() {
            return Err(wrong("is a folder, not a video file"));
        }
        if !meta.is_file() {
            return Err(wrong("is not a regular file"));
        }
        if meta.len() == 0 {
            return Err(Error::input(file, "", "is empty (0 bytes)", "copy or download the file again"));
        }
        capture();
        let mut url = b"file:".to_vec();
        url.extend_from_slice(file.as_os_str().as_bytes());
        let url = CString::new(url).map_err(|_| wrong("has a NUL byte in its name"))?;

        let mut container = Self {
            file: file.to_path_buf(),
            io: ptr::null_mut(),
            format: ptr::null_mut(),
            codec: ptr::null_mut(),
            demuxer_says: None,
            decoder_says: None,
            packet: ptr::null_mut(),
            stream: -1,
            number: 0,
            videos: 0,
            draining: false,
            suspect: false,
            joint: 0,
            decoded_at: None,
            packets: 0,
        };
        container.open_format(&url)?;
        let decoder = container.find_stream(wanted)?;
        // SAFETY: the format context is open and `stream` is one of its streams.
        let header = unsafe { Header::read(&*container.format, &*container.stream_at(container.stream)) };
        header.check(file)?;
        container.open_decoder(decoder)?;
        Ok((container, header))
    }

    pub(super) fn unreadable(&self, code: c_int) -> Error {
        failure::unreadable(&self.file, code)
    }

    fn open_format(&mut self, url: &CStr) -> Result<()> {
        allocation::bound();
        // SAFETY: the out-pointers are fields of self, so that drop frees whatever was made before an early return;
        // `avformat_open_input` frees and nulls the context itself on failure and leaves the I/O to us.
        unsafe {
            let mut options = format::restrictions();
            let code = avio_open2(&mut self.io, url.as_ptr(), AVIO_FLAG_READ, ptr::null(), &mut options);
            av_dict_free(&mut options);
            if code < 0 {
                return Err(self.unreadable(code));
            }
            let kind = format::kind(self.io, &self.file, url)?;
            self.format = avformat_alloc_context();
            if self.format.is_null() {
                return Err(self.unreadable(AVERROR(libc::ENOMEM)));
            }
            self.demuxer_says = Some(Listener::new(self.format));
            (*self.format).pb = self.io;
            (*self.format).io_open = Some(refuse_other_files);
            let mut options = format::restrictions();
            let code = avformat_open_input(&mut self.format, url.as_ptr(), kind, &mut options);
            av_dict_free(&mut options);
            if code < 0 {
                return Err(self.unreadable(code));
            }
            let mut options: Vec<*mut AVDictionary> =
                (0..(*self.format).nb_streams).map(|_| codec_options()).collect();
            let code = avformat_find_stream_info(self.format, options.as_mut_ptr());
            options.iter_mut().for_each(|dictionary| av_dict_free(dictionary));
            if code < 0 || (*self.format).nb_streams == 0 {
                return Err(self.unreadable(if code < 0 { code } else { AVERROR_EOF }));
            }
        }
        Ok(())
    }

    /// Choose the video stream and switch all others off. Cover pictures and thumbnails do not count.
    fn find_stream(&mut self, wanted: Option<usize>) -> Result<*const AVCodec> {
        let refused =
            |place: &str, what: String, remedy: &str| Err(Error::input(&self.file, place, what, remedy));
        let pictures = (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS) as c_int;
        // SAFETY: the format context is open; stream indices are below `nb_streams`.
        let videos: Vec<c_int> = unsafe {
            let is_video = |&index: &c_int| {
                let stream = &*self.stream_at(index);
                (*stream.codecpar).codec_type == AVMediaType::AVMEDIA_TYPE_VIDEO
                    && stream.disposition & pictures == 0
            };
            (0..(*self.format).nb_streams as c_int).filter(is_video).collect()
        };
        let (number, count) = (wanted.unwrap_or(0), videos.len());
        let Some(&chosen) = videos.get(number) else {
            if count == 0 {
                return refused("", "no video stream".to_owned(), "give a file that holds video");
            }
            let what = format!("there is no video stream {number}; the file has {count}, counted from 0");
            return refused("video stream", what, "correct --video-stream, or leave it out");
        };
        // SAFETY: as above.
        let decoder = unsafe { avcodec_find_decoder((*(*self.stream_at(chosen)).codecpar).codec_id) };
        if decoder.is_null() {
            let what = "this FFmpeg has no decoder for its codec".to_owned();
            return refused("video stream", what, "convert the video to H.264");
        }
        // SAFETY: as above.
        unsafe {
            for index in (0..(*self.format).nb_streams as c_int).filter(|&index| index != chosen) {
                (*self.stream_at(index)).discard = AVDiscard::AVDISCARD_ALL;
            }
        }
        (self.stream, self.number, self.videos) = (chosen, number, count);
        Ok(decoder)
    }

    /// # Safety
    /// The format context is open and `index` is one of its streams.
    pub(super) unsafe fn stream_at(&self, index: c_int) -> *mut AVStream {
        // SAFETY: upheld by the caller.
        unsafe { *(*self.format).streams.add(index as usize) }
    }

    fn open_decoder(&mut self, decoder: *const AVCodec) -> Result<()> {
        // SAFETY: results are stored in self at once, so that drop frees them; the stream's parameters outlive the
        // call that copies them.
        unsafe {
            self.packet = av_packet_alloc();
            self.codec = avcodec_alloc_context3(decoder);
            if self.packet.is_null() || self.codec.is_null() {
                return Err(self.unreadable(AVERROR(libc::ENOMEM)));
            }
            self.decoder_says = Some(Listener::new(self.codec));
            let stream = self.stream_at(self.stream);
            let mut code = avcodec_parameters_to_context(self.codec, (*stream).codecpar);
            if code >= 0 {
                (*self.codec).pkt_timebase = (*stream).time_base;
                let mut options = codec_options();
                code = avcodec_open2(self.codec, decoder, &mut options);
                av_dict_free(&mut options);
            }
            if code < 0 {
                let what = format!("its decoder cannot be opened ({})", text(code));
                return Err(Error::input(&self.file, "video stream", what, "convert the video to H.264"));
            }
        }
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // SAFETY: each pointer is null or owned; the functions accept both and null the pointer. The I/O context is
        // closed after the format context that reads from it.
        unsafe {
            av_packet_free(&mut self.packet);
            avcodec_free_context(&mut self.codec);
            avformat_close_input(&mut self.format);
            avio_closep(&mut self.io);
        }
    }
}
