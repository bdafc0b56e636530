//! A small weather report in two languages. The text follows from the signs alone, and clauses come in several orders.
//! The signs follow from nothing where words are used evenly: slots are filled independently of each other, and a model
//! that does not look at the video can learn the melody, not the words. In natural usage a form has the frequency of its
//! rank, and depends on the one before it in the clause ([`probability`]).
//!
//! A sentence is made in two steps: an outline, which says what the hands do, and then the words, where the hands leave
//! two to choose from. So the choice can be dealt out evenly to each split, and is known from nothing but the mouth.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::lexicon::{Form, LEXICON, Language, Slot, Usage, Word, of_slot};
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

const DAY: &[Slot] = &[Slot::Day];

/// The kinds of sentences, equally probable: for each part of one the rows of slots that are equally probable in it.
pub(crate) fn kinds() -> impl Iterator<Item = Vec<Vec<&'static [Slot]>>> {
    let rows = |part: &Part| match part {
        Day => vec![DAY],
        Weather => WEATHER.iter().map(|clause| clause.slots).collect(),
        Heat => HEAT.iter().map(|clause| clause.slots).collect(),
    };
    STRUCTURES.iter().map(move |parts| parts.iter().map(rows).collect())
}

/// How often, of two slots of a clause, the form of the first brings that of the same rank in the second with it.
const TOGETHER: f64 = 0.5;

/// How probable a form is in natural usage, in its slot, after the one before it in the clause: by Zipf's law (the n-th
/// of a slot 1/n times as often as the first), and half of the time the one of the rank of the form before it.
pub(crate) fn probability(form: &Form, before: Option<&Form>) -> f64 {
    let rank =
        |form: &Form| of_slot(form.slot).position(|other| other.name() == form.name()).unwrap_or_default();
    let many = of_slot(form.slot).count();
    let zipf = 1.0 / (rank(form) + 1) as f64 / (1..=many).map(|n| 1.0 / n as f64).sum::<f64>();
    match before {
        None => zipf,
        Some(before) if rank(before) % many == rank(form) => TOGETHER + (1.0 - TOGETHER) * zipf,
        Some(_) => (1.0 - TOGETHER) * zipf,
    }
}

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
pub(crate) struct Grammar {
    language: Language,
    usage: Usage,
    structures: Deck,
    clauses: [Deck; 2],
    /// By slot, in the order in which slots are declared.
    forms: Vec<(Vec<usize>, Deck)>,
}

impl Grammar {
    pub(crate) fn new(language: Language, usage: Usage) -> Self {
        let slots: BTreeSet<Slot> = LEXICON.iter().map(|form| form.slot).collect();
        let forms = slots.into_iter().map(|slot| {
            let forms: Vec<_> = (0..LEXICON.len()).filter(|&form| LEXICON[form].slot == slot).collect();
            let deck = Deck::new(forms.len());
            (forms, deck)
        });
        Self {
            language,
            usage,
            structures: Deck::new(STRUCTURES.len()),
            clauses: [Deck::new(WEATHER.len()), Deck::new(HEAT.len())],
            forms: forms.collect(),
        }
    }

    /// A form for the next slot of a sentence whose clause begins with the form at `first`.
    fn form(&mut self, slot: Slot, sentence: &[usize], first: usize, random: &mut Random) -> usize {
        match self.usage {
            Usage::Even => self.even(slot, sentence, random),
            Usage::Natural => self.natural(slot, sentence[first..].last().copied(), random),
        }
    }

    /// By the probability of each, whether the sentence has it already or not.
    fn natural(&self, slot: Slot, before: Option<usize>, random: &mut Random) -> usize {
        let (forms, _) = &self.forms[slot as usize];
        let mut left = random.unit();
        let drawn = forms.iter().find(|&&form| {
            left -= probability(&LEXICON[form], before.map(|before| &LEXICON[before]));
            left < 0.0
        });
        // The sum of the probabilities may be a little less than 1.
        *drawn.unwrap_or(&forms[0])
    }

    /// One that the sentence does not have yet.
    fn even(&mut self, slot: Slot, taken: &[usize], random: &mut Random) -> usize {
        let (forms, deck) = &mut self.forms[slot as usize];
        loop {
            let form = forms[deck.draw(random)];
            if !taken.contains(&form) {
                return form;
            }
        }
    }

    pub(crate) fn outline(&mut self, random: &mut Random) -> Outline {
        let structure = STRUCTURES[self.structures.draw(random)];
        let (mut forms, mut spoken) = (Vec::new(), Vec::new());
        let mut clause_before = None;
        for &part in structure {
            let clause = match part {
                Day => {
                    spoken.push(Spoken::Sign(forms.len()));
                    forms.push(self.form(Slot::Day, &forms, forms.len(), random));
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
                forms.push(self.form(slot, &forms, first, random));
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

/// `count` outlines: different ones where words are used evenly, else as they come.
pub(crate) fn outlines(
    count: usize,
    language: Language,
    usage: Usage,
    random: &mut Random,
) -> Result<Vec<Outline>> {
    let mut grammar = Grammar::new(language, usage);
    if usage == Usage::Natural {
        return Ok((0..count).map(|_| grammar.outline(random)).collect());
    }
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
        let outlines = outlines(count, language, Usage::Even, &mut random).unwrap();
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

    /// Counted by hand: of the six weather words rain has 1 / (1 + 1/2 + ... + 1/6) = 20/49; after the third of seven
    /// places the third has half and half of its own; the seventh place brings the first.
    #[test]
    fn zipf_and_company() {
        let of = |name: &str| LEXICON.iter().find(|form| form.name() == name).unwrap();
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got} {want}");
        close(probability(of("REGEN"), None), 20.0 / 49.0);
        close(probability(of("WIND"), Some(of("KUESTE"))), 0.5 + 0.5 * 20.0 / 147.0);
        close(probability(of("REGEN"), Some(of("LAND"))), 0.5 + 0.5 * 20.0 / 49.0);
        close(probability(of("HAGEL"), Some(of("NORD"))), 0.5 * 20.0 / 294.0);
        for form in LEXICON {
            close(of_slot(Slot::Number).map(|number| probability(number, Some(form))).sum(), 1.0);
        }
    }

    /// As often as their probabilities say, within five standard deviations.
    #[test]
    fn natural_words_have_their_frequencies() {
        const MANY: usize = 20_000;
        let mut random = Random::named(1, "test");
        let outlines = outlines(MANY, Language::German, Usage::Natural, &mut random).unwrap();
        let rain = |form: &&Form| form.name() == "REGEN";
        let all = outlines.iter().flat_map(Outline::forms).filter(|form| form.slot == Slot::Weather);
        // A weather word begins one clause in four; the others come after a place or an amount.
        let (seen, all) = (outlines.iter().flat_map(Outline::forms).filter(rain).count(), all.count());
        let first = probability(&LEXICON[15], None);
        assert_eq!(LEXICON[15].name(), "REGEN");
        let after = |slot: Slot| {
            let share = |before| probability(before, None) * probability(&LEXICON[15], Some(before));
            of_slot(slot).map(share).sum::<f64>()
        };
        // Place, amount, weather: of the amounts as they come after places.
        let amount = |amount: &'static Form| {
            of_slot(Slot::Place)
                .map(|place| probability(place, None) * probability(amount, Some(place)))
                .sum::<f64>()
        };
        let third =
            of_slot(Slot::Amount).map(|a| amount(a) * probability(&LEXICON[15], Some(a))).sum::<f64>();
        let expected = 0.25 * (first + after(Slot::Amount) + after(Slot::Place) + third);
        let deviation = (expected * (1.0 - expected) / all as f64).sqrt();
        let share = seen as f64 / all as f64;
        assert!((share - expected).abs() < 5.0 * deviation, "{share} {expected}");
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
