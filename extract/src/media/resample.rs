//! Frames at any rate in, frames at one rate out.
//!
//! AV-HuBERT was trained on 25 frames per second and both streams of a clip must have the same length, so every
//! clip is brought to one rate before either encoder sees it. One rule serves constant and variable rates:
//!
//! * output frame `k` is the source frame whose presentation time is nearest to `t0 + k / rate`, the earlier one
//!   of two that are equally near;
//! * `t0` is the start of the wanted range, or the first frame's time when no start was given;
//! * there are `max(1, round(duration · rate))` output frames, where the duration is that of the range, or for an
//!   open end the time from `t0` to the end of the last frame's display.
//!
//! Between two frames more than two seconds apart the picture held still: there the earlier one is shown until the later
//! one is due.
//!
//! A source that already has the rate passes through frame by frame, also with jittery time stamps. Nothing here
//! knows about pixels or FFmpeg.

use std::collections::VecDeque;

use signclip_common::Result;

/// Differences below this many seconds are rounding errors of the time stamps, so that ties are found.
pub const TIE: f64 = 5e-6;

/// Frames further apart than this (seconds) do not make a frame rate: a recorder writes nothing while nothing moves.
const HELD: f64 = 2.0;

/// A source frame with its presentation time.
#[derive(Clone, Debug)]
pub struct Timed<F> {
    /// Seconds on the clock that the range is given on. Must not decrease from frame to frame.
    pub time: f64,
    /// Seconds for which the frame is shown; used of the last frame only.
    pub duration: f64,
    /// The picture.
    pub frame: F,
}

/// A delivered frame.
#[derive(Clone, Debug)]
pub struct Shown<F> {
    pub frame: F,
    /// Which source frame it is, counted from 0 inside the range. One shown from just outside counts as the first or the
    /// last.
    pub source: usize,
}

/// The part of the source that is wanted, in seconds on the source's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// `None`: from the first frame on.
    pub start: Option<f64>,
    /// Exclusive; `None`: to the end of the source.
    pub end: Option<f64>,
}

/// What has been seen and delivered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Source frames whose time lies inside the range.
    pub source: usize,
    /// Frames delivered.
    pub delivered: usize,
    /// Whether a source frame was left out or shown twice.
    pub uneven: bool,
}

/// Iterator adaptor that applies the rule above with one frame of look-ahead.
///
/// Memory: the frame being shown, and those decided but not yet certain to lie before an open end (two at 50 fps).
pub struct Resampler<I, F> {
    source: I,
    rate: f64,
    range: Range,
    /// Time of output frame 0, once known.
    t0: Option<f64>,
    /// Newest frame read: shown until the next one is nearer.
    current: Option<(Timed<F>, usize)>,
    /// Frames to be delivered, with their number of copies.
    decided: VecDeque<(Shown<F>, usize)>,
    /// Output frames decided so far, delivered ones included.
    next: usize,
    /// Number of output frames, once known.
    total: Option<usize>,
    ended: bool,
    counts: Counts,
    /// Times of the first and the last source frame in the range.
    seen: Option<(f64, f64)>,
}

impl<F: Clone, I: Iterator<Item = Result<Timed<F>>>> Resampler<I, F> {
    /// Resample `source` to `rate` frames per second. A closed range must not be empty.
    pub fn new(source: I, rate: f64, range: Range) -> Self {
        Self {
            source,
            rate,
            range,
            t0: range.start,
            current: None,
            decided: VecDeque::new(),
            next: 0,
            total: None,
            ended: false,
            counts: Counts::default(),
            seen: None,
        }
    }

    /// Where the frames come from.
    pub fn source(&self) -> &I {
        &self.source
    }

    /// Seconds between the first and the last source frame in the range, up to here.
    pub fn span(&self) -> f64 {
        self.seen.map_or(0.0, |(first, last)| last - first)
    }

    /// Counts so far; complete when the iterator has ended.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Number of output frames that last `duration` seconds, before rounding down.
    fn length(&self, duration: f64) -> usize {
        ((duration * self.rate + 1e-6).round() as usize).max(1)
    }

    /// Read one source frame and decide how often the one before it is shown.
    fn step(&mut self) -> Result<()> {
        let Some(new) = self.source.next().transpose()? else {
            self.finish();
            return Ok(());
        };
        let t0 = *self.t0.get_or_insert(new.time);
        let end = self.range.end;
        if self.total.is_none() {
            self.total = end.map(|end| self.length(end - t0));
        }
        let past_end = end.is_some_and(|end| new.time >= end - TIE);
        if new.time >= t0 - TIE && !past_end {
            self.counts.source += 1;
            self.seen = Some((self.seen.map_or(new.time, |(first, _)| first), new.time));
        }
        let new_time = new.time;
        let number = self.counts.source.saturating_sub(1);
        if let Some(old) = self.current.replace((new, number)) {
            let still = new_time - old.0.time > HELD;
            let middle = if still { new_time - 0.5 / self.rate } else { (old.0.time + new_time) / 2.0 };
            let reach = (middle - t0 + TIE) * self.rate;
            let upto = if reach < 0.0 { 0 } else { reach.floor() as usize + 1 };
            self.decide(old, upto.min(self.total.unwrap_or(usize::MAX)), t0);
        }
        self.ended = past_end && self.total.is_some_and(|total| self.next >= total);
        Ok(())
    }

    /// Show `frame` for all output frames below `upto` that are still open.
    fn decide(&mut self, (frame, source): (Timed<F>, usize), upto: usize, t0: f64) {
        let copies = upto.saturating_sub(self.next);
        let open = self.total.is_none_or(|total| self.next < total);
        // A frame from before the start is not left out, but it may be shown twice.
        let inside = frame.time >= t0 - TIE;
        self.counts.uneven |= open && (copies > 1 || copies == 0 && inside);
        if copies > 0 {
            self.next = upto;
            self.decided.push_back((Shown { frame: frame.frame, source }, copies));
        }
    }

    /// The source has ended: the last frame serves what is left; what an open end does not reach is cut off.
    fn finish(&mut self) {
        self.ended = true;
        let (Some(last), Some(t0)) = (self.current.take(), self.t0) else { return };
        let total = self.total.unwrap_or_else(|| self.length(last.0.time + last.0.duration - t0));
        self.total = Some(total);
        self.decide(last, total, t0);
        while self.next > total {
            let Some((_, copies)) = self.decided.back_mut() else { break };
            let cut = (*copies).min(self.next - total);
            *copies -= cut;
            self.next -= cut;
            self.counts.uneven = true;
            if *copies == 0 {
                self.decided.pop_back();
            }
        }
    }

    /// Whether output frame `k` exists for certain.
    fn certain(&self, k: usize) -> bool {
        let seen = match (&self.current, self.t0) {
            (Some((current, _)), Some(t0)) => (current.time - t0) * self.rate,
            _ => 0.0,
        };
        self.total.is_some_and(|total| k < total) || k as f64 + 0.5 <= seen
    }
}

impl<F: Clone, I: Iterator<Item = Result<Timed<F>>>> Iterator for Resampler<I, F> {
    type Item = Result<Shown<F>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.decided.is_empty() && self.certain(self.counts.delivered) {
                self.counts.delivered += 1;
                let (frame, copies) = self.decided.front_mut()?;
                if *copies > 1 {
                    *copies -= 1;
                    return Some(Ok(frame.clone()));
                }
                return self.decided.pop_front().map(|(frame, _)| Ok(frame));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.step() {
                self.ended = true;
                self.decided.clear();
                return Some(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which source frames come out, and the counts.
    fn run(times: &[f64], last: f64, range: Range) -> (Vec<usize>, Counts) {
        let source = times.iter().enumerate().map(|(i, &time)| Ok(Timed { time, duration: last, frame: i }));
        let mut resampler = Resampler::new(source, 25.0, range);
        let shown: Result<Vec<Shown<usize>>> = resampler.by_ref().collect();
        let shown = shown.expect("no errors in the source");
        let before =
            times.iter().filter(|&&time| range.start.is_some_and(|start| time < start - TIE)).count();
        let last = resampler.counts().source.saturating_sub(1);
        let number = |frame: usize| frame.saturating_sub(before).min(last);
        assert!(shown.iter().all(|s| s.source == number(s.frame)), "{shown:?}");
        (shown.into_iter().map(|s| s.frame).collect(), resampler.counts())
    }

    fn constant(n: usize, fps: f64, first: f64) -> Vec<f64> {
        (0..n).map(|i| first + i as f64 / fps).collect()
    }

    /// The rule, spelled out without streaming.
    fn nearest(times: &[f64], t0: f64, total: usize) -> Vec<usize> {
        (0..total)
            .map(|k| {
                let t = t0 + k as f64 / 25.0;
                (1..times.len()).fold(0, |best, i| {
                    if (times[i] - t).abs() < (times[best] - t).abs() - 1e-5 { i } else { best }
                })
            })
            .collect()
    }

    const ALL: Range = Range { start: None, end: None };

    #[test]
    fn constant_25_passes_through() {
        for first in [0.0, -0.08, 1.4, 90_000.123] {
            let (frames, counts) = run(&constant(103, 25.0, first), 0.04, ALL);
            assert_eq!(frames, (0..103).collect::<Vec<_>>());
            assert_eq!(counts, Counts { source: 103, delivered: 103, uneven: false });
        }
    }

    #[test]
    fn jitter_does_not_matter() {
        let times: Vec<f64> =
            (0..500).map(|i| i as f64 * 0.04 + [0.004, -0.007, 0.0, 0.015, -0.012][i % 5] + 0.02).collect();
        let (frames, counts) = run(&times, 0.04, ALL);
        assert_eq!(frames, (0..500).collect::<Vec<_>>());
        assert!(!counts.uneven);
    }

    #[test]
    fn other_rates() {
        for (n, fps, expected) in [
            (47, 24.0, 49),
            (48, 24.0, 50),
            (300, 30_000.0 / 1001.0, 250),
            (30, 29.97, 25),
            (100, 50.0, 50),
            (101, 50.0, 51),
            (60, 60.0, 25),
            (10, 12.5, 20),
            (7, 200.0, 1),
            (19, 200.0, 2),
            (1000, 1000.0, 25),
            (3, 1.0, 75),
        ] {
            let times = constant(n, fps, 0.0);
            let (frames, counts) = run(&times, 1.0 / fps, ALL);
            assert_eq!(frames.len(), expected, "{n} frames at {fps}");
            assert_eq!(frames, nearest(&times, 0.0, expected), "{n} frames at {fps}");
            assert_eq!(counts, Counts { source: n, delivered: expected, uneven: true });
        }
        assert_eq!(run(&constant(6, 50.0, 0.0), 0.02, ALL).0, [0, 2, 4]);
        assert_eq!(run(&constant(4, 12.5, 0.0), 0.08, ALL).0, [0, 0, 1, 1, 2, 2, 3, 3], "ties: the earlier");
    }

    #[test]
    fn variable_rate() {
        let times = [0.0, 0.04, 0.05, 0.06, 0.5, 0.54, 0.9];
        let (frames, _) = run(&times, 0.1, ALL);
        assert_eq!(frames, nearest(&times, 0.0, 25));
    }

    #[test]
    fn a_still_picture_holds() {
        let times = [0.0, 0.04, 0.08, 5.08, 5.12];
        let (frames, counts) = run(&times, 0.04, ALL);
        let wanted: Vec<usize> = [0, 1].into_iter().chain([2; 125]).chain([3, 4]).collect();
        assert_eq!(frames, wanted);
        assert_eq!(counts, Counts { source: 5, delivered: 129, uneven: true });
        let times = times.map(|time| if time > 1.0 { time - 0.013 } else { time });
        assert_eq!(run(&times, 0.04, ALL).0, wanted, "jitter");
        // Nothing begins in the range, and what is shown in it began before.
        let (frames, counts) = run(&times, 0.04, Range { start: Some(1.0), end: Some(2.0) });
        assert_eq!(frames, [2; 25]);
        assert_eq!(counts, Counts { source: 0, delivered: 25, uneven: true });
    }

    #[test]
    fn ranges() {
        let times = constant(200, 25.0, 0.0);
        let range = |a, b| Range { start: Some(a), end: Some(b) };
        let (frames, counts) = run(&times, 0.04, range(2.0, 4.0));
        assert_eq!(frames, (50..100).collect::<Vec<_>>());
        assert_eq!(counts, Counts { source: 50, delivered: 50, uneven: false });
        // Wherever the range begins between two frames, each frame still comes once.
        for start in [1.96, 1.965, 1.979, 1.98, 1.981, 1.999] {
            let (frames, counts) = run(&times, 0.04, range(start, start + 3.0));
            let first = if start > 1.980001 { 50 } else { 49 };
            assert_eq!(frames, (first..first + 75).collect::<Vec<_>>(), "start {start}");
            assert!(!counts.uneven);
        }
        assert_eq!(run(&times, 0.04, range(7.9, 8.02)).0, [197, 198, 199], "end a little after the video");
        assert_eq!(run(&times, 0.04, range(3.0, 3.001)).0, [75], "never empty");
        let open = Range { start: Some(7.8), end: None };
        assert_eq!(run(&times, 0.04, open).0, [195, 196, 197, 198, 199]);
        let slow = constant(50, 10.0, 0.0);
        assert_eq!(run(&slow, 0.1, range(1.0, 1.4)).0, [10, 10, 11, 11, 12, 12, 12, 13, 13, 14]);
    }

    #[test]
    fn single_and_none() {
        assert_eq!(run(&[0.0], 0.04, ALL).0, [0]);
        assert_eq!(run(&[5.0], 0.0, ALL).0, [0]);
        assert_eq!(run(&[0.0, 0.0, 0.0], 0.04, ALL).0.len(), 1);
        assert!(run(&[], 0.04, ALL).0.is_empty());
    }

    #[test]
    fn an_error_ends_the_stream() {
        let fail = || signclip_common::Error::usage("broken", "fix it");
        let source = (0..10).map(|i| match i {
            5 => Err(fail()),
            _ => Ok(Timed { time: i as f64 / 25.0, duration: 0.04, frame: i }),
        });
        let out: Vec<_> = Resampler::new(source, 25.0, ALL).collect();
        assert!(out.last().is_some_and(Result::is_err));
        assert!(out.len() <= 6 && out[..out.len() - 1].iter().all(Result::is_ok));
    }
}
