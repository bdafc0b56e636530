//! `spiece.model` of a language model, and what it makes of a sentence.

#![no_main]

use fuzzing::answer;
use libfuzzer_sys::fuzz_target;
use signclip_train::language::text::Text;
use std::path::Path;

fuzz_target!(
    init: fuzzing::sow([include_bytes!("../../train/tests/sentencepiece/small.model").to_vec()]),
    |data: &[u8]| {
        if let Some(text) = answer(Text::parse(data, Path::new("spiece.model"))) {
            if let Some(ids) = answer(text.encode("  am Montag\u{a0}Schn\u{e9}e, \u{4f60}\u{597d} \u{fb01}<sign>. ")) {
                answer(text.decode(&ids));
            }
            answer(text.spans("am montag"));
        }
    }
);
