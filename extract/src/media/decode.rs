//! Video files, decoded by FFmpeg on the calling thread.
//!
//! The only module that knows FFmpeg; nothing of it leaks out. Damage of any kind (truncation, broken packets,
//! pictures that the decoder had to invent, less video than the header promises) is an error that names the file and
//! the time: a clip is complete or it fails.

mod allocation;
mod asf;
mod avi;
mod clock;
mod complete;
mod container;
mod failure;
mod field;
mod flv;
mod format;
mod gif;
mod header;
mod log;
mod matroska;
mod mp4;
mod mpegps;
mod mpegts;
mod nut;
mod ogg;
mod packets;
mod parts;
mod picture;
mod range;
mod still;
mod structure;
mod y4m;

use std::ffi::c_int;
use std::path::{Path, PathBuf};

pub use self::still::{Coding, decode_still};

use signclip_common::{Error, Result};

use self::clock::Clock;
use self::container::{Container, Step};
use self::failure::text;
use self::header::Header;
use self::parts::Structure;
use self::picture::{AvFrame, Painter};
use self::range::check_range;
use self::structure::structure;
use crate::media::frame::Frame;
use crate::media::reading::{Probe, Reading};
use crate::media::remark::Remark;
use crate::media::resample::{Range, TIE, Timed};

/// The longest time (seconds) for which a picture may hold: a screen recorder writes nothing while nothing moves. Beyond
/// it a clip would be made of hundreds of thousands of copies of one picture.
const LONGEST_GAP: f64 = 3600.0;

/// The most frames that a decoder holds back until the one before them is decoded (H.264, H.265).
const REORDERED: usize = 16;

const COPY_AGAIN: &str = "copy or download the file again";

/// Frames of a video in presentation order, from the last frame before the range's start on.
///
/// Times are seconds after the beginning of the video. The consumer stops when it has what it needs.
pub struct VideoSource {
    file: PathBuf,
    container: Container,
    header: Header,
    range: Range,
    reading: Reading,
    clock: Clock,
    /// Seconds by which time stamps are later than the pictures, known from the first picture on.
    lag: Option<f64>,
    painter: Painter,
    /// The picture just decoded.
    frame: AvFrame,
    /// The last picture before the start, in case that it is the nearest one to the start.
    before: Option<(f64, AvFrame)>,
    /// A picture that comes after the one just delivered.
    waiting: Option<Timed<Frame>>,
    /// After a seek: frames before this one may refer to what was skipped.
    key_time: Option<f64>,
    /// Time between the last two frames.
    gap: f64,
    /// End of the last decoded frame.
    reached: Option<f64>,
    /// The file's own time stamp of the last decoded frame, in seconds.
    stamp: Option<f64>,
    interlaced: bool,
    oblong: bool,
    /// What the file's parts tell, besides what FFmpeg makes of them.
    structure: Structure,
    /// Pictures that have been decoded.
    decoded: usize,
    ended: bool,
}

impl VideoSource {
    /// Open `file` and go to the key frame before the range's start.
    ///
    /// Fails on everything that can be seen without decoding, a range outside the video's duration included.
    pub fn open(file: &Path, range: Range, reading: &Reading) -> Result<Self> {
        let (container, header) = Container::open(file, reading.video.video_stream)?;
        check_range(file, &header, range)?;
        let structure = structure(file, &header.format).map_err(Error::io(file))?;
        if let Some(damage) = structure.damage.as_ref().filter(|damage| !damage.end) {
            return Err(Error::input(file, format!("byte {}", damage.byte), damage.what, COPY_AGAIN));
        }
        let mut video = Self {
            file: file.to_path_buf(),
            container,
            clock: Clock::new(header.period()),
            header,
            range,
            reading: *reading,
            lag: None,
            painter: Painter::new(),
            frame: AvFrame::new(),
            before: None,
            waiting: None,
            key_time: None,
            gap: 0.0,
            reached: None,
            stamp: None,
            interlaced: false,
            oblong: false,
            structure,
            decoded: 0,
            ended: false,
        };
        if !video.seek()? {
            // Whatever the attempts left behind.
            video.rewind()?;
        }
        Ok(video)
    }

    /// Frames per second on average, where the header knows.
    pub fn fps(&self) -> Option<f64> {
        self.header.fps
    }

    /// Whether the file says that its pictures are stored turned or mirrored.
    pub fn turned(&self) -> bool {
        !self.header.orientation.is_upright()
    }

    /// Number of the stream among those that show video, where there are several.
    pub fn video_stream(&self) -> Option<usize> {
        (self.container.videos > 1).then_some(self.container.number)
    }

    /// Whether the file was read to its end and does not say that all of it is there.
    pub fn end_unknown(&self) -> bool {
        // Of these, FFmpeg computes the duration from what is there.
        let computed =
            ["flv", "gif", "mov,mp4,m4a,3gp,3g2,mj2", "yuv4mpegpipe"].contains(&&*self.header.format);
        let promised = self.header.promised && !computed;
        self.ended && self.range.end.is_none() && !self.structure.ends && !promised
    }

    /// What a user should know about the frames read so far.
    pub fn remarks(&self) -> Vec<Remark> {
        let several = self.container.videos > 1 && self.reading.video.video_stream.is_none();
        let interlaced = self.interlaced && !self.reading.video.deinterlace;
        [
            (several, Remark::SeveralVideoStreams),
            (interlaced, Remark::Interlaced),
            (self.oblong, Remark::PixelsNotSquare),
            (self.end_unknown(), Remark::EndUnknown),
        ]
        .into_iter()
        .filter_map(|(so, remark)| so.then_some(remark))
        .collect()
    }

    /// Go to a key frame that is shown at or before the start. `false`: decode from the beginning.
    fn seek(&mut self) -> Result<bool> {
        let Some(start) = self.range.start.filter(|&start| start > 0.0) else { return Ok(true) };
        if self.header.counted {
            return Ok(true);
        }
        // Where a time may be there twice, the first is meant, and whatever a search finds must not lie behind it.
        let furthest = if self.header.restarts {
            match self.container.walk_to(start + self.header.origin + 1.0, self.header.time_base) {
                Some(place) => place,
                None => return Ok(false),
            }
        } else {
            i64::MAX
        };
        // Containers find key frames by decoding time, or (transport streams) find no key frames at all: a key
        // frame that is shown too late sends us further back.
        for back in [0.0, 1.0, 4.0, 16.0, 64.0, 256.0] {
            let target = start - back;
            if target <= 0.0 {
                break;
            }
            if !self.container.seek(target + self.header.origin, self.header.time_base) {
                break;
            }
            let Some(key) = self.container.start_at_key_frame() else { continue };
            let key_time = key as f64 * self.header.time_base - self.header.origin;
            if key_time <= start + TIE && self.container.position() <= furthest {
                self.key_time = Some(key_time);
                self.container.forget();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether nothing has come out since a search for a key frame: a packet may be marked as one and not be one.
    fn begins_badly(&self) -> bool {
        self.key_time.is_some() && self.clock.last().is_none()
    }

    /// Begin at the beginning.
    fn rewind(&mut self) -> Result<()> {
        (self.container, self.header) = Container::open(&self.file, self.reading.video.video_stream)?;
        self.key_time = None;
        Ok(())
    }

    /// "after 1.20 s of 3.90 s"
    fn progress(&self) -> String {
        let reached = self.reached.unwrap_or(0.0);
        match self.header.duration {
            Some(duration) => format!("after {reached:.2} s of {duration:.2} s"),
            None => format!("after {reached:.2} s"),
        }
    }

    /// The place in the file: its own time stamp of the last frame that was decoded.
    fn place(&self) -> String {
        format!("at {:.2} s", self.stamp.or(self.clock.last()).unwrap_or(0.0))
    }

    fn damaged(&self, what: String) -> Error {
        Error::input(&self.file, self.place(), what, COPY_AGAIN)
    }

    /// Decode the next picture into `self.frame`; its time and duration, or `None` at the end of the file.
    fn decode(&mut self) -> Result<Option<(f64, f64)>> {
        loop {
            match self.container.decode(self.frame.as_mut_ptr()) {
                Ok(Step::Done) => {}
                Ok(Step::End) => return Ok(None),
                Err(_) if self.begins_badly() => {
                    self.rewind()?;
                    continue;
                }
                Err(code) => return Err(self.broken(code)),
            }
            let (base, period) = (self.header.time_base, self.clock.period());
            let own =
                self.frame.time_stamp().filter(|_| !self.header.counted).map(|stamp| stamp as f64 * base);
            let decoded_at = self.container.decoded_at().map(|time| time as f64 * base);
            let lag = *self.lag.get_or_insert(own.zip(decoded_at).map_or(0.0, |(own, first)| own - first));
            let stamp = own.map(|own| own - lag - self.header.origin);
            if let (Some(key), Some(stamp)) = (self.key_time, stamp)
                && stamp < key - TIE
                && self.clock.last().is_none()
            {
                continue;
            }
            if self.frame.is_damaged() {
                if self.begins_badly() {
                    self.rewind()?;
                    continue;
                }
                return Err(self.damaged(format!("the picture is damaged {}", self.progress())));
            }
            let last = self.clock.last();
            if self.key_time.is_some() && last.is_none() {
                self.container.forget();
            }
            self.check_complaints(false)?;
            self.decoded += 1;
            let time = self.clock.tick(stamp);
            let gap = last.map_or(period, |last| time - last);
            if gap > LONGEST_GAP {
                let what = format!(
                    "no frame follows for {gap:.0} s, and a picture may hold for {LONGEST_GAP:.0} s at the most"
                );
                let remedy = "name the parts before and after in a .jsonl list with \"start\" and \"end\", or write \
                              the video anew with a frame at least every hour";
                return Err(Error::input(&self.file, self.place(), what, remedy));
            }
            self.stamp = own.or(Some(time));
            self.interlaced |= self.frame.first_field().is_some();
            self.oblong |= !self.frame.has_square_pixels();
            if self.container.is_suspect() && gap > 1.5 * self.gap.max(period) {
                return Err(self.damaged(format!("frames are missing {}", self.progress())));
            }
            self.gap = gap;
            // Some streams count fields: a duration far below the frame period is not believed.
            let duration = self.frame.duration().filter(|_| !self.header.counted).map(|d| d as f64 * base);
            let duration = duration.filter(|d| (0.6 * period..LONGEST_GAP).contains(d)).unwrap_or(period);
            self.reached = Some(time + duration);
            return Ok(Some((time, duration)));
        }
    }

    /// A reading or decoding error.
    fn broken(&self, code: c_int) -> Error {
        if code == container::UNSUPPORTED {
            let what = format!("this FFmpeg cannot decode it ({})", text(code));
            return Error::input(&self.file, self.place(), what, "convert the video to H.264");
        }
        self.damaged(format!("truncated or damaged {} ({})", self.progress(), text(code)))
    }

    fn paint(&mut self, time: f64, duration: f64, frame: &AvFrame) -> Result<Timed<Frame>> {
        let field = frame.first_field().filter(|_| self.reading.video.deinterlace);
        let painted = match field {
            Some(field) => self.painter.paint_field(frame, field),
            None => self.painter.paint(frame),
        };
        let frame = painted.map_err(|what| {
            Error::input(
                &self.file,
                self.place(),
                what,
                "convert the video to H.264, 8 bits, of up to 8192x8192 pixels",
            )
        })?;
        Ok(Timed { time, duration, frame: self.header.orientation.apply(frame) })
    }

    fn advance(&mut self) -> Result<Option<Timed<Frame>>> {
        if let Some(waiting) = self.waiting.take() {
            return Ok(Some(waiting));
        }
        loop {
            let Some((time, duration)) = self.decode()? else {
                self.ended = true;
                self.check_end()?;
                let Some((time, frame)) = self.before.take() else { return Ok(None) };
                let duration = self.reached.map_or(self.clock.period(), |end| end - time);
                return self.paint(time, duration, &frame).map(Some);
            };
            let frame = std::mem::replace(&mut self.frame, AvFrame::new());
            if self.range.start.is_some_and(|start| time < start - TIE) {
                self.before = Some((time, frame));
                continue;
            }
            let current = self.paint(time, duration, &frame)?;
            let Some((time, frame)) = self.before.take() else { return Ok(Some(current)) };
            let earlier = self.paint(time, current.time - time, &frame)?;
            self.waiting = Some(current);
            return Ok(Some(earlier));
        }
    }
}

impl Iterator for VideoSource {
    type Item = Result<Timed<Frame>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance();
        self.ended |= next.is_err();
        next.transpose()
    }
}

/// What the container's header says about the part of `file` in `range`.
pub fn probe(file: &Path, range: Range, reading: &Reading) -> Result<Probe> {
    let (_, header) = Container::open(file, reading.video.video_stream)?;
    check_range(file, &header, range)?;
    let start = range.start.unwrap_or(0.0);
    let duration = range.end.or(header.duration).map(|end| end - start);
    let by_rate = duration.zip(header.fps).map(|(seconds, fps)| ((seconds * fps).round() as usize).max(1));
    let whole = range == Range::default();
    let (width, height) = header.orientation.size(header.size);
    Ok(Probe {
        frames: header.frames.filter(|_| whole).or(by_rate),
        fps: header.fps,
        duration,
        width,
        height,
    })
}
