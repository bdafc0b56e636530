//! Frames of a clip in which no mouth was found: what was missed, for how long, and which of it is too long to be
//! interpolated.

use crate::media::reading::TARGET_FPS;

/// Seconds from which on a gap is named in the summary and marked on the contact sheet.
pub const NAMED: f64 = 2.0;

/// What is known about the mouth in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Mouth,
    NoFace,
    /// There is a face, but its mouth lies outside of the picture.
    Outside,
    /// No face was looked for in this frame.
    NotLooked,
}

/// The gaps of one clip, each as its first and its last frame.
#[derive(Debug, Default)]
pub struct Gaps {
    closed: Vec<[usize; 2]>,
    open: Option<Open>,
}

/// Frames without a mouth up to now.
#[derive(Debug)]
struct Open {
    first: usize,
    last: usize,
    /// A face was looked for in at least one of the frames. Frames that nobody looked at are not a gap.
    missed: bool,
}

impl Gaps {
    /// The next frame.
    pub fn push(&mut self, frame: usize, seen: Seen) {
        if seen == Seen::Mouth {
            return self.close();
        }
        let open = self.open.get_or_insert(Open { first: frame, last: frame, missed: false });
        open.last = frame;
        open.missed |= seen != Seen::NotLooked;
    }

    /// The clip has ended, or a mouth is there again.
    pub fn close(&mut self) {
        if let Some(open) = self.open.take().filter(|open| open.missed) {
            self.closed.push([open.first, open.last]);
        }
    }

    /// The gap that a frame lies in.
    pub fn at(&self, frame: usize) -> Option<[usize; 2]> {
        let after = self.closed.partition_point(|[first, _]| *first <= frame);
        self.closed[..after].last().copied().filter(|[_, last]| frame <= *last)
    }

    pub fn all(self) -> Vec<[usize; 2]> {
        self.closed
    }
}

/// How long a gap is.
pub fn seconds([first, last]: [usize; 2]) -> f64 {
    (last + 1 - first) as f64 / TARGET_FPS
}

/// From when to when a gap is.
pub fn times([first, last]: [usize; 2]) -> [f64; 2] {
    [first as f64 / TARGET_FPS, (last + 1) as f64 / TARGET_FPS]
}

/// The gaps that are to be named, with their times.
pub fn long(gaps: &[[usize; 2]]) -> (Vec<[usize; 2]>, Vec<[f64; 2]>) {
    gaps.iter().copied().filter(|gap| seconds(*gap) > NAMED).map(|gap| (gap, times(gap))).unzip()
}

/// The times of gaps for people, at most so many: `1.2-4.0 s, 7.5-10.0 s and 2 more`.
pub fn text(times: &[[f64; 2]], most: usize) -> String {
    let shown: Vec<String> =
        times.iter().take(most).map(|[from, to]| format!("{from:.1}-{to:.1} s")).collect();
    let rest = times.len().saturating_sub(most);
    shown.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_frames_in_which_a_mouth_was_missed() {
        let mut gaps = Gaps::default();
        // Looked at every third frame: missed in frame 6, and at the end.
        let found = |frame: usize| !matches!(frame, 6 | 15 | 18);
        for frame in 0..20 {
            let looked = frame % 3 == 0;
            gaps.push(
                frame,
                match (looked, found(frame)) {
                    (false, _) => Seen::NotLooked,
                    (true, true) => Seen::Mouth,
                    (true, false) => {
                        if frame == 6 {
                            Seen::NoFace
                        } else {
                            Seen::Outside
                        }
                    }
                },
            );
        }
        assert_eq!(gaps.at(5), Some([4, 8]));
        assert_eq!((gaps.at(3), gaps.at(9), gaps.at(19)), (None, None, None));
        gaps.close();
        assert_eq!(gaps.at(19), Some([13, 19]));
        assert_eq!(gaps.all(), [[4, 8], [13, 19]]);
    }

    #[test]
    fn times_of_gaps() {
        assert_eq!(seconds([50, 99]), 2.0);
        let gaps = [[25, 99], [100, 100], [200, 249]].map(times);
        assert_eq!(text(&gaps, 2), "1.0-4.0 s, 4.0-4.0 s and 1 more");
        assert_eq!(text(&gaps[..1], 2), "1.0-4.0 s");
    }
}
