//! Packets of an open file, and the pictures that the decoder makes of them.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi::*;

use super::container::{Container, Step};
use super::log::Listener;

impl Container {
    /// Go to a key frame at or before `time` (seconds on the stream's clock). `false` if the format cannot.
    pub(super) fn seek(&mut self, time: f64, time_base: f64) -> bool {
        let stamp = (time / time_base).floor();
        if stamp.abs() > i64::MAX as f64 / 4.0 {
            return false;
        }
        // SAFETY: format and codec contexts are open.
        unsafe {
            avcodec_flush_buffers(self.codec);
            self.draining = false;
            av_seek_frame(self.format, self.stream, stamp as i64, AVSEEK_FLAG_BACKWARD as c_int) >= 0
        }
    }

    /// Read packets up to the next key frame of the video, hand it to the decoder, and return its presentation
    /// time stamp; `None` if there is none, or if it does not say when the frame is shown.
    pub(super) fn start_at_key_frame(&mut self) -> Option<i64> {
        while let Ok(Step::Done) = self.read_packet() {
            // SAFETY: the packet was filled by `read_packet`.
            let (key, pts, dts) = unsafe {
                ((*self.packet).flags & AV_PKT_FLAG_KEY as c_int, (*self.packet).pts, (*self.packet).dts)
            };
            if key != 0 {
                // Where frames are decoded in another order than they are shown in, a time that is both is not the one.
                let shown = pts != AV_NOPTS_VALUE && !(self.reorders() && pts == dts);
                return (self.send_packet() >= 0 && shown).then_some(pts);
            }
        }
        None
    }

    /// Place in the file of the packet read last.
    pub(super) fn position(&self) -> i64 {
        // SAFETY: the packet is allocated as long as the container is open.
        unsafe { (*self.packet).pos }
    }

    /// Read packets from the beginning until their time is `end` (seconds on the stream's clock): the place of the last
    /// one. `None` where time stamps begin anew before.
    pub(super) fn walk_to(&mut self, end: f64, time_base: f64) -> Option<i64> {
        let mut latest = f64::NEG_INFINITY;
        while let Ok(Step::Done) = self.read_packet() {
            // SAFETY: the packet was filled by `read_packet`.
            let stamp = unsafe { (*self.packet).dts };
            if stamp == AV_NOPTS_VALUE {
                continue;
            }
            let time = stamp as f64 * time_base;
            if time < latest - 1.0 {
                return None;
            }
            latest = latest.max(time);
            if time > end {
                break;
            }
        }
        Some(self.position())
    }

    /// The next packet of the video stream that is not empty.
    fn read_packet(&mut self) -> Result<Step, c_int> {
        loop {
            // SAFETY: the packet is owned and is emptied before it is filled again.
            unsafe {
                av_packet_unref(self.packet);
                match av_read_frame(self.format, self.packet) {
                    AVERROR_EOF => return Ok(Step::End),
                    code if code < 0 => return Err(code),
                    _ => {}
                }
                // An empty packet would tell the decoder that the stream has ended.
                if (*self.packet).stream_index == self.stream && (*self.packet).size > 0 {
                    let (pts, dts) = ((*self.packet).pts, (*self.packet).dts);
                    self.packets += 1;
                    if self.packets == 1 && pts == AV_NOPTS_VALUE && dts != AV_NOPTS_VALUE && self.reorders()
                    {
                        self.decoded_at = Some(dts);
                    }
                    return Ok(Step::Done);
                }
            }
        }
    }

    /// Whether frames may be decoded in another order than they are shown in.
    fn reorders(&self) -> bool {
        // SAFETY: the format context is open.
        unsafe { (*(*self.stream_at(self.stream)).codecpar).video_delay > 0 }
    }

    /// Decoding time of the first packet, where the file says nothing of when pictures are shown (AVI, ASF): the first
    /// picture belongs there, and the stamps that FFmpeg gives are later by what the decoder holds back.
    pub(super) fn decoded_at(&self) -> Option<i64> {
        self.decoded_at
    }

    fn send_packet(&mut self) -> c_int {
        // SAFETY: codec and packet are open.
        unsafe {
            if (*self.packet).flags & AV_PKT_FLAG_CORRUPT as c_int != 0 {
                // An incomplete packet is refused before it can spoil pictures. In MPEG streams the mark also stands
                // where two recordings were joined, which is harmless unless frames are missing.
                if (*(*self.format).iformat).flags & AVFMT_TS_DISCONT as c_int == 0 {
                    return AVERROR_INVALIDDATA;
                }
                self.suspect = true;
                self.joint = 2;
            } else if self.joint > 0 {
                // The second one begins with a key frame. The mark is on the packet before it, or one earlier.
                let key = (*self.packet).flags & AV_PKT_FLAG_KEY as c_int != 0;
                self.joint = if key { 0 } else { self.joint - 1 };
                if !key && self.joint == 0 {
                    return AVERROR_INVALIDDATA;
                }
            }
            avcodec_send_packet(self.codec, self.packet)
        }
    }

    /// The first complaint of the demuxer.
    pub(super) fn demuxer_says(&self) -> Option<String> {
        self.demuxer_says.as_ref().and_then(Listener::error)
    }

    /// The first complaint of the decoder.
    pub(super) fn decoder_says(&self) -> Option<String> {
        self.decoder_says.as_ref().and_then(Listener::error)
    }

    /// What was read and decoded so far is not wanted, nor what demuxer and decoder say of it.
    pub(super) fn forget(&self) {
        [&self.demuxer_says, &self.decoder_says].into_iter().flatten().for_each(Listener::forget);
    }

    /// Whether packets may be missing from what was read so far.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Decode the next picture in presentation order into `frame`. The error is FFmpeg's code.
    pub(super) fn decode(&mut self, frame: *mut AVFrame) -> Result<Step, c_int> {
        loop {
            // SAFETY: `frame` is an allocated frame (see `AvFrame`); the codec is open.
            match unsafe { avcodec_receive_frame(self.codec, frame) } {
                AVERROR_EOF => return Ok(Step::End),
                code if code == AVERROR(libc::EAGAIN) => {}
                code if code < 0 => return Err(code),
                _ => return Ok(Step::Done),
            }
            if self.draining {
                return Ok(Step::End);
            }
            let code = match self.read_packet()? {
                Step::Done => self.send_packet(),
                Step::End => {
                    self.draining = true;
                    // SAFETY: a null packet asks the decoder for its remaining frames.
                    unsafe { avcodec_send_packet(self.codec, ptr::null()) }
                }
            };
            if code < 0 {
                return Err(code);
            }
        }
    }
}
