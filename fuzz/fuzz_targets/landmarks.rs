//! Landmarks that users bring: an array of NumPy, or a pickled list of arrays.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_extract::streams::mouthing::crop::read_landmarks;
use std::sync::LazyLock;

static ARRAY: LazyLock<Place> = LazyLock::new(|| Place::new("a.npy"));
static PICKLED: LazyLock<Place> = LazyLock::new(|| Place::new("a.pkl"));

fuzz_target!(
    init: fuzzing::sow([
        seeds::npy("<f4", &[2, 68, 2], &[0x40; 2 * 68 * 2 * 4]),
        seeds::npy("<f8", &[1, 68, 2], &[0x40; 68 * 2 * 8]),
        seeds::pickled_landmarks(),
    ]),
    |data: &[u8]| {
        // What it is, is seen by its name.
        let place = if data.starts_with(b"\x93NUMPY") { &ARRAY } else { &PICKLED };
        answer(read_landmarks(place.put(data)));
    }
);
