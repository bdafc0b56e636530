//! `tokenizer.json` of a language model, and what it makes of a sentence.

#![no_main]

use fuzzing::answer;
use libfuzzer_sys::fuzz_target;
use signclip_train::language::family::Tiny;
use signclip_train::language::text::Text;
use std::path::Path;

fuzz_target!(
    init: fuzzing::sow([Tiny::T5.tokenizer(["am montag regen.", "Schnee?"].into_iter())]),
    |data: &[u8]| {
        if let Some(text) = answer(Text::parse(data, Path::new("tokenizer.json"))) {
            if let Some(ids) = answer(text.encode("am Montag Schn\u{e9}e, \u{4f60}\u{597d}.")) {
                answer(text.decode(&ids));
            }
            answer(text.spans("am montag"));
        }
    }
);
