//! A corpus with something to gain, in three levels. All have the same sentences: words with the frequencies of Zipf's
//! law, slots that depend on each other, four pairs that only the mouth tells apart, and signs that nobody mouths.
//! `noisy` adds hands and lips that are not certain, so that each tells something of the other; `lagged` moves the lips
//! against the hands as well. Without a level a corpus is the demo's, where the hands are certain.
//!
//! What is between a sentence and what is drawn of it is a channel: a few numbers, from which `best.rs` computes how
//! much of a sentence can be known at all.

use serde::{Deserialize, Serialize};

use crate::grammar::Sentence;
use crate::lexicon::{Form, Language, Word};
use crate::mouthing::{Mouthing, Viseme};
use crate::random::Random;
use crate::sign::{Mouthed, Sign};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Certain hands; the mouth is needed for the pairs alone.
    Clean,
    /// Hands and lip shapes that are now and then those of another word.
    Noisy,
    /// Noisy, and the lips are early or late, by one number of frames in each clip.
    Lagged,
}

/// How often something goes wrong, in percent, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Channel {
    /// Signs without mouthing.
    pub(crate) unmouthed: usize,
    /// Lip shapes of a mouthing that are the one they look like ([`look_alike`]) instead.
    pub(crate) confused: usize,
    /// Signs whose hands are not quite right: half of them are [`Form::neighbour`], half are midway to it.
    pub(crate) wrong_hands: usize,
    /// Most frames that the lips of a clip are early or late.
    pub(crate) lag: usize,
}

/// What the hands show.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Form(&'static Form),
    /// Midway between a form and its neighbour.
    Between(&'static Form, &'static Form),
}

/// A sign as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) hands: Seen,
    pub(crate) lips: Option<Vec<Viseme>>,
}

/// The signs of one clip, and how much later than the hands its lips are, in frames.
#[derive(Debug)]
pub(crate) struct Utterance {
    pub(crate) signs: Vec<Sign>,
    pub(crate) lag: isize,
    /// Frames at rest at both ends that keep a lip shape of the first or last sign from being cut off.
    pub(crate) margin: usize,
}

impl Level {
    pub(crate) fn channel(self) -> Channel {
        let clean = Channel { unmouthed: 30, confused: 0, wrong_hands: 0, lag: 0 };
        let noisy = Channel { confused: 20, wrong_hands: 15, ..clean };
        match self {
            Level::Clean => clean,
            Level::Noisy => noisy,
            Level::Lagged => Channel { lag: 8, ..noisy },
        }
    }
}

/// The viseme that one is taken for.
pub(crate) fn look_alike(viseme: Viseme) -> Viseme {
    match viseme {
        Viseme::A | Viseme::L => Viseme::E,
        Viseme::E => Viseme::A,
        Viseme::I => Viseme::S,
        Viseme::S => Viseme::I,
        Viseme::O | Viseme::Sh => Viseme::U,
        Viseme::U => Viseme::O,
        Viseme::M => Viseme::F,
        Viseme::F => Viseme::M,
        Viseme::Rest => Viseme::Rest,
    }
}

impl Channel {
    /// What is shown of a word. Every number is drawn, whether it is needed or not, so that two levels of one corpus
    /// differ only in what their rates differ in.
    pub(crate) fn show(
        &self,
        form: &'static Form,
        word: &Word,
        language: Language,
        random: &mut Random,
    ) -> Shown {
        let mut happens = |percent: usize| random.below(100) < percent;
        let [wrong, halfway, unmouthed] = [happens(self.wrong_hands), happens(50), happens(self.unmouthed)];
        let shape = |viseme: &Viseme| if happens(self.confused) { look_alike(*viseme) } else { *viseme };
        let lips: Vec<Viseme> =
            Mouthing::of_word(word.mouthed(language)).visemes().iter().map(shape).collect();
        let hands = match (wrong, halfway) {
            (false, _) => Seen::Form(form),
            (true, false) => Seen::Form(form.neighbour()),
            (true, true) => Seen::Between(form, form.neighbour()),
        };
        Shown { hands, lips: (!unmouthed).then_some(lips) }
    }

    fn lag(&self, random: &mut Random) -> isize {
        random.below(2 * self.lag + 1) as isize - self.lag as isize
    }
}

impl Shown {
    fn sign(self) -> Sign {
        let (hands, blurred) = match self.hands {
            Seen::Form(form) => (form.hands(), None),
            Seen::Between(form, other) => (form.hands(), Some(other.hands())),
        };
        let mouthed = if self.lips.is_some() { Mouthed::Always } else { Mouthed::Never };
        Sign { hands, blurred, mouthing: Mouthing::of_visemes(self.lips.unwrap_or_default()), mouthed }
    }
}

impl Utterance {
    /// The sentence of the clip of this name.
    pub(crate) fn of(
        sentence: &Sentence,
        level: Option<Level>,
        language: Language,
        seed: u64,
        name: &str,
    ) -> Self {
        let Some(level) = level else {
            return Self { signs: sentence.signs(language), lag: 0, margin: 0 };
        };
        let channel = level.channel();
        let mut random = Random::named(seed, &format!("{name} channel"));
        let lag = channel.lag(&mut random);
        let signs =
            sentence.words.iter().map(|(form, word)| channel.show(form, word, language, &mut random).sign());
        Self { signs: signs.collect(), lag, margin: channel.lag }
    }
}
