//! The best scores that a level allows, computed from what makes its clips: what somebody would reach who knows the
//! grammar and the channel, and sees every hand and every lip shape that is drawn. No model can do better on average.
//!
//! The signs of a clause are a chain: P(forms) = p(f1) p(f2 | f1) p(f3 | f2), of [`probability`]; the words of a pair
//! are equally probable; what is shown of a sign depends on its form f and word w alone:
//!
//! ```text
//! P(hands | f)  = 1 - c: f;  c/2: its neighbour;  c/2: midway      c: wrong hands
//! P(lips | w)   = u: none;  (1 - u) Π over its visemes: 1 - e for itself, e for the one it looks like
//! ```
//!
//! * A sentence is right where all its words are. The best guess after evidence E is the most probable sentence, so that
//!   the share of right ones is Σ_E max_s P(s, E). Clauses are independent, so that it is the product of theirs.
//! * A case of an ambiguous word is right where the word is said. The best guess is the most probable word of those that
//!   belong to a pair: Σ_E max_w P(w, E) for each sign, over the probability that a sign is ambiguous. Both are not
//!   reached by one translation: where the hands are not certain, the most probable word may belong to no pair.
//!
//! E is everything that can be seen of a clause. Evidence of a sign that weighs its words alike is one in this sum.
//! The lag of the lips costs nothing here: it is one number for a clip, and seen where lips and hands are compared.
//! Not counted: the sentences of train, which those of test are not; hands that pass in front of the mouth.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::grammar::{kinds, probability};
use crate::level::{Channel, Level, look_alike};
use crate::lexicon::{Form, Language, Slot, Usage, Word, of_slot};
use crate::mouthing::{Mouthing, Viseme};

/// The content of `best.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Best {
    level: Level,
    channel: Channel,
    hands_and_mouth: Scores,
    /// Without the lips, or with those of another clip.
    hands_alone: Scores,
}

/// Shares, 0 to 1.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Scores {
    pub(crate) ambiguous_accuracy: f64,
    pub(crate) exact_sentences: f64,
}

impl Best {
    pub(crate) fn of(level: Level, language: Language) -> Self {
        let channel = level.channel();
        let silent = Channel { unmouthed: 100, ..channel };
        Self {
            level,
            channel,
            hands_and_mouth: Scores::of(&channel, language),
            hands_alone: Scores::of(&silent, language),
        }
    }
}

/// A word of a form.
#[derive(Clone, Copy)]
struct Meaning {
    form: &'static Form,
    word: &'static Word,
    ambiguous: bool,
}

/// P(evidence, word | form) for each meaning of a slot, by place; those that are 0 are left out.
type Evidence = Vec<(usize, f64)>;

/// A slot, and all evidence that a sign of it can give.
struct Sign {
    meanings: Vec<Meaning>,
    evidence: Vec<Evidence>,
}

/// What is expected of the signs of one clause.
#[derive(Clone, Copy, Default)]
struct Expected {
    exact: f64,
    right: f64,
    cases: f64,
}

impl Scores {
    pub(crate) fn of(channel: &Channel, language: Language) -> Self {
        let mut known: BTreeMap<&[Slot], Expected> = BTreeMap::new();
        let mut sum = Expected::default();
        let mut many = 0.0;
        for parts in kinds() {
            let mut exact = 1.0;
            for rows in &parts {
                let mut mean = Expected::default();
                for &row in rows {
                    let of_row = known.entry(row).or_insert_with(|| Expected::of(row, channel, language));
                    mean.exact += of_row.exact / rows.len() as f64;
                    mean.right += of_row.right / rows.len() as f64;
                    mean.cases += of_row.cases / rows.len() as f64;
                }
                exact *= mean.exact;
                sum.right += mean.right;
                sum.cases += mean.cases;
            }
            sum.exact += exact;
            many += 1.0;
        }
        Self { ambiguous_accuracy: sum.right / sum.cases, exact_sentences: sum.exact / many }
    }
}

impl Expected {
    fn of(row: &[Slot], channel: &Channel, language: Language) -> Self {
        let signs: Vec<Sign> = row.iter().map(|&slot| Sign::new(slot, channel, language)).collect();
        let mut expected = Self::default();
        each_evidence(&signs, &mut Vec::new(), &mut |evidence| {
            let mut best = 0.0_f64;
            // P(word, evidence) of each sign.
            let mut words: Vec<Vec<f64>> = signs.iter().map(|sign| vec![0.0; sign.meanings.len()]).collect();
            each_sentence(&signs, evidence, &mut Vec::new(), 1.0, &mut |meanings, p| {
                best = best.max(p);
                meanings.iter().zip(&mut words).for_each(|(&meaning, words)| words[meaning] += p);
            });
            expected.exact += best;
            for (sign, words) in signs.iter().zip(&words) {
                let of_pairs =
                    || sign.meanings.iter().zip(words).filter(|(m, _)| m.ambiguous).map(|(_, p)| *p);
                expected.right += of_pairs().fold(0.0, f64::max);
                expected.cases += of_pairs().sum::<f64>();
            }
        });
        expected
    }
}

/// Calls `then` with every choice of one piece of evidence a sign.
fn each_evidence<'s>(signs: &'s [Sign], chosen: &mut Vec<&'s Evidence>, then: &mut impl FnMut(&[&Evidence])) {
    let Some(sign) = signs.get(chosen.len()) else { return then(chosen) };
    for evidence in &sign.evidence {
        chosen.push(evidence);
        each_evidence(signs, chosen, then);
        chosen.pop();
    }
}

/// Calls `then` with the meanings of every sentence that fits the evidence, and P(sentence, evidence).
fn each_sentence(
    signs: &[Sign],
    evidence: &[&Evidence],
    chosen: &mut Vec<usize>,
    p: f64,
    then: &mut impl FnMut(&[usize], f64),
) {
    let place = chosen.len();
    let Some(sign) = signs.get(place) else { return then(chosen, p) };
    let before = place.checked_sub(1).map(|before| signs[before].meanings[chosen[before]].form);
    for &(meaning, likelihood) in evidence[place] {
        let p = p * likelihood * probability(sign.meanings[meaning].form, before);
        chosen.push(meaning);
        each_sentence(signs, evidence, chosen, p, then);
        chosen.pop();
    }
}

/// What is seen of a sign: the one form, or both, in the order of their names; and the lips.
type Seen = (Vec<&'static str>, Option<Vec<Viseme>>);

impl Sign {
    fn new(slot: Slot, channel: &Channel, language: Language) -> Self {
        let meanings: Vec<Meaning> = of_slot(slot)
            .flat_map(|form| {
                let ambiguous = form.is_ambiguous(Usage::Natural);
                form.words(Usage::Natural).iter().map(move |word| Meaning { form, word, ambiguous })
            })
            .collect();
        let mut seen: BTreeMap<Seen, BTreeMap<usize, f64>> = BTreeMap::new();
        for (place, &Meaning { form, word, .. }) in meanings.iter().enumerate() {
            let share = 1.0 / form.words(Usage::Natural).len() as f64;
            for (hands, p_hands) in hands(form, channel) {
                for (lips, p_lips) in lips(word, channel, language) {
                    let p = share * p_hands * p_lips;
                    if p > 0.0 {
                        *seen.entry((hands.clone(), lips)).or_default().entry(place).or_default() += p;
                    }
                }
            }
        }
        // Alike but for a factor: one piece of evidence, of their sum.
        let mut alike: BTreeMap<Vec<(usize, i64)>, BTreeMap<usize, f64>> = BTreeMap::new();
        for evidence in seen.into_values() {
            let sum: f64 = evidence.values().sum();
            let key = evidence.iter().map(|(&place, p)| (place, (p / sum * 1e9).round() as i64)).collect();
            let merged = alike.entry(key).or_default();
            evidence.into_iter().for_each(|(place, p)| *merged.entry(place).or_default() += p);
        }
        Self { meanings, evidence: alike.into_values().map(|one| one.into_iter().collect()).collect() }
    }
}

fn hands(form: &'static Form, channel: &Channel) -> [(Vec<&'static str>, f64); 3] {
    let (own, other) = (form.name(), form.neighbour().name());
    let wrong = channel.wrong_hands as f64 / 100.0;
    let mut both = vec![own, other];
    both.sort_unstable();
    [(vec![own], 1.0 - wrong), (vec![other], 0.5 * wrong), (both, 0.5 * wrong)]
}

fn lips(word: &Word, channel: &Channel, language: Language) -> Vec<(Option<Vec<Viseme>>, f64)> {
    let [silent, confused] = [channel.unmouthed, channel.confused].map(|percent| percent as f64 / 100.0);
    let mut shown = vec![(Vec::new(), 1.0 - silent)];
    for &viseme in Mouthing::of_word(word.mouthed(language)).visemes() {
        let next = |(before, p): (Vec<Viseme>, f64)| {
            let with = |viseme, share| ([before.clone(), vec![viseme]].concat(), p * share);
            [with(viseme, 1.0 - confused), with(look_alike(viseme), confused)]
        };
        shown = shown.into_iter().flat_map(next).collect();
    }
    shown.into_iter().map(|(lips, p)| (Some(lips), p)).chain([(None, silent)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{Grammar, Sentence};
    use crate::level::{Seen as Hands, Shown};
    use crate::random::Random;

    const LANGUAGES: [Language; 2] = [Language::German, Language::English];

    /// By hand: without noise the hands say which pair it is. The lips decide it in 70 % of the cases, a coin in the
    /// others; a sentence is right where all its pairs are. The day is a pair in 12 of 25, and so on.
    #[test]
    fn clean_hands_by_hand() {
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
        for language in LANGUAGES {
            let Best { hands_and_mouth, hands_alone, .. } = Best::of(Level::Clean, language);
            close(hands_and_mouth.ambiguous_accuracy, 0.7 + 0.3 * 0.5);
            close(hands_alone.ambiguous_accuracy, 0.5);
        }
        let channel = Level::Clean.channel();
        close(Expected::of(&[Slot::Day], &channel, Language::German).exact, 1.0 - 12.0 / 25.0 * 0.15);
        // The first and the third weather word of six are pairs.
        let pairs = 20.0 / 49.0 * (1.0 + 1.0 / 3.0);
        close(Expected::of(&[Slot::Weather], &channel, Language::German).exact, 1.0 - pairs * 0.15);
    }

    /// By hand: of an own form and its neighbour, both without pairs, with nothing on the lips. Hail and fog are the
    /// sixth and fifth weather word, the wind and the sun the third and fourth, and the latter a pair.
    #[test]
    fn noisy_hands_by_hand() {
        let silent = Channel { unmouthed: 100, ..Level::Noisy.channel() };
        let got = Expected::of(&[Slot::Weather], &silent, Language::German).exact;
        // Relative frequencies; the best guess after each form that is seen, and after what is midway.
        let (right, wrong) = (0.85, 0.075);
        let of_two = |one: f64, other: f64| {
            f64::max(right * one, wrong * other)
                + f64::max(right * other, wrong * one)
                + wrong * f64::max(one, other)
        };
        // Of a pair of words half can be right at most: rain against snow, wind against sun, fog against hail.
        let sum = of_two(1.0 / 2.0, 1.0 / 2.0) + of_two(1.0 / 6.0, 1.0 / 4.0) + of_two(1.0 / 5.0, 1.0 / 6.0);
        assert!((got - sum * 20.0 / 49.0).abs() < 1e-9, "{got}");
    }

    /// What P(shown | word) is, said another way than above.
    fn likelihood(
        shown: &Shown,
        form: &'static Form,
        word: &Word,
        channel: &Channel,
        language: Language,
    ) -> f64 {
        let wrong = channel.wrong_hands as f64 / 100.0;
        let other = form.neighbour().name();
        let hands = match shown.hands {
            Hands::Form(seen) if seen.name() == form.name() => 1.0 - wrong,
            Hands::Form(seen) if seen.name() == other => 0.5 * wrong,
            Hands::Between(a, b) if [a.name(), b.name()] == [form.name(), other] => 0.5 * wrong,
            Hands::Between(a, b) if [b.name(), a.name()] == [form.name(), other] => 0.5 * wrong,
            _ => 0.0,
        };
        let [silent, confused] = [channel.unmouthed, channel.confused].map(|percent| percent as f64 / 100.0);
        let Some(lips) = &shown.lips else { return hands * silent };
        let mouthing = Mouthing::of_word(word.mouthed(language));
        if mouthing.visemes().len() != lips.len() {
            return 0.0;
        }
        let shape = |(&own, &seen): (&Viseme, &Viseme)| {
            f64::from(u8::from(own == seen)) * (1.0 - confused)
                + f64::from(u8::from(look_alike(own) == seen)) * confused
        };
        hands * (1.0 - silent) * mouthing.visemes().iter().zip(lips).map(shape).product::<f64>()
    }

    /// Draws sentences and what is shown of them with the code that renders them, weighs every sentence of the same slots
    /// one by one, and counts how often the best guess is right.
    fn simulate(level: Level, language: Language, sentences: usize) -> Scores {
        let channel = level.channel();
        let mut random = Random::named(5, "simulation");
        let mut grammar = Grammar::new(language, Usage::Natural);
        let (mut exact, mut right, mut cases) = (0, 0, 0);
        for _ in 0..sentences {
            let outline = grammar.outline(&mut random);
            let choices: Vec<usize> =
                outline.forms().map(|form| random.below(form.words(Usage::Natural).len())).collect();
            let Sentence { words, .. } = outline.sentence(&choices, language);
            let shown: Vec<Shown> =
                words.iter().map(|(form, word)| channel.show(form, word, language, &mut random)).collect();
            // Clauses begin where the form before does not count; the sentence's own kind is seen.
            let slots: Vec<Slot> = words.iter().map(|(form, _)| form.slot).collect();
            let first = firsts(&slots);
            let mut candidates: Vec<(Vec<(&Form, &Word)>, f64)> = vec![(Vec::new(), 1.0)];
            for (place, shown) in shown.iter().enumerate() {
                let mut next = Vec::new();
                for (before, p) in &candidates {
                    for form in of_slot(slots[place]) {
                        let prior =
                            probability(form, before.last().filter(|_| !first[place]).map(|(form, _)| *form));
                        let own = form.words(Usage::Natural);
                        for word in own {
                            let p = p * prior / own.len() as f64
                                * likelihood(shown, form, word, &channel, language);
                            if p > 0.0 {
                                next.push(([before.clone(), vec![(form, word)]].concat(), p));
                            }
                        }
                    }
                }
                candidates = next;
            }
            let best = candidates.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            let same = |a: &Word, b: &Word| a.gloss == b.gloss;
            exact += usize::from(best.0.iter().zip(&words).all(|((_, a), (_, b))| same(a, b)));
            for (place, (form, word)) in words.iter().enumerate() {
                if !form.is_ambiguous(Usage::Natural) {
                    continue;
                }
                let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
                for (candidate, p) in &candidates {
                    let (form, word) = candidate[place];
                    if form.is_ambiguous(Usage::Natural) {
                        *weights.entry(word.gloss).or_default() += p;
                    }
                }
                let guess = weights.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
                cases += 1;
                right += usize::from(*guess == word.gloss);
            }
        }
        Scores {
            ambiguous_accuracy: right as f64 / cases as f64,
            exact_sentences: exact as f64 / sentences as f64,
        }
    }

    /// Which signs begin a clause: the first, and those where no clause has them after the one before.
    fn firsts(slots: &[Slot]) -> Vec<bool> {
        let rows: Vec<Vec<&[Slot]>> = kinds()
            .flat_map(|parts| {
                parts.into_iter().fold(vec![Vec::new()], |before: Vec<Vec<&[Slot]>>, rows| {
                    let with = |begun: Vec<&'static [Slot]>| {
                        rows.iter().map(move |&row| [begun.clone(), vec![row]].concat()).collect::<Vec<_>>()
                    };
                    before.into_iter().flat_map(with).collect()
                })
            })
            .collect();
        let found = rows.into_iter().find(|rows| rows.concat() == slots).unwrap();
        found.iter().flat_map(|row| (0..row.len()).map(|place| place == 0)).collect()
    }

    /// Within four standard deviations of the simulation.
    #[test]
    fn as_often_right_as_simulated() {
        const SENTENCES: usize = 10_000;
        for (level, language) in [
            (Level::Clean, Language::German),
            (Level::Noisy, Language::German),
            (Level::Lagged, Language::English),
        ] {
            let computed = Best::of(level, language).hands_and_mouth;
            let simulated = simulate(level, language, SENTENCES);
            for (computed, simulated) in [
                (computed.ambiguous_accuracy, simulated.ambiguous_accuracy),
                (computed.exact_sentences, simulated.exact_sentences),
            ] {
                let deviation = (computed * (1.0 - computed) / SENTENCES as f64).sqrt();
                assert!((computed - simulated).abs() < 4.0 * deviation, "{level:?}: {computed} {simulated}");
            }
        }
    }
}
