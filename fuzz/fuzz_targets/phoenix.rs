//! The annotations of PHOENIX14T.

#![no_main]

use fuzzing::{Place, answer};
use libfuzzer_sys::fuzz_target;
use signclip_common::manifest::Dataset;
use signclip_common::manifests::Manifests;
use std::sync::LazyLock;

static DATASET: LazyLock<Dataset> =
    LazyLock::new(|| Dataset::load(&Manifests::default(), "phoenix").expect("a manifest"));
static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let annotation = &DATASET.splits[0].annotations;
    let plain = annotation.iter().find(|file| !file.contains('/')).expect("a file beside the media");
    Place::new(plain)
});

fuzz_target!(
    init: fuzzing::sow([b"name|video|start|end|speaker|orth|translation\n01April-1|01April-1/1/*.png|-1|-1|Signer04|REGEN|am montag regen\n02April-1|02April-1/1/*.png|-1|-1|Signer04|SCHNEE|schn\xc3\xa9e\n"]),
    |data: &[u8]| {
        PLACE.put(data);
        answer(DATASET.read(PLACE.folder(), &DATASET.splits[0]));
    }
);
