//! The tokenizer of a T5 that is trained from nothing.

use crate::language::words::{self, Added};

/// `tokenizer.json` with the words of `sentences` as vocabulary, and T5's special ids.
pub fn word_tokenizer<'t>(sentences: impl Iterator<Item = &'t str>) -> String {
    words::word_tokenizer(sentences, ["<pad>", "</s>", "<unk>"], Added::Behind(1))
}
