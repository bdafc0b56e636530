//! The dictionary: every sign with its gloss, its place in the grammar, what it means in two languages and what
//! the hands do. The mouth forms the last word of the phrase, in the language of the corpus.
//!
//! No sign is made in front of the mouth, so that the lips can be read throughout.

use crate::geometry::{Point, at};
use crate::handshape::{
    BEAK, CLAW, ELL, FIST, FLAT, FOUR, HORNS, INDEX, LITTLE, OPEN, THREE, THUMB, VEE, WYE,
};
use crate::mouthing::Mouthing;
use crate::sign::Movement::{Arc, Circle, Line, Shake, Twist};
use crate::sign::{Hands, Sign};

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

#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) gloss: &'static str,
    pub(crate) slot: Slot,
    german: &'static str,
    english: &'static str,
    hands: Hands,
}

impl Word {
    /// With the function words that the sign implies: nobody signs the "in the" of "up north".
    pub(crate) fn phrase(&self, language: Language) -> &'static str {
        match language {
            Language::German => self.german,
            Language::English => self.english,
        }
    }

    pub(crate) fn sign(&self, language: Language) -> Sign {
        let phrase = self.phrase(language);
        let spoken = phrase.rsplit(' ').next().unwrap_or(phrase).trim_matches('"');
        Sign { hands: self.hands, mouthing: Mouthing::of_word(spoken) }
    }
}

const fn word(
    gloss: &'static str,
    slot: Slot,
    german: &'static str,
    english: &'static str,
    hands: Hands,
) -> Word {
    Word { gloss, slot, german, english, hands }
}

// Places in front of the body, of the right hand (left in the picture).
const TEMPLE: Point = at(-46.0, 44.0);
const CHEEK: Point = at(-45.0, 84.0);
const HIGH: Point = at(-74.0, 42.0);
const SIDE: Point = at(-66.0, 105.0);
const CHEST: Point = at(-8.0, 150.0);
const ACROSS: Point = at(50.0, 132.0);

// One line a sign, so that signs can be compared.
#[rustfmt::skip]
pub(crate) static LEXICON: &[Word] = &[
    word("HEUTE", Slot::Day, "heute", "today", Hands::both(FLAT, at(-32.0, 160.0), -20.0).moving(Line(0.0, 34.0))),
    word("MORGEN", Slot::Day, "morgen", "tomorrow", Hands::one(THUMB, CHEEK, 0.0).moving(Arc(-34.0, -20.0, 14.0))),
    word("MONTAG", Slot::Day, "am montag", "on Monday", Hands::one(FLAT, SIDE, 0.0).moving(Shake(0.0, 26.0))),
    word("DIENSTAG", Slot::Day, "am dienstag", "on Tuesday", Hands::one(VEE, HIGH, 0.0).moving(Circle(14.0))),
    word("MITTWOCH", Slot::Day, "am mittwoch", "on Wednesday", Hands::one(FLAT, TEMPLE, 0.0).facing(0.0).moving(Line(-4.0, 64.0))),
    word("FREITAG", Slot::Day, "am freitag", "on Friday", Hands::one(HORNS, at(-38.0, 30.0), 50.0).moving(Line(-38.0, 6.0))),
    word("SONNTAG", Slot::Day, "am sonntag", "on Sunday", Hands::both(OPEN, at(-54.0, 70.0), -10.0).facing(-1.0).moving(Arc(-16.0, 60.0, 14.0))),
    word("NORD", Slot::Place, "im norden", "up north", Hands::one(INDEX, at(-56.0, 110.0), 0.0).moving(Line(0.0, -80.0))),
    word("SUED", Slot::Place, "im süden", "down south", Hands::one(INDEX, at(-50.0, 120.0), 180.0).moving(Line(0.0, 74.0))),
    word("OST", Slot::Place, "im osten", "in the east", Hands::one(INDEX, CHEST, 90.0).moving(Line(74.0, -4.0))),
    word("WEST", Slot::Place, "im westen", "out west", Hands::one(INDEX, CHEST, -90.0).moving(Line(-74.0, -4.0))),
    word("KUESTE", Slot::Place, "an der küste", "on the coast", Hands::both(FLAT, at(-16.0, 190.0), -90.0).moving(Line(-56.0, 0.0))),
    word("ALPEN", Slot::Place, "in den alpen", "in the Alps", Hands::both(FLAT, at(-66.0, 200.0), 45.0).moving(Line(46.0, -62.0))),
    word("STADT", Slot::Place, "in den städten", "across cities", Hands::one(FIST, at(0.0, 145.0), 0.0).moving(Shake(0.0, 24.0)).on(FLAT, at(6.0, 192.0), -90.0)),
    word("RHEIN", Slot::Place, "am rhein", "near \"Dover\"", Hands::one(ELL, at(-70.0, 60.0), 0.0).moving(Arc(50.0, 130.0, 30.0))),
    word("VIEL", Slot::Amount, "viel", "much", Hands::both(CLAW, at(-24.0, 150.0), 0.0).moving(Line(-50.0, -16.0)).becoming(OPEN)),
    word("WENIG", Slot::Amount, "wenig", "little", Hands::one(BEAK, at(-56.0, 140.0), 0.0).moving(Twist(80.0))),
    word("KAUM", Slot::Amount, "kaum", "hardly any", Hands::one(LITTLE, at(-64.0, 78.0), 0.0).moving(Shake(-16.0, 0.0))),
    word("ETWAS", Slot::Amount, "etwas", "some", Hands::one(OPEN, at(-50.0, 172.0), -70.0).moving(Shake(22.0, 0.0))),
    word("MEHR", Slot::Amount, "mehr", "more", Hands::one(FLAT, at(0.0, 186.0), 90.0).moving(Line(0.0, -56.0)).on(FLAT, at(8.0, 204.0), -90.0)),
    word("NUR", Slot::Amount, "nur", "only", Hands::one(INDEX, HIGH, -45.0).moving(Twist(90.0))),
    word("REGEN", Slot::Weather, "regen", "rain", Hands::both(FOUR, at(-52.0, 52.0), 180.0).moving(Shake(0.0, 34.0))),
    word("SCHNEE", Slot::Weather, "schnee", "snow", Hands::both(OPEN, at(-58.0, 40.0), 165.0).moving(Arc(14.0, 110.0, -18.0))),
    word("SONNE", Slot::Weather, "sonne", "sun", Hands::one(BEAK, at(-74.0, 40.0), 75.0).becoming(OPEN)),
    word("NEBEL", Slot::Weather, "nebel", "fog", Hands::both(FLAT, at(-42.0, 145.0), 90.0).facing(-1.0).moving(Shake(0.0, -32.0))),
    word("GEWITTER", Slot::Weather, "gewitter", "thunder", Hands::both(INDEX, at(-44.0, 28.0), 20.0).moving(Line(-34.0, 96.0))),
    word("HAGEL", Slot::Weather, "hagel", "hail", Hands::both(FIST, at(-50.0, 110.0), 0.0).moving(Shake(0.0, 60.0))),
    word("FROST", Slot::Weather, "frost", "frost", Hands::both(CLAW, at(-30.0, 176.0), 0.0).moving(Shake(-12.0, 0.0))),
    word("WIND", Slot::Weather, "wind", "wind", Hands::one(OPEN, at(-82.0, 140.0), 70.0).moving(Arc(130.0, 0.0, -20.0))),
    word("KOMMEN", Slot::Verb, "kommt", "comes", Hands::both(INDEX, at(-84.0, 120.0), 90.0).moving(Line(58.0, 46.0))),
    word("BLEIBEN", Slot::Verb, "bleibt", "stays", Hands::both(WYE, at(-44.0, 140.0), 0.0).moving(Line(0.0, 46.0))),
    word("ENDEN", Slot::Verb, "endet", "ends", Hands::both(FIST, at(-18.0, 140.0), 0.0).moving(Line(-46.0, 44.0)).becoming(OPEN)),
    word("DROHEN", Slot::Verb, "droht", "threatens", Hands::one(FIST, at(-66.0, 48.0), 0.0).moving(Shake(-14.0, -20.0))),
    word("FOLGEN", Slot::Verb, "folgt", "follows", Hands::one(THUMB, at(-60.0, 158.0), 0.0).moving(Line(60.0, 0.0)).on(THUMB, at(48.0, 150.0), 0.0)),
    word("ZIEHEN", Slot::Verb, "zieht", "moves", Hands::one(BEAK, ACROSS, 60.0).moving(Line(-116.0, 50.0))),
    word("NULL", Slot::Number, "null", "zero", Hands::one(BEAK, at(-62.0, 90.0), 0.0).moving(Circle(16.0))),
    word("ZWEI", Slot::Number, "zwei", "two", Hands::one(VEE, SIDE, 0.0)),
    word("FUENF", Slot::Number, "fünf", "five", Hands::one(OPEN, SIDE, 0.0)),
    word("ACHT", Slot::Number, "acht", "eight", Hands::one(THREE, at(-58.0, 110.0), 0.0).on(OPEN, at(58.0, 110.0), 0.0)),
    word("ZEHN", Slot::Number, "zehn", "ten", Hands::both(OPEN, at(-56.0, 112.0), 0.0)),
    word("ZWOELF", Slot::Number, "zwölf", "twelve", Hands::one(VEE, at(-60.0, 130.0), -90.0).moving(Twist(90.0)).on(FIST, at(52.0, 130.0), 0.0)),
    word("ZWANZIG", Slot::Number, "zwanzig", "twenty", Hands::one(ELL, SIDE, 0.0).moving(Twist(-70.0))),
    word("DREISSIG", Slot::Number, "dreißig", "thirty", Hands::one(THREE, at(-58.0, 130.0), 0.0).moving(Line(-24.0, -6.0)).becoming(BEAK)),
    word("WARM", Slot::Feel, "warm", "warm", Hands::one(OPEN, at(-14.0, 206.0), 90.0).facing(-1.0).moving(Line(0.0, -66.0))),
    word("KALT", Slot::Feel, "kalt", "cold", Hands::both(FIST, at(16.0, 140.0), 40.0).facing(-1.0).moving(Shake(8.0, 0.0))),
    word("MILD", Slot::Feel, "mild", "mild", Hands::one(FLAT, CHEEK, 10.0).facing(-1.0).moving(Shake(0.0, -22.0))),
    word("HEISS", Slot::Feel, "heiß", "hot", Hands::one(CLAW, TEMPLE, 30.0).moving(Line(-36.0, 40.0))),
    word("KUEHL", Slot::Feel, "kühl", "cool", Hands::both(FLAT, at(-50.0, 92.0), 15.0).facing(-1.0).moving(Shake(-26.0, 0.0))),
    word("TROCKEN", Slot::Feel, "trocken", "dry", Hands::one(HORNS, at(-40.0, 132.0), 60.0).moving(Line(60.0, 10.0))),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glosses_and_phrases_are_unique() {
        for (index, word) in LEXICON.iter().enumerate() {
            for other in &LEXICON[..index] {
                assert_ne!(word.gloss, other.gloss);
                assert_ne!(word.german, other.german);
                assert_ne!(word.english, other.english);
            }
        }
    }

    #[test]
    fn every_word_has_two_to_four_visemes() {
        for language in [Language::German, Language::English] {
            for word in LEXICON {
                let visemes = word.sign(language).mouthing.visemes().len();
                assert!((2..=4).contains(&visemes), "{}: {visemes}", word.phrase(language));
            }
        }
    }

    #[test]
    fn the_mouth_is_never_hidden() {
        for word in LEXICON {
            for step in 0..=10 {
                let (right, left) = word.hands.pose(step as f32 / 10.0, 1.05);
                for hand in [Some(right), left].into_iter().flatten() {
                    // From the palm to the finger tips of a flat hand.
                    for reach in [0.0, 16.0, 32.0] {
                        let part = hand.palm + at(0.0, -reach).turned(hand.angle);
                        let near = part.x.abs() < 20.0 && (66.0..100.0).contains(&part.y);
                        assert!(!near, "{} at step {step}: {part:?}", word.gloss);
                    }
                }
            }
        }
    }
}
