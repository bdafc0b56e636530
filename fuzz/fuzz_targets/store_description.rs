//! `store.json`, which says what a store's features are.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_common::store::verify;
use std::sync::LazyLock;

const FILE: &str = "store.json";
static PLACE: LazyLock<Place> = LazyLock::new(|| Place::with(FILE, seeds::store()));

fuzz_target!(
    init: fuzzing::sow([&seeds::store()[FILE]]),
    |data: &[u8]| {
        PLACE.put(data);
        answer(verify(PLACE.folder(), |_| ()));
    }
);
