//! PyTorch checkpoints: tensors equal to PyTorch's own, hostile and damaged files refused in one line.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

mod arrays;
mod by_hand;
mod mutations;

use serde_json::Value as Json;
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::torch_file::{Layout, Plain, TorchFile};
use std::fs;
use std::path::{Path, PathBuf};
use tch::Kind;

/// The folder of golden cases with its description, if it is there.
fn golden() -> Option<(PathBuf, Json)> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let folder = std::env::var_os("SIGNCLIP_GOLDEN").map_or(default, PathBuf::from);
    let Ok(text) = fs::read(folder.join("checkpoints.json")) else {
        println!("skipped: no checkpoints.json in {} (set SIGNCLIP_GOLDEN)", folder.display());
        return None;
    };
    Some((folder.join("checkpoints"), serde_json::from_slice(&text).unwrap()))
}

/// The one real file in the legacy layout, if it is there.
fn real_legacy_file() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("SIGNCLIP_TEST_DATA").map_or(default, PathBuf::from);
    let path = folder.join("weights/mobilenet0.25_Final.pth");
    if !path.exists() {
        println!("skipped: no {} (set SIGNCLIP_TEST_DATA)", path.display());
        return None;
    }
    Some(path)
}

fn keys(json: &Json) -> impl Iterator<Item = (&str, &Json)> {
    json.as_object().unwrap().iter().map(|(key, value)| (key.as_str(), value))
}

#[track_caller]
fn refusal(path: &Path) -> String {
    let Err(error) = TorchFile::open(path) else { panic!("{}: no error", path.display()) };
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(message.contains(name) && message.contains("; "), "{message}");
    message
}

#[test]
fn tensors_equal_those_of_pytorch() {
    let Some((folder, case)) = golden() else { return };
    for (file, about) in keys(&case["valid"]) {
        let path = folder.join(file);
        let checkpoint = TorchFile::open(&path).unwrap();
        let legacy = about.as_str().unwrap().contains("legacy");
        assert_eq!(checkpoint.layout() == Layout::Legacy, legacy, "{file}");
        let expected = SafetensorsFile::open(&folder.join("avhubert_mini_expected.safetensors")).unwrap();
        let mut compared = 0;
        // The fine-tuned file has a prefix, and keys of its own.
        let prefix = if file.contains("finetuned") { "model.encoder.w2v_model." } else { "model." };
        for (name, described) in keys(&case["tensors"]) {
            let full = format!("{prefix}{name}");
            let Some(shape) = checkpoint.shape(&full) else {
                assert!(file.contains("finetuned"), "{file}: no {full}");
                continue;
            };
            let kind = match described["dtype"].as_str().unwrap() {
                "float32" => Kind::Float,
                "float16" => Kind::Half,
                "bfloat16" => Kind::BFloat16,
                "float64" => Kind::Double,
                "int64" => Kind::Int64,
                other => panic!("{name}: {other}"),
            };
            let wanted: Vec<i64> = serde_json::from_value(described["shape"].clone()).unwrap();
            let tensor = checkpoint.tensor(&full).unwrap();
            assert_eq!((tensor.kind(), &shape, tensor.size()), (kind, &wanted, wanted.clone()), "{full}");
            assert!(tensor.is_contiguous() && checkpoint.kind(&full) == Some(kind));
            if let Some(reference) = expected.tensor(name) {
                let reference = reference.unwrap();
                // That file writes single numbers as arrays of one.
                let tensor = tensor.to_kind(reference.kind()).reshape(reference.size());
                assert!(tensor.equal(&reference), "{file}: {full}");
                compared += 1;
            }
        }
        println!("{file}: {compared} tensors equal, {:?}", checkpoint.placeholders());
        assert!(compared > 100 && checkpoint.placeholders().iter().any(|p| p == "argparse.Namespace"));
        if file.contains("finetuned") {
            assert!(checkpoint.names().any(|n| n == "model.decoder.embed_tokens.weight"));
            continue;
        }
        assert_eq!(compared, keys(&case["tensors"]).count());
        for (path, wanted) in keys(&case["expected_cfg_values"]) {
            let same = match (checkpoint.value(path), wanted) {
                (Some(Plain::Int(n)), Json::String(text)) => n.to_string() == *text,
                (Some(Plain::Int(n)), wanted) => wanted.as_i64().map(i128::from) == Some(n),
                (Some(Plain::Float(x)), wanted) => wanted.as_f64() == Some(x),
                (Some(Plain::Bool(b)), wanted) => wanted.as_bool() == Some(b),
                (Some(Plain::Text(text)), wanted) => wanted.as_str() == Some(&text),
                _ => false,
            };
            assert!(same, "{file}: {path} is {:?}, not {wanted}", checkpoint.value(path));
        }
    }
}

#[test]
fn hostile_and_damaged_files_are_refused() {
    let Some((folder, case)) = golden() else { return };
    for (file, about) in keys(&case["must_reject"]) {
        let message = refusal(&folder.join(file));
        println!("{message}");
        // The description says what the pickle would call.
        let called = about.as_str().unwrap().split_whitespace().find_map(|word| word.split_once('('));
        let called = called.map_or_else(|| about.as_str().unwrap().split("REDUCE ").nth(1), |(c, _)| Some(c));
        if let Some(name) = called.and_then(|c| c.split_whitespace().next()).filter(|c| c.contains('.')) {
            assert!(message.contains(name), "{file}: {name} is not named in: {message}");
        }
    }
}

#[test]
fn the_real_legacy_file_is_read() {
    let Some(path) = real_legacy_file() else { return };
    let file = TorchFile::open(&path).unwrap();
    assert_eq!(file.layout(), Layout::Legacy);
    assert_eq!(file.names().count(), 300);
    assert_eq!(file.shape("BboxHead.0.conv1x1.weight").as_deref(), Some(&[8, 64, 1, 1][..]));
    for name in file.names() {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(Some(tensor.size()), file.shape(name));
        let finite = tensor.isfinite().all();
        assert!(bool::try_from(finite).unwrap(), "{name}");
    }
}
