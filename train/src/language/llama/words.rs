//! The tokenizer of a Llama that is trained from nothing.

use crate::language::words::{self, Added};

/// `tokenizer.json` with the words of `sentences` as vocabulary, and the ids of [`super::LlamaConfig::tiny`]; as that of Llama
/// it begins texts and does not end them.
pub fn word_tokenizer<'t>(sentences: impl Iterator<Item = &'t str>) -> String {
    words::word_tokenizer(sentences, ["<|begin_of_text|>", "<|end_of_text|>", "<unk>"], Added::Before(0))
}
