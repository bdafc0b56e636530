//! The words in which a translation differs from its reference.

use super::units::Units;
use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices};
use std::ops::Range;

/// A stretch of a text, and whether the other text has something else there.
pub type Piece = (bool, Range<usize>);

/// The words of a reference and of a translation in stretches of bytes; characters where texts are counted in them.
pub fn word_diff(reference: &str, hypothesis: &str, units: Units) -> [Vec<Piece>; 2] {
    let [old, new] = [reference, hypothesis].map(|text| words(text, units));
    let ops = operations((reference, &old), (hypothesis, &new));
    let pieces = |words: &[Range<usize>], range: fn(&DiffOp) -> Range<usize>| -> Vec<Piece> {
        let piece = |op: &DiffOp| {
            let words = &words[range(op)];
            Some((op.tag() != DiffTag::Equal, words.first()?.start..words.last()?.end))
        };
        ops.iter().filter_map(piece).collect()
    };
    [pieces(&old, DiffOp::old_range), pieces(&new, DiffOp::new_range)]
}

/// Where in a translation words of the reference are missing and nothing stands for them, in bytes.
pub fn missing(reference: &str, hypothesis: &str, units: Units) -> Vec<usize> {
    let [old, new] = [reference, hypothesis].map(|text| words(text, units));
    let ops = operations((reference, &old), (hypothesis, &new));
    let missing = ops.iter().filter(|op| op.tag() == DiffTag::Delete);
    missing.map(|op| new.get(op.new_range().start).map_or(hypothesis.len(), |word| word.start)).collect()
}

type Words<'t> = (&'t str, &'t [Range<usize>]);

fn operations(reference: Words, hypothesis: Words) -> Vec<DiffOp> {
    let [old, new] = [reference, hypothesis]
        .map(|(text, words)| words.iter().map(|word| &text[word.clone()]).collect::<Vec<_>>());
    capture_diff_slices(Algorithm::Myers, &old, &new)
}

/// Places of the words of a sentence: split at white space, punctuation at their ends apart; or those of its characters.
fn words(sentence: &str, units: Units) -> Vec<Range<usize>> {
    if units != Units::Words {
        let characters = sentence.char_indices().filter(|(_, letter)| !letter.is_whitespace());
        return characters.map(|(place, letter)| place..place + letter.len_utf8()).collect();
    }
    let mut words = Vec::new();
    for piece in sentence.split_whitespace() {
        let start = piece.as_ptr().addr() - sentence.as_ptr().addr();
        let word = piece.trim_end_matches(['.', ',', '?', '!', ':', ';']);
        words.extend((!word.is_empty()).then(|| start..start + word.len()));
        words.extend((start + word.len()..start + piece.len()).map(|mark| mark..mark + 1));
    }
    words
}
