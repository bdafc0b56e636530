//! The whole numbers that `numpy.random.default_rng(12345)` draws, so that resamples are those of sacreBLEU.
//!
//! References: O'Neill, *PCG* (2014), the generator XSL RR 128/64; Lemire, *Fast Random Integer Generation in an
//! Interval* (2019); numpy 2.4, where each 64-bit number serves two draws, its lower half first. No deviations.

/// PCG XSL RR 128/64, drawing 32 bits at a time.
pub struct Generator {
    state: u128,
    /// Upper half of the last 64-bit number, not used yet.
    spare: Option<u32>,
}

/// The seed of [`Generator::seeded`].
pub const SEED: u64 = 12345;

const MULTIPLIER: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;
/// What numpy makes of the seed: `numpy.random.default_rng(12345).bit_generator.state`.
const STATE: u128 = 33_261_208_707_367_790_463_622_745_601_869_196_757;
const INCREMENT: u128 = 268_209_174_141_567_072_605_526_753_992_732_310_247;

impl Generator {
    /// At the first number of [`SEED`].
    pub fn seeded() -> Self {
        Self { state: STATE, spare: None }
    }

    /// Far from there on the same circle of 2^128 numbers: what it draws is independent of what [`Self::seeded`] does.
    pub fn elsewhere() -> Self {
        Self { state: !STATE, spare: None }
    }

    /// Uniform from 0 to `n - 1`. As in numpy, nothing is drawn where `n` is 1.
    pub fn below(&mut self, n: u32) -> u32 {
        if n <= 1 {
            return 0;
        }
        // The upper half of a 64-bit product is uniform once the few lower halves that are too many are drawn again.
        let too_many = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= too_many {
                return (product >> 32) as u32;
            }
        }
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(upper) = self.spare.take() {
            return upper;
        }
        let both = self.next_u64();
        self.spare = Some((both >> 32) as u32);
        both as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by numpy 2.4.6:
    ///
    /// ```python
    /// a = numpy.random.default_rng(12345).choice(n, size=(rows, n), replace=True)
    /// print(a[0, :5], a[-1, -5:], a.sum())
    /// ```
    #[test]
    fn as_numpy_draws_them() {
        for (n, rows, first, last, sum) in [
            (3, 1000, vec![2, 0, 2], vec![2, 1, 1], 2944),
            (642, 1000, vec![448, 145, 506, 203, 131], vec![73, 153, 320, 609, 300], 205_649_299),
            (
                35_000,
                20,
                vec![24472, 7956, 27602, 11086, 7146],
                vec![25341, 26332, 12664, 18910, 922],
                12_238_664_030,
            ),
        ] {
            let mut generator = Generator::seeded();
            let drawn: Vec<u32> = (0..rows * n).map(|_| generator.below(n)).collect();
            assert!(drawn.starts_with(&first) && drawn.ends_with(&last), "{n}");
            assert_eq!(drawn.iter().map(|&i| u64::from(i)).sum::<u64>(), sum, "{n}");
        }
        assert_eq!(Generator::seeded().below(1), 0);
    }
}
