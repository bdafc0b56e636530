//! A small weather report in two languages. The text follows from the signs alone; the signs follow from
//! nothing: slots are filled independently of each other, clauses come in several orders, and no run of four
//! words is without two free ones. A model that does not look at the video can learn the melody, not the words.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::lexicon::{LEXICON, Language, Slot, Word};
use crate::random::{Deck, Random};

#[derive(Clone, Debug)]
pub(crate) struct Sentence {
    /// In the order of signing.
    pub(crate) words: Vec<&'static Word>,
    pub(crate) text: String,
}

impl Sentence {
    pub(crate) fn glosses(&self) -> String {
        self.words.iter().map(|word| word.gloss).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Day,
    Weather,
    Heat,
}
use Part::{Day, Heat, Weather};

const STRUCTURES: &[&[Part]] = &[
    &[Day, Weather, Heat],
    &[Weather, Day, Heat],
    &[Weather, Heat, Day],
    &[Day, Heat, Weather],
    &[Heat, Day, Weather],
    &[Heat, Weather, Day],
    &[Weather, Heat],
    &[Heat, Weather],
    &[Day, Weather],
    &[Weather, Day],
    &[Weather, Weather],
];

/// Order of the signs, and what is said: a number stands for the sign of that place, the rest are the function
/// words of German and English. The kinds of the signs decide between the clauses, so that the order of the
/// spoken words, where it differs, can be known from the signing.
struct Clause {
    slots: &'static [Slot],
    german: &'static [&'static str],
    english: &'static [&'static str],
}

const WEATHER: [Clause; 4] = [
    Clause {
        slots: &[Slot::Place, Slot::Amount, Slot::Weather],
        german: &["0", "1", "2"],
        english: &["0", "1", "2"],
    },
    Clause {
        slots: &[Slot::Amount, Slot::Weather, Slot::Place],
        german: &["0", "1", "2"],
        english: &["0", "1", "2"],
    },
    Clause {
        slots: &[Slot::Weather, Slot::Place, Slot::Verb],
        german: &["0", "2", "1"],
        english: &["0", "2", "1"],
    },
    Clause {
        slots: &[Slot::Place, Slot::Weather, Slot::Verb],
        german: &["0", "2", "1"],
        english: &["0", "1", "2"],
    },
];

const HEAT: [Clause; 4] = [
    Clause {
        slots: &[Slot::Number, Slot::Feel],
        german: &["0", "grad und", "1"],
        english: &["0", "degrees and", "1"],
    },
    Clause {
        slots: &[Slot::Feel, Slot::Number],
        german: &["0", "bei", "1", "grad"],
        english: &["0", "at", "1", "degrees"],
    },
    Clause { slots: &[Slot::Feel, Slot::Place], german: &["0", "1"], english: &["0", "1"] },
    Clause {
        slots: &[Slot::Number, Slot::Place],
        german: &["0", "grad", "1"],
        english: &["0", "degrees", "1"],
    },
];

/// What joins two clauses, by their kinds.
fn joint(before: Part, after: Part, language: Language) -> &'static str {
    match (before, after, language) {
        (_, Heat, Language::German) => "dazu",
        (Heat, _, Language::German) => "dann",
        (_, _, Language::German) => "und",
        (_, Heat, Language::English) => ", with",
        (Heat, _, Language::English) => ", then",
        (_, _, Language::English) => ", and",
    }
}

/// Deals out sentences.
struct Grammar {
    language: Language,
    structures: Deck,
    clauses: [Deck; 2],
    words: Vec<(Vec<&'static Word>, Deck)>,
}

impl Grammar {
    fn new(language: Language) -> Self {
        let slots: BTreeSet<Slot> = LEXICON.iter().map(|word| word.slot).collect();
        let words = slots.into_iter().map(|slot| {
            let words: Vec<_> = LEXICON.iter().filter(|word| word.slot == slot).collect();
            let deck = Deck::new(words.len());
            (words, deck)
        });
        Self {
            language,
            structures: Deck::new(STRUCTURES.len()),
            clauses: [Deck::new(WEATHER.len()), Deck::new(HEAT.len())],
            words: words.collect(),
        }
    }

    /// A word for the slot that the sentence does not have yet.
    fn word(&mut self, slot: Slot, taken: &[&'static Word], random: &mut Random) -> &'static Word {
        // `Slot` is ordered as declared, and so are the decks.
        let (words, deck) = &mut self.words[slot as usize];
        loop {
            let word = words[deck.draw(random)];
            if taken.iter().all(|other| other.gloss != word.gloss) {
                return word;
            }
        }
    }

    fn sentence(&mut self, random: &mut Random) -> Sentence {
        let structure = STRUCTURES[self.structures.draw(random)];
        let mut words: Vec<&'static Word> = Vec::new();
        let mut text = String::new();
        let mut clause_before = None;
        for &part in structure {
            let clause = match part {
                Day => {
                    let word = self.word(Slot::Day, &words, random);
                    words.push(word);
                    say(&mut text, word.phrase(self.language));
                    continue;
                }
                Weather => &WEATHER[self.clauses[0].draw(random)],
                Heat => &HEAT[self.clauses[1].draw(random)],
            };
            if let Some(before) = clause_before.replace(part) {
                say(&mut text, joint(before, part, self.language));
            }
            let first = words.len();
            for &slot in clause.slots {
                let word = self.word(slot, &words, random);
                words.push(word);
            }
            let pattern = if self.language == Language::German { clause.german } else { clause.english };
            for piece in pattern {
                let spoken = piece.parse::<usize>().map(|place| words[first + place].phrase(self.language));
                say(&mut text, spoken.unwrap_or(piece));
            }
        }
        if self.language == Language::English {
            text[..1].make_ascii_uppercase();
            text.push('.');
        }
        Sentence { words, text }
    }
}

fn say(text: &mut String, piece: &str) {
    if !text.is_empty() && !piece.starts_with(',') {
        text.push(' ');
    }
    text.push_str(piece);
}

/// A sentence of more words is drawn again.
const LONGEST: usize = 12;

/// `count` different sentences.
pub(crate) fn sentences(count: usize, language: Language, random: &mut Random) -> Result<Vec<Sentence>> {
    let mut grammar = Grammar::new(language);
    let mut texts = BTreeSet::new();
    let mut sentences = Vec::new();
    for _ in 0..count.saturating_mul(20) {
        if sentences.len() == count {
            break;
        }
        let sentence = grammar.sentence(random);
        if sentence.text.split(' ').count() <= LONGEST && texts.insert(sentence.text.clone()) {
            sentences.push(sentence);
        }
    }
    if sentences.len() < count {
        bail!("the grammar has no {count} different sentences: ask for fewer with --clips");
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn german_looks_like_the_corpus() {
        let sentences = sentences(500, Language::German, &mut Random::named(1, "test")).unwrap();
        for sentence in &sentences {
            let words = sentence.text.split(' ').count();
            assert!((5..=LONGEST).contains(&words), "{}", sentence.text);
            assert!(sentence.text.chars().all(|c| matches!(c, 'a'..='z' | 'ä' | 'ö' | 'ü' | 'ß' | ' ')));
        }
    }

    #[test]
    fn english_is_written_english() {
        let sentences = sentences(500, Language::English, &mut Random::named(1, "test")).unwrap();
        assert!(sentences.iter().all(|s| s.text.ends_with('.') && s.text.as_bytes()[0].is_ascii_uppercase()));
        assert!(sentences.iter().any(|s| s.text.contains('"')));
    }

    #[test]
    fn the_signs_decide_the_text() {
        // Two sentences with the same signs would be one clip with two right answers.
        for language in [Language::German, Language::English] {
            let sentences = sentences(3000, language, &mut Random::named(2, "test")).unwrap();
            let glosses: BTreeSet<String> = sentences.iter().map(Sentence::glosses).collect();
            assert_eq!(glosses.len(), sentences.len());
        }
    }
}
