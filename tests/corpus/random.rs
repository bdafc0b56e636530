//! A tiny random generator (SplitMix64), so that a corpus is a pure function of its seed: the same on every
//! machine and for every number of threads, and never changed by the update of a dependency.

pub(crate) struct Random(u64);

impl Random {
    /// The stream that belongs to one purpose (a clip's name, say) under one seed. Streams of different names
    /// are independent, so that no clip depends on how many others were drawn before it.
    pub(crate) fn named(seed: u64, name: &str) -> Self {
        let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut random = Self(seed ^ fnv);
        Self(random.next() ^ fnv.rotate_left(32))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `end` (which is small here: the bias of the multiplication is far below 2^-32).
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1u32 << 24) as f32;
        low + (high - low) * unit
    }

    /// At least 0 and less than 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Symmetric about zero, bell-shaped, never beyond `limit`.
    pub(crate) fn spread(&mut self, limit: f32) -> f32 {
        (self.between(-limit, limit) + self.between(-limit, limit) + self.between(-limit, limit)) / 3.0
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// A shuffled deck that is refilled when empty: every card comes up equally often, as plain draws would only
/// do in a far larger corpus. Rare words could not be learned from 240 sentences.
pub(crate) struct Deck {
    size: usize,
    left: Vec<usize>,
}

impl Deck {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, left: Vec::new() }
    }

    pub(crate) fn draw(&mut self, random: &mut Random) -> usize {
        loop {
            if let Some(card) = self.left.pop() {
                return card;
            }
            self.left = (0..self.size).collect();
            random.shuffle(&mut self.left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_splitmix64() {
        // Reference values of Vigna's splitmix64.c for the seed 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_deck_is_fair() {
        let mut random = Random::named(1, "deck");
        let mut deck = Deck::new(7);
        let mut seen = [0; 7];
        (0..70).for_each(|_| seen[deck.draw(&mut random)] += 1);
        assert_eq!(seen, [10; 7]);
    }
}
