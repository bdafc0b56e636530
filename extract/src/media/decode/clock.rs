//! When each frame is shown, from time stamps that may be missing, stand still, or start again.

use std::collections::VecDeque;

/// As many gaps as tell the usual one.
const REMEMBERED: usize = 31;
/// Fewer gaps tell nothing.
const ENOUGH: usize = 3;

/// Presentation times of one stream.
pub(super) struct Clock {
    last: Option<f64>,
    shift: f64,
    /// The last time stamp did not advance.
    stuck: bool,
    /// Gaps between the last frames.
    gaps: VecDeque<f64>,
    /// Time between two frames on average, as the header says.
    stated: f64,
}

impl Clock {
    /// For a stream whose header speaks of a frame every `stated` seconds.
    pub(super) fn new(stated: f64) -> Self {
        Self { last: None, shift: 0.0, stuck: false, gaps: VecDeque::new(), stated }
    }

    /// Time of the frame before.
    pub(super) fn last(&self) -> Option<f64> {
        self.last
    }

    /// Time of the next frame, whose own time stamp says `stamp` seconds; never earlier than the one before.
    pub(super) fn tick(&mut self, stamp: Option<f64>) -> f64 {
        let Some(last) = self.last else { return *self.last.insert(stamp.unwrap_or(0.0)) };
        let period = self.period();
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
        self.gaps.push_back(time - last);
        if self.gaps.len() > REMEMBERED {
            self.gaps.pop_front();
        }
        *self.last.insert(time)
    }

    /// The usual time between two frames: what the header says, unless the frames themselves have shown another. An
    /// average over a recording that stood still for a while is many times the usual gap.
    pub(super) fn period(&self) -> f64 {
        if self.gaps.len() < ENOUGH {
            return self.stated;
        }
        let mut gaps: Vec<f64> = self.gaps.iter().copied().collect();
        let (_, median, _) = gaps.select_nth_unstable_by(self.gaps.len() / 2, f64::total_cmp);
        let median = *median;
        if median > 0.0 && !(0.6..1.7).contains(&(self.stated / median)) { median } else { self.stated }
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn bad_time_stamps() {
        let run = |stamps: &[Option<f64>]| {
            let mut clock = Clock::new(0.04);
            stamps.iter().map(|&stamp| clock.tick(stamp)).collect::<Vec<_>>()
        };
        let near =
            |a: Vec<f64>, b: &[f64]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?}");
        near(run(&[None; 4]), &[0.0, 0.04, 0.08, 0.12]);
        near(run(&[Some(1.4), None, Some(1.48)]), &[1.4, 1.44, 1.48]);
        near(run(&[Some(5.0), Some(5.04), Some(1.0), Some(1.04)]), &[5.0, 5.04, 5.08, 5.12]);
        near(run(&[Some(0.04), Some(0.03), Some(0.08)]), &[0.04, 0.04, 0.08]);
        near(run(&[Some(0.0); 6]), &[0.0, 0.0, 0.04, 0.08, 0.12, 0.16]);
    }

    #[test]
    fn the_usual_gap_is_not_the_average() {
        let mut clock = Clock::new(0.8);
        assert_eq!(clock.period(), 0.8);
        for stamp in [0.0, 0.04, 0.08, 0.12, 75.12, 75.16] {
            clock.tick(Some(stamp));
        }
        assert!((clock.period() - 0.04).abs() < 1e-9, "{}", clock.period());
        // Jitter changes nothing.
        let mut clock = Clock::new(1.0 / 24.0);
        for stamp in [0.0, 0.042, 0.083, 0.125, 0.167] {
            clock.tick(Some(stamp));
        }
        assert_eq!(clock.period(), 1.0 / 24.0);
    }
}
