//! The pickle inside of a checkpoint; the archive around it is sound.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_common::torch_file::TorchFile;
use std::sync::LazyLock;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("w.pt"));

fuzz_target!(
    init: fuzzing::sow([seeds::pickle()]),
    |data: &[u8]| {
        let path = PLACE.put(&seeds::torch_zip(data));
        if let Some(file) = answer(TorchFile::open(path)) {
            for name in file.names() {
                if let Some(tensor) = answer(file.tensor(name)) {
                    assert_eq!(Some(tensor.size()), file.shape(name));
                }
            }
        }
    }
);
