//! A small weather report in two languages. The text follows from the signs alone; the signs follow from
//! nothing: slots are filled independently of each other, clauses come in several orders. A model that does not look
//! at the video can learn the melody, not the words.
//!
//! A sentence is made in two steps: an outline, which says what the hands do, and then the words, where the hands leave
//! two to choose from. So the choice can be dealt out evenly to each split, and is known from nothing but the mouth.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::lexicon::{Form, LEXICON, Language, Slot, Word};
use crate::random::{Deck, Random};
use crate::sign::Sign;

#[derive(Clone, Debug)]
pub(crate) struct Sentence {
    /// In the order of signing.
    pub(crate) words: Vec<(&'static Form, &'static Word)>,
    pub(crate) text: String,
}

impl Sentence {
    pub(crate) fn glosses(&self) -> String {
        self.words.iter().map(|(_, word)| word.gloss).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn signs(&self, language: Language) -> Vec<Sign> {
        self.words.iter().map(|(form, word)| form.sign(word, language)).collect()
    }
}

/// A sentence before its words are chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outline {
    /// Places in the lexicon, in the order of signing.
    forms: Vec<usize>,
    spoken: Vec<Spoken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spoken {
    /// The phrase of the sign of this place.
    Sign(usize),
    /// A function word.
    Text(&'static str),
}

impl Outline {
    pub(crate) fn forms(&self) -> impl Iterator<Item = &'static Form> {
        self.forms.iter().map(|&form| &LEXICON[form])
    }

    /// The sentence with, for each of its forms, the word of this place.
    pub(crate) fn sentence(&self, choices: &[usize], language: Language) -> Sentence {
        let words: Vec<_> =
            self.forms().zip(choices).map(|(form, &choice)| (form, &form.words[choice])).collect();
        let mut text = String::new();
        for spoken in &self.spoken {
            say(
                &mut text,
                match *spoken {
                    Spoken::Sign(place) => words[place].1.phrase(language),
                    Spoken::Text(text) => text,
                },
            );
        }
        if language == Language::English {
            text[..1].make_ascii_uppercase();
            text.push('.');
        }
        Sentence { words, text }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Day,
    Weather,
    Heat,
}
use Part::{Day, Heat, Weather};

/// Those with more sentences in them come more often.
const STRUCTURES: &[&[Part]] = &[
    &[Weather, Heat],
    &[Weather, Heat],
    &[Weather, Heat],
    &[Heat, Weather],
    &[Heat, Weather],
    &[Heat, Weather],
    &[Day, Weather],
    &[Day, Weather],
    &[Weather, Day],
    &[Weather, Day],
    &[Day, Heat],
    &[Heat, Day],
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

/// Deals out outlines.
struct Grammar {
    language: Language,
    structures: Deck,
    clauses: [Deck; 2],
    /// By slot, in the order in which slots are declared.
    forms: Vec<(Vec<usize>, Deck)>,
}

impl Grammar {
    fn new(language: Language) -> Self {
        let slots: BTreeSet<Slot> = LEXICON.iter().map(|form| form.slot).collect();
        let forms = slots.into_iter().map(|slot| {
            let forms: Vec<_> = (0..LEXICON.len()).filter(|&form| LEXICON[form].slot == slot).collect();
            let deck = Deck::new(forms.len());
            (forms, deck)
        });
        Self {
            language,
            structures: Deck::new(STRUCTURES.len()),
            clauses: [Deck::new(WEATHER.len()), Deck::new(HEAT.len())],
            forms: forms.collect(),
        }
    }

    /// A form for the slot that the sentence does not have yet.
    fn form(&mut self, slot: Slot, taken: &[usize], random: &mut Random) -> usize {
        let (forms, deck) = &mut self.forms[slot as usize];
        loop {
            let form = forms[deck.draw(random)];
            if !taken.contains(&form) {
                return form;
            }
        }
    }

    fn outline(&mut self, random: &mut Random) -> Outline {
        let structure = STRUCTURES[self.structures.draw(random)];
        let (mut forms, mut spoken) = (Vec::new(), Vec::new());
        let mut clause_before = None;
        for &part in structure {
            let clause = match part {
                Day => {
                    spoken.push(Spoken::Sign(forms.len()));
                    forms.push(self.form(Slot::Day, &forms, random));
                    continue;
                }
                Weather => &WEATHER[self.clauses[0].draw(random)],
                Heat => &HEAT[self.clauses[1].draw(random)],
            };
            if let Some(before) = clause_before.replace(part) {
                spoken.push(Spoken::Text(joint(before, part, self.language)));
            }
            let first = forms.len();
            for &slot in clause.slots {
                forms.push(self.form(slot, &forms, random));
            }
            let pattern = if self.language == Language::German { clause.german } else { clause.english };
            spoken.extend(pattern.iter().map(|piece| match piece.parse::<usize>() {
                Ok(place) => Spoken::Sign(first + place),
                Err(_) => Spoken::Text(piece),
            }));
        }
        Outline { forms, spoken }
    }
}

fn say(text: &mut String, piece: &str) {
    if !text.is_empty() && !piece.starts_with(',') {
        text.push(' ');
    }
    text.push_str(piece);
}

/// `count` different outlines.
pub(crate) fn outlines(count: usize, language: Language, random: &mut Random) -> Result<Vec<Outline>> {
    let mut grammar = Grammar::new(language);
    let mut seen = BTreeSet::new();
    let mut outlines = Vec::new();
    for _ in 0..count.saturating_mul(20) {
        if outlines.len() == count {
            break;
        }
        let outline = grammar.outline(random);
        if seen.insert(outline.clone()) {
            outlines.push(outline);
        }
    }
    if outlines.len() < count {
        bail!("the grammar has no {count} different sentences: ask for fewer with --clips");
    }
    Ok(outlines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences with a random choice of words.
    fn sentences(count: usize, language: Language, seed: u64) -> Vec<Sentence> {
        let mut random = Random::named(seed, "test");
        let outlines = outlines(count, language, &mut random).unwrap();
        let mut sentence = |outline: &Outline| {
            let choices: Vec<usize> = outline.forms().map(|form| random.below(form.words.len())).collect();
            outline.sentence(&choices, language)
        };
        outlines.iter().map(&mut sentence).collect()
    }

    #[test]
    fn german_looks_like_the_corpus() {
        for sentence in sentences(500, Language::German, 1) {
            let words = sentence.text.split(' ').count();
            assert!((3..=12).contains(&words), "{}", sentence.text);
            assert!(sentence.text.chars().all(|c| matches!(c, 'a'..='z' | 'ä' | 'ö' | 'ü' | 'ß' | ' ')));
        }
    }

    #[test]
    fn english_is_written_english() {
        let sentences = sentences(500, Language::English, 1);
        assert!(sentences.iter().all(|s| s.text.ends_with('.') && s.text.as_bytes()[0].is_ascii_uppercase()));
        assert!(sentences.iter().any(|s| s.text.contains('"')));
    }

    #[test]
    fn the_signs_decide_the_text() {
        // Two sentences with the same signs would be one clip with two right answers.
        for language in [Language::German, Language::English] {
            let sentences = sentences(3000, language, 2);
            let glosses: BTreeSet<String> = sentences.iter().map(Sentence::glosses).collect();
            assert_eq!(glosses.len(), sentences.len());
        }
    }
}
