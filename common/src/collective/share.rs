//! Who takes which part.

use std::ops::Range;

/// Part of `total` things that rank `rank` of `size` takes: consecutive ones, the first ranks one more where they do not
/// divide evenly.
pub fn share(total: usize, rank: usize, size: usize) -> Range<usize> {
    let (each, more) = (total / size, total % size);
    let first = rank * each + rank.min(more);
    first..first + each + usize::from(rank < more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_consecutive_and_even() {
        let shares = |total, size| (0..size).map(|r| share(total, r, size)).collect::<Vec<_>>();
        assert_eq!(shares(16, 2), [0..8, 8..16]);
        assert_eq!(shares(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(shares(1, 2), [0..1, 1..1]);
    }
}
