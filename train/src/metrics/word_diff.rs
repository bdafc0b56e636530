//! The words in which a translation differs from its reference.

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices};
use std::ops::Range;

/// A stretch of a text, and whether the other text has something else there.
pub type Piece = (bool, Range<usize>);

/// The words of a reference and of a translation in stretches of bytes.
pub fn word_diff(reference: &str, hypothesis: &str) -> [Vec<Piece>; 2] {
    let [old, new] = [reference, hypothesis].map(words);
    let [of_old, of_new] = [(reference, &old), (hypothesis, &new)]
        .map(|(text, words)| words.iter().map(|word| &text[word.clone()]).collect::<Vec<_>>());
    let ops = capture_diff_slices(Algorithm::Myers, &of_old, &of_new);
    let pieces = |words: &[Range<usize>], range: fn(&DiffOp) -> Range<usize>| -> Vec<Piece> {
        let piece = |op: &DiffOp| {
            let words = &words[range(op)];
            Some((op.tag() != DiffTag::Equal, words.first()?.start..words.last()?.end))
        };
        ops.iter().filter_map(piece).collect()
    };
    [pieces(&old, DiffOp::old_range), pieces(&new, DiffOp::new_range)]
}

/// Places of the words of a sentence: split at white space, punctuation at their ends apart.
fn words(sentence: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    for piece in sentence.split_whitespace() {
        let start = piece.as_ptr().addr() - sentence.as_ptr().addr();
        let word = piece.trim_end_matches(['.', ',', '?', '!', ':', ';']);
        words.extend((!word.is_empty()).then(|| start..start + word.len()));
        words.extend((start + word.len()..start + piece.len()).map(|mark| mark..mark + 1));
    }
    words
}
