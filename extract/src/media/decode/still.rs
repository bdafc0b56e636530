//! One picture in memory, decoded by FFmpeg without a container around it.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ptr;

use ffmpeg_next::ffi::*;

use super::allocation;
use super::container::codec_options;
use super::failure::text;
use super::log::capture;
use super::picture::{AvFrame, Painter};
use crate::media::frame::Frame;

/// The coding of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// JPEG.
    Jpeg,
    /// WebP, with or without loss.
    Webp,
    /// Windows bitmap.
    Bmp,
}

/// Decode `bytes`, one whole picture, as it is stored. Errors say what FFmpeg says; parts that it would have to invent
/// are one.
pub fn decode_still(bytes: &[u8], coding: Coding) -> Result<Frame, String> {
    capture();
    allocation::bound();
    let mut decoder = Decoder { codec: ptr::null_mut(), packet: ptr::null_mut() };
    let mut frame = AvFrame::new();
    decoder.decode(bytes, coding, &mut frame)?;
    if frame.is_damaged() {
        return Err("parts are missing".to_owned());
    }
    Painter::new().paint(&frame)
}

/// Both pointers are null or owned, and freed on drop.
struct Decoder {
    codec: *mut AVCodecContext,
    packet: *mut AVPacket,
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8], coding: Coding, frame: &mut AvFrame) -> Result<(), String> {
        let id = match coding {
            Coding::Jpeg => AVCodecID::AV_CODEC_ID_MJPEG,
            Coding::Webp => AVCodecID::AV_CODEC_ID_WEBP,
            Coding::Bmp => AVCodecID::AV_CODEC_ID_BMP,
        };
        let size = i32::try_from(bytes.len()).map_err(|_| "it is larger than 2 GiB".to_owned())?;
        let check = |code: i32| if code < 0 { Err(text(code)) } else { Ok(()) };
        // SAFETY: results are stored in self at once, so that drop frees them; `av_new_packet` allocates `size` bytes and
        // the padding that decoders want.
        unsafe {
            let codec = avcodec_find_decoder(id);
            if codec.is_null() {
                return Err("this FFmpeg has no decoder for it".to_owned());
            }
            self.packet = av_packet_alloc();
            self.codec = avcodec_alloc_context3(codec);
            if self.packet.is_null() || self.codec.is_null() {
                return Err("no memory".to_owned());
            }
            let mut options = codec_options();
            // Without this, pixels that are missing come out gray.
            av_dict_set(&mut options, c"err_detect".as_ptr(), c"explode".as_ptr(), 0);
            let opened = avcodec_open2(self.codec, codec, &mut options);
            av_dict_free(&mut options);
            check(opened)?;
            check(av_new_packet(self.packet, size))?;
            ptr::copy_nonoverlapping(bytes.as_ptr(), (*self.packet).data, bytes.len());
            check(avcodec_send_packet(self.codec, self.packet))?;
            let code = avcodec_receive_frame(self.codec, frame.as_mut_ptr());
            if code != AVERROR(libc::EAGAIN) {
                return check(code);
            }
            check(avcodec_send_packet(self.codec, ptr::null()))?;
            check(avcodec_receive_frame(self.codec, frame.as_mut_ptr()))
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: both functions accept a pointer to null and null the pointer.
        unsafe {
            av_packet_free(&mut self.packet);
            avcodec_free_context(&mut self.codec);
        }
    }
}
