//! The dictionary: what the hands do, and what it means in two languages. The mouth forms the last word of the phrase,
//! in the language of the corpus.
//!
//! Some forms of the hands have two words, which only the mouth tells apart ("regen" and "schauer"); some words look
//! the same on the lips and are told apart by the hands ("im tal" and "auf dem land"). No sign is made in front of the
//! mouth; a hand gets there between the signs only.

use crate::geometry::{Point, at};
use crate::handshape::{BEAK, CLAW, ELL, FIST, FLAT, FOUR, HORNS, INDEX, LITTLE, OPEN, THUMB, VEE, WYE};
use crate::mouthing::Mouthing;
use crate::sign::Movement::{Arc, Circle, Line, Shake, Twist};
use crate::sign::{Hands, Mouthed, Sign};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Day,
    Place,
    Amount,
    Weather,
    Verb,
    Number,
    Feel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    German,
    English,
}

/// How the words are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Every form equally often, whatever is beside it, and all pairs of words.
    Even,
    /// As in a language: some forms often and some seldom, and some often together; four pairs of words.
    Natural,
}

/// The first words of the four pairs. None is of a slot that a sentence can have twice.
const FIRST_OF_PAIRS: [&str; 4] = ["HEUTE", "REGEN", "WIND", "KALT"];

/// One sign in so many is not mouthed: seldom where the hands have two meanings, often where they say it all.
const SILENT: [usize; 2] = [2, 25];

/// What the hands do, its place in the grammar, and the word or the two words that it can mean.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) slot: Slot,
    /// All of them; see [`Form::words`].
    pub(crate) words: &'static [Word],
    hands: Hands,
}

impl Form {
    /// The words that it can mean.
    pub(crate) fn words(&self, usage: Usage) -> &'static [Word] {
        match usage {
            Usage::Natural if !FIRST_OF_PAIRS.contains(&self.name()) => &self.words[..1],
            _ => self.words,
        }
    }

    /// Whether only the mouth says which word is meant.
    pub(crate) fn is_ambiguous(&self, usage: Usage) -> bool {
        self.words(usage).len() > 1
    }

    /// The gloss of its first word.
    pub(crate) fn name(&self) -> &'static str {
        self.words[0].gloss
    }

    pub(crate) fn hands(&self) -> Hands {
        self.hands
    }

    /// The form of the same slot that it is taken for: one of a pair for the other; the last three of an odd number in
    /// a ring.
    pub(crate) fn neighbour(&self) -> &'static Form {
        let slot: Vec<&Form> = of_slot(self.slot).collect();
        let place = slot.iter().position(|form| form.name() == self.name()).unwrap_or_default();
        let ring = if slot.len().is_multiple_of(2) { slot.len() } else { slot.len() - 3 };
        if place < ring { slot[place ^ 1] } else { slot[ring + (place + 1 - ring) % 3] }
    }

    /// The sign for one of its words.
    pub(crate) fn sign(&self, word: &Word, language: Language) -> Sign {
        Sign {
            hands: self.hands,
            blurred: None,
            mouthing: Mouthing::of_word(word.mouthed(language)),
            mouthed: Mouthed::AllButOneIn(SILENT[usize::from(self.is_ambiguous(Usage::Even))]),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) gloss: &'static str,
    german: &'static str,
    english: &'static str,
    /// What the lips form instead of the last word, in German and English.
    lips: Option<[&'static str; 2]>,
}

impl Word {
    /// With the function words that the sign implies: nobody signs the "in the" of "up north".
    pub(crate) fn phrase(&self, language: Language) -> &'static str {
        match language {
            Language::German => self.german,
            Language::English => self.english,
        }
    }

    /// The last word of the phrase.
    pub(crate) fn last(&self, language: Language) -> &'static str {
        let phrase = self.phrase(language);
        phrase.rsplit(' ').next().unwrap_or(phrase).trim_matches('"')
    }

    /// What the lips form.
    pub(crate) fn mouthed(&self, language: Language) -> &'static str {
        self.lips.map_or(self.last(language), |[german, english]| match language {
            Language::German => german,
            Language::English => english,
        })
    }

    const fn on_the_lips(mut self, german: &'static str, english: &'static str) -> Self {
        self.lips = Some([german, english]);
        self
    }
}

const fn word(gloss: &'static str, german: &'static str, english: &'static str) -> Word {
    Word { gloss, german, english, lips: None }
}

const fn form(slot: Slot, words: &'static [Word], hands: Hands) -> Form {
    Form { slot, words, hands }
}

/// The forms of a slot.
pub(crate) fn of_slot(slot: Slot) -> impl Iterator<Item = &'static Form> {
    LEXICON.iter().filter(move |form| form.slot == slot)
}

/// The pairs of words that only the mouth tells apart, in lower case, as `ambiguous.json` lists them.
pub(crate) fn ambiguous(language: Language, usage: Usage) -> Vec<[String; 2]> {
    let pair = |form: &Form| match form.words(usage) {
        [one, other] => Some([one, other].map(|word| word.last(language).to_lowercase())),
        _ => None,
    };
    LEXICON.iter().filter_map(pair).collect()
}

// Places in front of the body, of the right hand (left in the picture).
const TEMPLE: Point = at(-46.0, 44.0);
const CHEEK: Point = at(-45.0, 84.0);
const HIGH: Point = at(-74.0, 42.0);
const SIDE: Point = at(-66.0, 105.0);
const CHEST: Point = at(-8.0, 150.0);
const ACROSS: Point = at(50.0, 132.0);

// One line a form, so that forms can be compared.
#[rustfmt::skip]
pub(crate) static LEXICON: &[Form] = &[
    form(Slot::Day, &[word("HEUTE", "heute", "today"), word("JETZT", "jetzt", "now")], Hands::both(FLAT, at(-32.0, 160.0), -20.0).moving(Line(0.0, 34.0))),
    form(Slot::Day, &[word("MORGEN", "morgen", "tomorrow")], Hands::one(THUMB, CHEEK, 0.0).moving(Arc(-34.0, -20.0, 14.0))),
    form(Slot::Day, &[word("DIENSTAG", "am dienstag", "on Tuesday"), word("FREITAG", "am freitag", "on Friday")], Hands::one(VEE, HIGH, 0.0).moving(Circle(14.0))),
    form(Slot::Day, &[word("SONNTAG", "am sonntag", "on Sunday")], Hands::both(OPEN, at(-54.0, 70.0), -10.0).facing(-1.0).moving(Arc(-16.0, 60.0, 14.0))),
    form(Slot::Place, &[word("NORD", "im norden", "up north")], Hands::one(INDEX, at(-56.0, 110.0), 0.0).moving(Line(0.0, -80.0))),
    form(Slot::Place, &[word("SUED", "im süden", "down south")], Hands::one(INDEX, at(-50.0, 120.0), 180.0).moving(Line(0.0, 74.0))),
    form(Slot::Place, &[word("KUESTE", "an der küste", "on the coast")], Hands::both(FLAT, at(-16.0, 190.0), -90.0).moving(Line(-56.0, 0.0))),
    form(Slot::Place, &[word("RHEIN", "am rhein", "near \"Dover\""), word("ELBE", "an der elbe", "near \"Calais\"")], Hands::one(ELL, at(-70.0, 60.0), 0.0).moving(Arc(50.0, 130.0, 30.0))),
    form(Slot::Place, &[word("STADT", "in der stadt", "in town"), word("DORF", "im dorf", "in a village")], Hands::one(FIST, at(0.0, 145.0), 0.0).moving(Shake(0.0, 24.0)).on(FLAT, at(6.0, 192.0), -90.0)),
    form(Slot::Place, &[word("TAL", "im tal", "in the valley")], Hands::one(INDEX, CHEST, 90.0).moving(Line(74.0, -4.0))),
    form(Slot::Place, &[word("LAND", "auf dem land", "in the country").on_the_lips("land", "valley")], Hands::one(INDEX, CHEST, -90.0).moving(Line(-74.0, -4.0))),
    form(Slot::Amount, &[word("VIEL", "viel", "much")], Hands::both(CLAW, at(-24.0, 150.0), 0.0).moving(Line(-50.0, -16.0)).becoming(OPEN)),
    form(Slot::Amount, &[word("WENIG", "wenig", "little")], Hands::one(BEAK, at(-56.0, 140.0), 0.0).moving(Twist(80.0))),
    form(Slot::Amount, &[word("KAUM", "kaum", "hardly any")], Hands::one(LITTLE, at(-64.0, 78.0), 0.0).moving(Shake(-16.0, 0.0))),
    form(Slot::Amount, &[word("MEHR", "mehr", "more")], Hands::one(FLAT, at(0.0, 186.0), 90.0).moving(Line(0.0, -56.0)).on(FLAT, at(8.0, 204.0), -90.0)),
    form(Slot::Weather, &[word("REGEN", "regen", "rain"), word("SCHAUER", "schauer", "showers")], Hands::both(FOUR, at(-52.0, 52.0), 180.0).moving(Shake(0.0, 34.0))),
    form(Slot::Weather, &[word("SCHNEE", "schnee", "snow"), word("FROST", "frost", "frost")], Hands::both(OPEN, at(-58.0, 40.0), 165.0).moving(Arc(14.0, 110.0, -18.0))),
    form(Slot::Weather, &[word("WIND", "wind", "wind"), word("STURM", "sturm", "storms")], Hands::one(OPEN, at(-82.0, 140.0), 70.0).moving(Arc(130.0, 0.0, -20.0))),
    form(Slot::Weather, &[word("SONNE", "sonne", "sun"), word("HITZE", "hitze", "glare")], Hands::one(BEAK, at(-74.0, 40.0), 75.0).becoming(OPEN)),
    form(Slot::Weather, &[word("NEBEL", "nebel", "fog")], Hands::both(FLAT, at(-42.0, 145.0), 90.0).facing(-1.0).moving(Shake(0.0, -32.0))),
    form(Slot::Weather, &[word("HAGEL", "hagel", "hail")], Hands::both(FIST, at(-50.0, 110.0), 0.0).moving(Shake(0.0, 60.0))),
    form(Slot::Verb, &[word("KOMMEN", "kommt", "comes")], Hands::both(INDEX, at(-84.0, 120.0), 90.0).moving(Line(58.0, 46.0))),
    form(Slot::Verb, &[word("BLEIBEN", "bleibt", "stays")], Hands::both(WYE, at(-44.0, 140.0), 0.0).moving(Line(0.0, 46.0))),
    form(Slot::Verb, &[word("ENDEN", "endet", "ends")], Hands::both(FIST, at(-18.0, 140.0), 0.0).moving(Line(-46.0, 44.0)).becoming(OPEN)),
    form(Slot::Verb, &[word("ZIEHEN", "zieht", "moves")], Hands::one(BEAK, ACROSS, 60.0).moving(Line(-116.0, 50.0))),
    form(Slot::Number, &[word("NULL", "null", "zero")], Hands::one(BEAK, at(-62.0, 90.0), 0.0).moving(Circle(16.0))),
    form(Slot::Number, &[word("ZWEI", "zwei", "two")], Hands::one(VEE, SIDE, 0.0)),
    form(Slot::Number, &[word("FUENF", "fünf", "five")], Hands::one(OPEN, SIDE, 0.0)),
    form(Slot::Number, &[word("ZEHN", "zehn", "ten")], Hands::both(OPEN, at(-56.0, 112.0), 0.0)),
    form(Slot::Number, &[word("ZWANZIG", "zwanzig", "twenty")], Hands::one(ELL, SIDE, 0.0).moving(Twist(-70.0))),
    form(Slot::Feel, &[word("KALT", "kalt", "cold"), word("KUEHL", "kühl", "chilly")], Hands::both(FIST, at(16.0, 140.0), 40.0).facing(-1.0).moving(Shake(8.0, 0.0))),
    form(Slot::Feel, &[word("WARM", "warm", "warm"), word("HEISS", "heiß", "hot")], Hands::one(OPEN, at(-14.0, 206.0), 90.0).facing(-1.0).moving(Line(0.0, -66.0))),
    form(Slot::Feel, &[word("MILD", "mild", "mild")], Hands::one(FLAT, CHEEK, 10.0).facing(-1.0).moving(Shake(0.0, -22.0))),
    form(Slot::Feel, &[word("NASS", "nass", "wet")], Hands::one(HORNS, at(-40.0, 132.0), 60.0).moving(Line(60.0, 10.0))),
    form(Slot::Feel, &[word("FEUCHT", "feucht", "damp").on_the_lips("nass", "wet")], Hands::one(CLAW, TEMPLE, 30.0).moving(Line(-36.0, 40.0))),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    const LANGUAGES: [Language; 2] = [Language::German, Language::English];

    fn words() -> impl Iterator<Item = (&'static Form, &'static Word)> {
        LEXICON.iter().flat_map(|form| form.words.iter().map(move |word| (form, word)))
    }

    /// No word of one phrase is the last word of another: who sees "regen" in a text knows that REGEN was signed.
    #[test]
    fn a_word_belongs_to_one_sign() {
        let glosses: BTreeSet<&str> = words().map(|(_, word)| word.gloss).collect();
        assert_eq!(glosses.len(), words().count());
        for language in LANGUAGES {
            for (_, word) in words() {
                let last = word.last(language);
                let has = |phrase: &str| phrase.split(' ').any(|part| part.trim_matches('"') == last);
                assert_eq!(words().filter(|(_, other)| has(other.phrase(language))).count(), 1, "{last}");
            }
        }
    }

    #[test]
    fn every_word_has_two_to_four_visemes() {
        for language in LANGUAGES {
            for (form, word) in words() {
                let visemes = form.sign(word, language).mouthing.visemes().len();
                assert!((2..=4).contains(&visemes), "{}: {visemes}", word.phrase(language));
            }
        }
    }

    /// The two words of a form differ on the lips, and there are words of one slot that do not.
    #[test]
    fn the_mouth_tells_some_apart_and_not_others() {
        for language in LANGUAGES {
            let lips = |form: &Form, word: &Word| form.sign(word, language).mouthing;
            let mut alike: BTreeMap<(Slot, String), Vec<&str>> = BTreeMap::new();
            for form in LEXICON {
                if let [one, other] = form.words {
                    let (one, other) = (lips(form, one), lips(form, other));
                    let only = |a: &Mouthing, b: &Mouthing| {
                        a.visemes().iter().filter(|viseme| !b.visemes().contains(viseme)).count()
                    };
                    assert!(only(&one, &other) + only(&other, &one) >= 2, "{one:?} {other:?}");
                }
            }
            for (form, word) in words() {
                let key = (form.slot, format!("{:?}", lips(form, word)));
                alike.entry(key).or_default().push(word.gloss);
            }
            let alike: Vec<Vec<&str>> = alike.into_values().filter(|glosses| glosses.len() > 1).collect();
            assert!(alike.contains(&vec!["TAL", "LAND"]), "{alike:?}");
            assert!(alike.contains(&vec!["NASS", "FEUCHT"]), "{alike:?}");
        }
    }

    #[test]
    fn no_sign_hides_the_mouth() {
        for form in LEXICON {
            for step in 0..=10 {
                let (right, left) = form.hands.pose(step as f32 / 10.0, 1.05);
                for hand in [Some(right), left].into_iter().flatten() {
                    // From the palm to the finger tips of a flat hand.
                    for reach in [0.0, 16.0, 32.0] {
                        let part = hand.palm + at(0.0, -reach).turned(hand.angle);
                        let near = part.x.abs() < 20.0 && (66.0..100.0).contains(&part.y);
                        assert!(!near, "{} at step {step}: {part:?}", form.name());
                    }
                }
            }
        }
    }

    /// Two forms are taken for each other, or three in a ring; none for itself or for one of another slot.
    #[test]
    fn neighbours() {
        for form in LEXICON {
            let other = form.neighbour();
            assert!(other.slot == form.slot && other.name() != form.name(), "{}", form.name());
            let back = [other.neighbour(), other.neighbour().neighbour()];
            assert!(back.iter().any(|back| back.name() == form.name()), "{}", form.name());
        }
        assert_eq!(LEXICON[0].neighbour().name(), "MORGEN");
    }

    #[test]
    fn four_pairs() {
        assert_eq!(
            ambiguous(Language::German, Usage::Natural).concat(),
            ["heute", "jetzt", "regen", "schauer", "wind", "sturm", "kalt", "kühl"]
        );
        assert_eq!(ambiguous(Language::English, Usage::Even).len(), 10);
    }
}
