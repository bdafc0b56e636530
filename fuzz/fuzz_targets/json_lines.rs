//! A user's own list of clips.

#![no_main]

use fuzzing::{Place, answer};
use libfuzzer_sys::fuzz_target;
use signclip_common::manifest::read_json_lines;
use std::sync::LazyLock;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("own.jsonl"));

fuzz_target!(
    init: fuzzing::sow([b"{\"id\": \"a\", \"video\": \"a.mp4\", \"start\": 0.5, \"end\": 1.0, \"text\": \"x\", \"split\": \"train\"}\n{\"id\": \"b\", \"frames\": \"b\", \"signer\": \"s\", \"gloss\": \"g\"}\n"]),
    |data: &[u8]| {
        answer(read_json_lines(PLACE.put(data), true));
    }
);
