//! Video files, decoded by FFmpeg on the calling thread.
//!
//! The only module that knows FFmpeg; nothing of it leaks out. Damage of any kind (truncation, broken packets,
//! pictures that the decoder had to invent, less video than the header promises) is an error that names the file and
//! the time: a clip is complete or it fails.

mod container;
mod header;
mod picture;

use std::ffi::c_int;
use std::path::{Path, PathBuf};

use signclip_common::{Error, Result};

use self::container::{Container, Step, text};
use self::header::Header;
use self::picture::{AvFrame, Painter};
use crate::frame::Frame;
use crate::media::Probe;
use crate::resample::{Range, TIE, Timed};

/// Frames further apart than this (seconds) are broken time stamps, not a still scene.
const LONGEST_GAP: f64 = 60.0;

const COPY_AGAIN: &str = "copy or download the file again";

/// Frames of a video in presentation order, from the last frame before the range's start on.
///
/// Times are seconds after the beginning of the video. The consumer stops when it has what it needs.
pub struct VideoSource {
    file: PathBuf,
    container: Container,
    header: Header,
    range: Range,
    clock: Clock,
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
    ended: bool,
}

/// Presentation times from time stamps that may be missing, stand still, or start again.
#[derive(Clone, Copy, Default)]
struct Clock {
    last: Option<f64>,
    shift: f64,
    /// The last time stamp did not advance.
    stuck: bool,
}

impl Clock {
    /// Time of the next frame, whose own time stamp says `stamp` seconds; never earlier than the one before.
    fn tick(&mut self, stamp: Option<f64>, period: f64) -> f64 {
        let Some(last) = self.last else { return *self.last.insert(stamp.unwrap_or(0.0)) };
        let next = last + period;
        let time = stamp.map_or(next, |stamp| stamp + self.shift);
        let stuck = time <= last;
        let time = if time < last - 2.5 * period {
            // Streams glued together start again: count on from where the first one ended.
            self.shift += next - time;
            next
        } else if stuck && self.stuck {
            next
        } else {
            time.max(last)
        };
        self.stuck = stuck;
        *self.last.insert(time)
    }
}

impl VideoSource {
    /// Open `file` and go to the key frame before the range's start.
    ///
    /// Fails on everything that can be seen without decoding, a range outside the video's duration included.
    pub fn open(file: &Path, range: Range) -> Result<Self> {
        let (container, header) = Container::open(file)?;
        check_range(file, &header, range)?;
        let mut video = Self {
            file: file.to_path_buf(),
            container,
            header,
            range,
            clock: Clock::default(),
            painter: Painter::new(),
            frame: AvFrame::new(),
            before: None,
            waiting: None,
            key_time: None,
            gap: 0.0,
            reached: None,
            ended: false,
        };
        if !video.seek()? {
            // Whatever the attempts left behind, begin at the beginning.
            (video.container, video.header) = Container::open(file)?;
        }
        Ok(video)
    }

    /// Frames per second, on average.
    pub fn fps(&self) -> f64 {
        self.header.fps
    }

    /// Go to a key frame that is shown at or before the start. `false`: decode from the beginning.
    fn seek(&mut self) -> Result<bool> {
        let Some(start) = self.range.start.filter(|&start| start > 0.0) else { return Ok(true) };
        if self.header.counted {
            return Ok(true);
        }
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
            if key_time <= start + TIE {
                self.key_time = Some(key_time);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn period(&self) -> f64 {
        1.0 / self.header.fps
    }

    /// "after 1.20 s of 3.90 s"
    fn progress(&self) -> String {
        let reached = self.reached.unwrap_or(0.0);
        match self.header.duration {
            Some(duration) => format!("after {reached:.2} s of {duration:.2} s"),
            None => format!("after {reached:.2} s"),
        }
    }

    fn damaged(&self, what: String) -> Error {
        let place = format!("at {:.2} s", self.reached.unwrap_or(0.0));
        Error::input(&self.file, place, what, COPY_AGAIN)
    }

    /// Decode the next picture into `self.frame`; its time and duration, or `None` at the end of the file.
    fn decode(&mut self) -> Result<Option<(f64, f64)>> {
        loop {
            match self.container.decode(self.frame.as_mut_ptr()) {
                Ok(Step::Done) => {}
                Ok(Step::End) => return Ok(None),
                Err(code) => return Err(self.broken(code)),
            }
            let (base, period) = (self.header.time_base, self.period());
            let stamp = self.frame.time_stamp().filter(|_| !self.header.counted);
            let stamp = stamp.map(|stamp| stamp as f64 * base - self.header.origin);
            if let (Some(key), Some(stamp)) = (self.key_time, stamp)
                && stamp < key - TIE
                && self.clock.last.is_none()
            {
                continue;
            }
            if self.frame.is_damaged() {
                return Err(self.damaged(format!("the picture is damaged {}", self.progress())));
            }
            let last = self.clock.last;
            let time = self.clock.tick(stamp, period);
            let gap = last.map_or(period, |last| time - last);
            if gap > LONGEST_GAP {
                let what = format!("time stamps jump from {:.2} s to {time:.2} s", time - gap);
                return Err(self.damaged(what));
            }
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
        self.damaged(format!("truncated or damaged {} ({})", self.progress(), text(code)))
    }

    fn paint(&mut self, time: f64, duration: f64, frame: &AvFrame) -> Result<Timed<Frame>> {
        let frame = self.painter.paint(frame).map_err(|what| self.damaged(what))?;
        Ok(Timed { time, duration, frame: self.header.orientation.apply(frame) })
    }

    /// At the end of the file: was this all of it?
    fn check_end(&self) -> Result<()> {
        let promised = self.header.duration.filter(|_| self.header.promised);
        let wanted = self.range.end.unwrap_or(f64::INFINITY);
        let reached = self.reached.unwrap_or(0.0);
        let slack = (2.0 * self.period()).max(0.1);
        if promised.is_some_and(|promised| reached + slack < promised.min(wanted)) {
            return Err(self.damaged(format!("truncated {}", self.progress())));
        }
        if self.reached.is_none() {
            return Err(self.damaged("not a single frame could be decoded".to_owned()));
        }
        let start = self.range.start.unwrap_or(0.0);
        if start >= reached {
            return Err(outside(&self.file, "start", start, reached));
        }
        if self.range.end.is_some_and(|end| end > reached + self.period() + 0.05) {
            return Err(outside(&self.file, "end", wanted, reached));
        }
        Ok(())
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
                let duration = self.reached.map_or(self.period(), |end| end - time);
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

fn outside(file: &Path, which: &str, time: f64, duration: f64) -> Error {
    Error::input(
        file,
        format!("{which} {time} s"),
        format!("beyond the end of the video, which lasts {duration:.2} s"),
        "correct the times or use the complete video",
    )
}

/// Refuse a range that is no range, or that the header already shows to lie outside the video.
fn check_range(file: &Path, header: &Header, Range { start, end }: Range) -> Result<()> {
    let remedy = "give 0 <= start < end in seconds";
    let bad = |which: &str, time: f64| Error::input(file, which, format!("{time} s is no time"), remedy);
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
        if let Some(end) = end.filter(|&end| end > duration + 1.0 / header.fps + 0.05) {
            return Err(outside(file, "end", end, duration));
        }
    }
    Ok(())
}

/// What the container's header says about the part of `file` in `range`.
pub fn probe(file: &Path, range: Range) -> Result<Probe> {
    let (_, header) = Container::open(file)?;
    check_range(file, &header, range)?;
    let start = range.start.unwrap_or(0.0);
    let duration = range.end.or(header.duration).map(|end| end - start);
    let by_rate = duration.map(|seconds| ((seconds * header.fps).round() as usize).max(1));
    let whole = range == Range::default();
    let (mut width, mut height) = header.size;
    if header.orientation.transpose {
        (width, height) = (height, width);
    }
    Ok(Probe {
        frames: header.frames.filter(|_| whole).or(by_rate),
        fps: header.fps,
        duration,
        width,
        height,
    })
}

/// A single picture file that is not a PNG.
///
/// JPEG decoders fill what a truncated file lacks with gray, so its end mark must be there.
pub fn decode_picture(file: &Path) -> Result<Frame> {
    let bytes = std::fs::read(file).map_err(Error::io(file))?;
    if !bytes.is_empty() && !bytes.windows(2).rev().any(|pair| pair == [0xff, 0xd9]) {
        return Err(Error::input(file, "", "the picture has no end mark, it is truncated", COPY_AGAIN));
    }
    let mut video = VideoSource::open(file, Range::default())?;
    let missing = || Error::input(file, "", "no picture in it", COPY_AGAIN);
    video.next().transpose()?.map(|timed| timed.frame).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn clock_survives_bad_time_stamps() {
        let run = |stamps: &[Option<f64>]| {
            let mut clock = Clock::default();
            stamps.iter().map(|&stamp| clock.tick(stamp, 0.04)).collect::<Vec<_>>()
        };
        let near =
            |a: Vec<f64>, b: &[f64]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?}");
        near(run(&[None; 4]), &[0.0, 0.04, 0.08, 0.12]);
        near(run(&[Some(1.4), None, Some(1.48)]), &[1.4, 1.44, 1.48]);
        near(run(&[Some(5.0), Some(5.04), Some(1.0), Some(1.04)]), &[5.0, 5.04, 5.08, 5.12]);
        near(run(&[Some(0.04), Some(0.03), Some(0.08)]), &[0.04, 0.04, 0.08]);
        near(run(&[Some(0.0); 6]), &[0.0, 0.0, 0.04, 0.08, 0.12, 0.16]);
    }
}
