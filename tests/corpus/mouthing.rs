//! Mouthings: the lips form the spoken word that goes with a sign. A word is cut into visemes (sounds that look
//! alike) by its spelling; a viseme is a lip shape.

use crate::geometry::Blend;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Viseme {
    Rest,
    /// a: wide open.
    A,
    /// e, ä: half open, a little wide.
    E,
    /// i: wide and narrow, teeth show.
    I,
    /// o, ö: round and open.
    O,
    /// u, ü: small and pursed.
    U,
    /// m, b, p: pressed together.
    M,
    /// f, v, w: lower lip under the upper teeth.
    F,
    /// s, z: teeth nearly closed.
    S,
    /// sch: pursed forward, teeth show.
    Sh,
    /// l, d, t, n: slightly open, tongue up.
    L,
}

/// Lip shape in units of the mean face (whose mouth is 45 wide at rest).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mouth {
    pub(crate) half_width: f32,
    /// Height of the gap between the lips.
    pub(crate) gap: f32,
    /// Thickness of the lips relative to rest.
    pub(crate) lips: f32,
    /// How far the lower lip is drawn under the upper teeth, 0..1.
    pub(crate) bite: f32,
    /// How much of the upper teeth shows, 0..1.
    pub(crate) teeth: f32,
    pub(crate) tongue: f32,
}

impl Viseme {
    pub(crate) fn mouth(self) -> Mouth {
        let (half_width, gap, lips, bite, teeth, tongue) = match self {
            Viseme::Rest => (21.0, 0.0, 0.95, 0.0, 0.0, 0.0),
            Viseme::A => (22.0, 27.0, 0.95, 0.0, 0.6, 0.3),
            Viseme::E => (25.5, 13.0, 0.9, 0.0, 0.7, 0.0),
            Viseme::I => (29.0, 6.5, 0.75, 0.0, 1.0, 0.0),
            Viseme::O => (14.5, 20.0, 1.25, 0.0, 0.0, 0.0),
            Viseme::U => (10.0, 7.0, 1.6, 0.0, 0.0, 0.0),
            Viseme::M => (19.0, 0.0, 0.45, 0.0, 0.0, 0.0),
            Viseme::F => (21.0, 4.0, 0.8, 1.0, 1.0, 0.0),
            Viseme::S => (24.0, 8.0, 0.85, 0.0, 1.0, 0.0),
            Viseme::Sh => (14.5, 10.0, 1.7, 0.0, 1.0, 0.0),
            Viseme::L => (19.5, 12.0, 0.9, 0.0, 0.4, 1.0),
        };
        Mouth { half_width, gap, lips, bite, teeth, tongue }
    }
}

impl Blend for Mouth {
    fn blend(self, other: Self, share: f32) -> Self {
        Self {
            half_width: self.half_width.blend(other.half_width, share),
            gap: self.gap.blend(other.gap, share),
            lips: self.lips.blend(other.lips, share),
            bite: self.bite.blend(other.bite, share),
            teeth: self.teeth.blend(other.teeth, share),
            tongue: self.tongue.blend(other.tongue, share),
        }
    }
}

/// Two to four visemes; none where nothing is mouthed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mouthing(Vec<Viseme>);

/// Longest spelling first. Sounds made behind the teeth (k, g, h, ch) do not show and are left out.
const SPELLINGS: &[(&str, &[Viseme])] = &[
    ("sch", &[Viseme::Sh]),
    ("sh", &[Viseme::Sh]),
    ("ch", &[]),
    ("th", &[Viseme::S]),
    ("ei", &[Viseme::A, Viseme::I]),
    ("ai", &[Viseme::E, Viseme::I]),
    ("au", &[Viseme::A, Viseme::U]),
    ("eu", &[Viseme::O, Viseme::I]),
    ("ie", &[Viseme::I]),
    ("ee", &[Viseme::I]),
    ("oo", &[Viseme::U]),
    ("ow", &[Viseme::O, Viseme::U]),
    ("a", &[Viseme::A]),
    ("ä", &[Viseme::E]),
    ("e", &[Viseme::E]),
    ("i", &[Viseme::I]),
    ("y", &[Viseme::I]),
    ("o", &[Viseme::O]),
    ("ö", &[Viseme::O]),
    ("u", &[Viseme::U]),
    ("ü", &[Viseme::U]),
    ("m", &[Viseme::M]),
    ("b", &[Viseme::M]),
    ("p", &[Viseme::M]),
    ("f", &[Viseme::F]),
    ("v", &[Viseme::F]),
    ("w", &[Viseme::F]),
    ("s", &[Viseme::S]),
    ("z", &[Viseme::S]),
    ("ß", &[Viseme::S]),
    ("l", &[Viseme::L]),
    ("d", &[Viseme::L]),
    ("t", &[Viseme::L]),
    ("n", &[Viseme::L]),
];

impl Mouthing {
    pub(crate) fn of_word(word: &str) -> Self {
        const MOST: usize = 4;
        let word = word.to_lowercase();
        let mut visemes = Vec::new();
        let mut rest = word.as_str();
        while let Some(first) = rest.chars().next() {
            let spelling = SPELLINGS.iter().find(|(letters, _)| rest.starts_with(letters));
            visemes.extend(spelling.map_or(&[][..], |(_, visemes)| visemes));
            rest = &rest[spelling.map_or(first.len_utf8(), |(letters, _)| letters.len())..];
        }
        visemes.dedup();
        // At signing speed four lip shapes fit into a word. The tongue sounds show least and go first.
        while visemes.len() > MOST {
            let weakest = visemes.iter().rposition(|&v| v == Viseme::L).unwrap_or(visemes.len() - 2);
            visemes.remove(weakest);
            visemes.dedup();
        }
        if visemes.len() == 1 {
            visemes.push(Viseme::Rest);
        }
        Self(visemes)
    }

    pub(crate) fn of_visemes(visemes: Vec<Viseme>) -> Self {
        Self(visemes)
    }

    pub(crate) fn visemes(&self) -> &[Viseme] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_lip_shapes() {
        use Viseme::*;
        assert_eq!(Mouthing::of_word("schnee").visemes(), [Sh, L, I]);
        assert_eq!(Mouthing::of_word("zwei").visemes(), [S, F, A, I]);
        assert_eq!(Mouthing::of_word("Alps").visemes(), [A, L, M, S]);
        assert_eq!(Mouthing::of_word("hagel").visemes(), [A, E, L]);
        assert_eq!(Mouthing::of_word("null").visemes(), [L, U, L]);
    }
}
