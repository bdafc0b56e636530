//! Which sentence goes into which split, signed by whom.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::grammar::{Sentence, sentences};
use crate::lexicon::Language;
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
pub(crate) fn plan(count: usize, seed: u64, language: Language) -> Result<(Vec<Clip>, usize)> {
    if count < FEWEST {
        bail!("--clips {count} is too few for three splits and two signers: ask for at least {FEWEST}");
    }
    if count > MOST {
        bail!("--clips {count} is too many for a demo: ask for at most {MOST}");
    }
    let mut random = Random::named(seed, "sentences");
    let sentences = sentences(count, language, &mut random)?;
    let held_out = count / 8;
    let mut order: Vec<usize> = (0..count).collect();
    let mut best = (0, order.clone());
    for _ in 0..50 {
        random.shuffle(&mut order);
        let seen = least_seen(&sentences, &order[..2 * held_out], &order[2 * held_out..]);
        if seen >= best.0 {
            best = (seen, order.clone());
        }
        if seen >= SEEN {
            break;
        }
    }
    let (seen, order) = best;
    let mut splits = vec![(Split::Train, &FIRST); count];
    for (place, &index) in order[..2 * held_out].iter().enumerate() {
        splits[index] = match place {
            place if place < held_out => (Split::Dev, &FIRST),
            place if place % 2 == 0 => (Split::Test, &FIRST),
            _ => (Split::Test, &SECOND),
        };
    }
    let clips = sentences
        .into_iter()
        .zip(splits)
        .map(|(sentence, (split, signer))| Clip { split, signer, sentence })
        .collect();
    Ok((clips, seen))
}

fn least_seen(sentences: &[Sentence], held_out: &[usize], train: &[usize]) -> usize {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for &index in train {
        sentences[index].words.iter().for_each(|word| *seen.entry(word.gloss).or_default() += 1);
    }
    let words = held_out.iter().flat_map(|&index| &sentences[index].words);
    words.map(|word| seen.get(word.gloss).copied().unwrap_or(0)).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_words_are_known_words() {
        let (clips, seen) = plan(320, 1, Language::German).unwrap();
        assert!(seen >= SEEN);
        let count = |split| clips.iter().filter(|clip| clip.split == split).count();
        assert_eq!(SPLITS.map(count), [240, 40, 40]);
        let second = clips.iter().filter(|clip| clip.signer.name == SECOND.name);
        assert_eq!(second.filter(|clip| clip.split == Split::Test).count(), 20);
    }
}
