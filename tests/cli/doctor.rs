//! `extract doctor`: what this machine has, and the state of every weight file.

use crate::corpus::empty;
use crate::program::{Done, run, words};
use serde_json::Value;
use std::path::Path;

const CLIP: &str = "clip-vit-large-patch14/model.safetensors";

fn doctor(place: &Path, arguments: &str) -> Done {
    run(place, "extract", words(&format!("doctor {arguments}")))
}

/// State of the weight file `name`.
fn state(report: &Value, name: &str) -> String {
    let files = report["weights"].as_array().expect("a list of weight files");
    let file = files.iter().find(|f| f["path"] == name).unwrap_or_else(|| panic!("no {name} in {report}"));
    file["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn names_libraries_and_missing_weights() {
    let place = empty();
    let done = doctor(place.path(), "");
    done.exits(0).says(&["libavformat", "opencv", "cpu", "driver", "missing", "data sets", "compiled in"]);
    let libtorch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.libtorch/installed.json");
    let libtorch: Value =
        serde_json::from_slice(&std::fs::read(libtorch).expect("its wheels")).expect("JSON");
    let libtorch = libtorch["wheels"][0]["version"].as_str().expect("a version").to_owned();
    done.says(&[&format!("libtorch     {libtorch} in ")]);
    let version = run(place.path(), "extract", ["--version"]);
    version.exits(0).says(&[&format!("libtorch {libtorch} in "), "FFmpeg ", "GPL version", "OpenCV 4."]);
    done.says(&["$SIGNCLIP_WEIGHTS (not set)", CLIP, "https://"]);
    let report = doctor(place.path(), "--json").exits(0).json();
    assert_eq!(state(&report, CLIP), "missing");
}

#[test]
fn knows_files_that_are_not_the_weights() {
    let place = empty();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/weights.json");
    let manifest = std::fs::read_to_string(manifest).expect("the table of weight files");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let files = manifest["files"].as_array().expect("files");
    let known = |f: &&Value| f["bytes"].is_u64() && f["sha256"].is_string();
    let smallest =
        files.iter().filter(known).min_by_key(|f| f["bytes"].as_u64()).expect("a file of known size");
    let (name, bytes) =
        (smallest["path"].as_str().expect("a path"), smallest["bytes"].as_u64().expect("a size"));
    let write = |name: &str, bytes: &[u8]| {
        let path = place.path().join("weights").join(name);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    };
    let states = || doctor(place.path(), "--json").exits(0).json();
    write(CLIP, b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1710540580\n");
    write(name, b"short");
    assert_eq!(state(&states(), CLIP), "LFS pointer");
    assert_eq!(state(&states(), name), "wrong size");
    write(name, &vec![7; bytes as usize]);
    assert_eq!(state(&states(), name), "wrong sha256");
    doctor(place.path(), "").exits(0).says(&["LFS pointer", "git lfs pull", "wrong sha256", "missing"]);
    // The folder given on the command line is the one looked at.
    assert_eq!(state(&doctor(place.path(), "--json --weights .").json(), name), "missing");
}

#[test]
fn knows_the_real_file() {
    let data = crate::real_data::folder().map(|data| data.join("weights/mobilenet0.25_Final.pth"));
    let Some(file) = data.filter(|file| file.is_file()) else { return };
    let place = empty();
    let name = "retinaface/mobilenet0.25_Final.pth";
    std::fs::create_dir_all(place.path().join("weights/retinaface")).expect("a folder");
    std::fs::copy(file, place.path().join("weights").join(name)).expect("a copy");
    assert_eq!(state(&doctor(place.path(), "--json").json(), name), "present");
}
