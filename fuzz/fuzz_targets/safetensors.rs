//! A safetensors file: the table at its beginning, and tensors.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_common::tensor_file::TensorFile;
use std::sync::LazyLock;
use tch::Kind;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("w.safetensors"));

fuzz_target!(
    init: fuzzing::sow([seeds::safetensors(&[("a.weight", Kind::Float, &[2, 3]), ("b", Kind::BFloat16, &[4]), ("c", Kind::Bool, &[])])]),
    |data: &[u8]| {
        if let Some(file) = answer(TensorFile::open(PLACE.put(data))) {
            for name in file.names() {
                if let Some(tensor) = file.tensor(name).and_then(answer) {
                    assert_eq!(Some(tensor.size()), file.shape(name));
                }
            }
        }
    }
);
