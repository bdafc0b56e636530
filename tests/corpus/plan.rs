//! Which sentence goes into which split, signed by whom.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};

use crate::grammar::{Outline, Sentence, outlines};
use crate::lexicon::{Language, Usage};
use crate::random::Random;
use crate::signer::{FIRST, SECOND, Signer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Split {
    Train,
    Dev,
    Test,
}

pub(crate) const SPLITS: [Split; 3] = [Split::Train, Split::Dev, Split::Test];

#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) split: Split,
    pub(crate) signer: &'static Signer,
    pub(crate) sentence: Sentence,
}

/// Fewer clips leave a split without both signers, or a slot without a word.
const FEWEST: usize = 16;
/// More would be a waste of anybody's disk: 25 GB of frames.
const MOST: usize = 10_000;
/// A word that is to be understood in dev and test must have been seen this often.
pub(crate) const SEEN: usize = 5;

/// All clips, and the least number of times that a sign of dev or test occurs in train.
pub(crate) fn plan(count: usize, seed: u64, language: Language, usage: Usage) -> Result<(Vec<Clip>, usize)> {
    if count < FEWEST {
        bail!("--clips {count} is too few for three splits and two signers: ask for at least {FEWEST}");
    }
    if count > MOST {
        bail!("--clips {count} is too many for a demo: ask for at most {MOST}");
    }
    let mut random = Random::named(seed, "sentences");
    let outlines = outlines(count, language, usage, &mut random)?;
    let held_out = count / 8;
    // What is signed alike goes into one split.
    let mut alike: BTreeMap<&Outline, Vec<usize>> = BTreeMap::new();
    (0..count).for_each(|index| alike.entry(&outlines[index]).or_default().push(index));
    let mut order: Vec<Vec<usize>> = alike.into_values().collect();
    order.sort_unstable();
    let mut best: Option<(usize, Vec<Clip>)> = None;
    for _ in 0..50 {
        random.shuffle(&mut order);
        let mut places = vec![(Split::Train, &FIRST); count];
        let mut place = 0;
        for alike in &order {
            let split = match place / held_out {
                0 => Split::Dev,
                1 => Split::Test,
                _ => Split::Train,
            };
            for &index in alike {
                places[index] = (split, if place % 2 == 0 { &FIRST } else { &SECOND });
                place += 1;
            }
        }
        let splits: Vec<Split> = places.iter().map(|(split, _)| *split).collect();
        let sentences = deal(&outlines, &splits, language, usage, &mut random);
        let clips = sentences
            .into_iter()
            .zip(places)
            .map(|(sentence, (split, signer))| Clip { split, signer, sentence })
            .collect::<Vec<_>>();
        let seen = least_seen(&clips);
        if best.as_ref().is_none_or(|(before, _)| seen > *before) {
            best = Some((seen, clips));
        }
        if seen >= SEEN {
            break;
        }
    }
    best.map(|(seen, clips)| (clips, seen)).ok_or_else(|| anyhow!("no clips were planned"))
}

/// The outlines with words. Of a form with two words each split gets both equally often (one more of one where it has
/// an odd number of them), in random order: neither the rest of a sentence nor the split says which one it is.
fn deal(
    outlines: &[Outline],
    splits: &[Split],
    language: Language,
    usage: Usage,
    random: &mut Random,
) -> Vec<Sentence> {
    let mut choices: Vec<Vec<usize>> =
        outlines.iter().map(|outline| vec![0; outline.forms().count()]).collect();
    // By split and form: which forms of which outlines.
    let mut ambiguous: BTreeMap<(Split, &str), Vec<(usize, usize)>> = BTreeMap::new();
    for (index, (outline, &split)) in outlines.iter().zip(splits).enumerate() {
        for (place, form) in outline.forms().enumerate().filter(|(_, form)| form.is_ambiguous(usage)) {
            ambiguous.entry((split, form.words[0].gloss)).or_default().push((index, place));
        }
    }
    for mut occurrences in ambiguous.into_values() {
        random.shuffle(&mut occurrences);
        let first = random.below(2);
        for (turn, (index, place)) in occurrences.into_iter().enumerate() {
            choices[index][place] = (first + turn) % 2;
        }
    }
    outlines.iter().zip(&choices).map(|(outline, choices)| outline.sentence(choices, language)).collect()
}

/// The least number of times that a word of dev or test occurs in train.
fn least_seen(clips: &[Clip]) -> usize {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let glosses = |clip: &Clip| clip.sentence.words.iter().map(|(_, word)| word.gloss).collect::<Vec<_>>();
    let (train, held_out): (Vec<&Clip>, Vec<&Clip>) =
        clips.iter().partition(|clip| clip.split == Split::Train);
    train.into_iter().flat_map(glosses).for_each(|gloss| *seen.entry(gloss).or_default() += 1);
    held_out
        .into_iter()
        .flat_map(glosses)
        .map(|gloss| seen.get(gloss).copied().unwrap_or(0))
        .min()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexicon::LEXICON;

    #[test]
    fn held_out_words_are_known_words() {
        let (clips, seen) = plan(320, 1, Language::German, Usage::Even).unwrap();
        assert!(seen >= SEEN);
        let count = |split| clips.iter().filter(|clip| clip.split == split).count();
        assert_eq!(SPLITS.map(count), [240, 40, 40]);
        for split in SPLITS {
            let second = |clip: &&Clip| clip.split == split && clip.signer.name == SECOND.name;
            assert_eq!(2 * clips.iter().filter(second).count(), count(split));
        }
    }

    /// Where sentences come more than once, all of one kind are in one split, whichever words of the pairs they have.
    #[test]
    fn natural_sentences_are_not_shared() {
        let (clips, seen) = plan(1200, 1, Language::German, Usage::Natural).unwrap();
        assert!(seen >= SEEN);
        let mut splits: BTreeMap<Vec<&str>, Vec<Split>> = BTreeMap::new();
        for clip in &clips {
            let forms = clip.sentence.words.iter().map(|(form, _)| form.name()).collect();
            splits.entry(forms).or_default().push(clip.split);
        }
        assert!(splits.len() < clips.len(), "none twice");
        assert!(splits.values().all(|of_one| of_one.iter().all(|split| *split == of_one[0])));
        for split in [Split::Dev, Split::Test] {
            let count = clips.iter().filter(|clip| clip.split == split).count();
            assert!((130..=170).contains(&count), "{split:?}: {count}");
        }
    }

    /// Each word of a pair has half of the pair's occurrences in every split, and what is beside it in a sentence does
    /// not tell which one it is.
    #[test]
    fn pairs_are_dealt_out_evenly() {
        let (clips, _) = plan(2400, 1, Language::German, Usage::Even).unwrap();
        let mut counts: BTreeMap<(Split, &str), [i64; 2]> = BTreeMap::new();
        // How often the first word comes with a neighbour, and how often either.
        let mut beside: BTreeMap<(&str, &str), [u32; 2]> = BTreeMap::new();
        for clip in &clips {
            for (form, word) in clip.sentence.words.iter().filter(|(form, _)| form.is_ambiguous(Usage::Even))
            {
                let first = word.gloss == form.words[0].gloss;
                counts.entry((clip.split, form.words[0].gloss)).or_default()[usize::from(first)] += 1;
                for (_, other) in clip.sentence.words.iter().filter(|(other, _)| other.slot != form.slot) {
                    let [of_first, all] = beside.entry((form.words[0].gloss, other.gloss)).or_default();
                    *of_first += u32::from(first);
                    *all += 1;
                }
            }
        }
        assert_eq!(counts.len(), 3 * LEXICON.iter().filter(|form| form.is_ambiguous(Usage::Even)).count());
        assert!(counts.values().all(|[one, other]| (one - other).abs() <= 1), "{counts:?}");
        for (pair, [of_first, all]) in beside {
            // Five standard deviations of a fair coin.
            let off = (f64::from(of_first) - 0.5 * f64::from(all)).abs();
            assert!(off <= 2.5 * f64::from(all).sqrt(), "{pair:?}: {of_first} of {all}");
        }
    }
}
