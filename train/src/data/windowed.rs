//! Which streams of a long clip are cut, and which rows of a stream lie in a cut.

use serde::{Deserialize, Serialize};
use signclip_common::store::RowRule;

/// The streams that are cut where a clip is longer than the cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Windowed {
    #[default]
    All,
    /// The spatial one; all rows of others stay (SpaMo).
    Spatial,
}

/// First row and number of rows of a stream whose windows lie in `taken` frames from `first` on, of a clip of `frames`; one
/// row where none does.
pub(super) fn rows_in(rule: RowRule, first: usize, taken: usize, frames: usize) -> (usize, usize) {
    let all = rule.rows(frames);
    let begin = first.div_ceil(rule.stride).min(all - 1);
    let end = (first + taken).checked_sub(rule.window).map_or(0, |last| last / rule.stride + 1);
    (begin, end.min(all).saturating_sub(begin).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_cut_are_those_whose_windows_lie_in_it() {
        let motion = RowRule { window: 16, stride: 8 };
        // Rows of a clip of 64 frames begin at frames 0, 8, 16, 24, 32, 40 and 48.
        for (first, taken, wanted) in [
            (0, 64, (0, 7)),
            (0, 32, (0, 3)),
            (1, 32, (1, 2)),
            (8, 16, (1, 1)),
            (9, 15, (2, 1)),
            (60, 4, (6, 1)),
        ] {
            assert_eq!(rows_in(motion, first, taken, 64), wanted, "{first} {taken}");
        }
        assert_eq!(rows_in(motion, 0, 5, 5), (0, 1));
        assert_eq!(rows_in(RowRule::EACH_FRAME, 3, 4, 9), (3, 4));
    }
}
