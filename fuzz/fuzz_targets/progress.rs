//! What a rank says of its progress.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_common::store::Missing;
use std::sync::LazyLock;

const FILE: &str = "progress-00000.json";
static PLACE: LazyLock<Place> = LazyLock::new(|| Place::with(FILE, seeds::store()));

fuzz_target!(
    init: fuzzing::sow([br#"{"rank": 0, "world": 1, "host": "a", "pid": 7, "started": 1, "updated": 2, "advanced": 2, "state": "running", "split_clips": 4}"#]),
    |data: &[u8]| {
        PLACE.put(data);
        answer(Missing::of(PLACE.folder(), 2));
    }
);
