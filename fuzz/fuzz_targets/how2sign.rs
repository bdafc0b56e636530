//! The annotations of How2Sign.

#![no_main]

use fuzzing::{Place, answer};
use libfuzzer_sys::fuzz_target;
use signclip_common::manifest::Dataset;
use signclip_common::manifests::Manifests;
use std::sync::LazyLock;

static DATASET: LazyLock<Dataset> =
    LazyLock::new(|| Dataset::load(&Manifests::default(), "how2sign").expect("a manifest"));
static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let annotation = &DATASET.splits[0].annotations;
    let plain = annotation.iter().find(|file| !file.contains('/')).expect("a file beside the media");
    Place::new(plain)
});

fuzz_target!(
    init: fuzzing::sow([b"VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\na\ta-5-rgb_front\ta_0\ta_0-5-rgb_front\t0.5\t2.25\tAnd \"I\" said hello.\n"]),
    |data: &[u8]| {
        PLACE.put(data);
        answer(DATASET.read(PLACE.folder(), &DATASET.splits[0]));
    }
);
