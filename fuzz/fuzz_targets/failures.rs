//! The list of clips that failed.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_common::store::failures;
use std::sync::LazyLock;

const FILE: &str = "failures-00000.jsonl";
static PLACE: LazyLock<Place> = LazyLock::new(|| Place::with(FILE, seeds::store()));

fuzz_target!(
    init: fuzzing::sow([b"{\"id\":\"a\",\"stage\":\"open\",\"reason\":\"r\"}\n{\"id\":\"b\",\"stage\":\"decode\",\"reason\":\"s\"}\n"]),
    |data: &[u8]| {
        PLACE.put(data);
        answer(failures(PLACE.folder()));
    }
);
