//! Stores that a run must not add to, and stores that are damaged.

use crate::corpus::{copy, empty, extract_phoenix, features, payloads, store, tree, verified};
use crate::program::extract;
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy of the test split's features.
fn split() -> (TempDir, PathBuf) {
    let place = empty();
    let split = place.path().join("test");
    copy(&features().join("test"), &split);
    (place, split)
}

fn write_at(path: &Path, offset: usize, bytes: &[u8]) {
    let mut content = std::fs::read(path).expect("a file of the store");
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, content).expect("written");
}

#[test]
fn made_with_other_weights_or_settings() {
    let (place, _) = split();
    let before = tree(&place.path().join("test"));
    for (flag, parts) in [
        ("--salt 1", ["streams.mouthing.weights", "\"salt 0x0\"", "\"salt 0x1\""]),
        ("--s2-source frame", ["streams.spatial.config.s2_source", "\"upsampled\"", "\"frame\""]),
        ("--store-dtype f32", ["dtype", "\"<f2\"", "\"<f4\""]),
        ("--lip-layer 1", ["streams.mouthing.config.layer", "null", "1"]),
        ("--dtype bf16", ["streams.mouthing.compute", "\"f32\"", "\"bf16\""]),
    ] {
        let done = extract_phoenix(place.path(), &format!("--split test {flag}"));
        done.refuses(&[&[&["test/store.json"], parts.as_slice(), &["--out"]].concat()]);
        assert!(tree(&place.path().join("test")) == before, "{flag} has changed the store");
    }
}

#[test]
fn written_by_another_process() {
    let (place, split) = split();
    let lock = split.join(".lock-00000");
    let lock = File::options().create(true).truncate(false).write(true).open(lock).expect("a lock file");
    lock.lock().expect("locked");
    extract_phoenix(place.path(), "--split test").refuses(&[&["test: another process", "wait"]]);
    drop(lock);
    extract_phoenix(place.path(), "--split test").exits(0);
}

#[test]
fn descriptions() {
    let (place, split) = split();
    let description = std::fs::read_to_string(split.join("store.json")).expect("a description");
    for (content, parts) in [
        ("{".to_owned(), ["line 1", "extract again"]),
        (String::new(), ["EOF", "extract again"]),
        (description.replace("\"format\": 2", "\"format\": 9"), ["format", "version 9"]),
        (description.replace("\"fps\"", "\"fpz\""), ["unknown field `fpz`", "another version"]),
    ] {
        std::fs::write(split.join("store.json"), content).expect("written");
        let line: &[&str] = &["test/store.json", parts[0], parts[1]];
        extract_phoenix(place.path(), "--split test").refuses(&[line]);
        extract(place.path(), "--verify --out .").refuses(&[line]);
    }
    std::fs::remove_file(split.join("store.json")).expect("removed");
    extract_phoenix(place.path(), "--split test").refuses(&[&[
        "test/store.json",
        "missing",
        "clips-00000.jsonl",
    ]]);
}

#[test]
fn indexes() {
    let (place, split) = split();
    let index = split.join("clips-00000.jsonl");
    let lines = std::fs::read_to_string(&index).expect("an index");
    std::fs::write(&index, lines.replacen("{\"id\"", "{\"if\"", 1)).expect("written");
    let line: &[&str] = &["test/clips-00000.jsonl", "line 1", "extract again"];
    extract_phoenix(place.path(), "--split test").refuses(&[line]);
    extract(place.path(), "--verify --out .").refuses(&[line]);

    // A clip twice, and rows beyond the file.
    std::fs::write(&index, lines.repeat(2)).expect("written");
    extract(place.path(), "--verify --out .").refuses(&[&["clips-00000.jsonl", "is already in"]]);
    std::fs::write(&index, lines.replace("\"offset\":0", "\"offset\":100000000")).expect("written");
    extract(place.path(), "--verify --out .").refuses(&[&["mouthing-00000-00000.npy", "does not have"]]);
}

#[test]
fn payloads_that_changed() {
    let (place, split) = split();
    let shard = split.join("spatial-00000-00000.npy");
    write_at(&shard, 5000, &[0x55; 12]);
    let done = extract(place.path(), "--verify --out .");
    done.exits(1).says(&["checksum differs in ./test/spatial-00000-00000.npy", "1 problem;"]);
    let report = extract(place.path(), "--verify --out . --json");
    let problems = report.exits(1).json()["test"]["problems"].as_array().map_or(0, Vec::len);
    assert_eq!(problems, 1, "{report}");

    copy(&features().join("test"), &split);
    write_at(&shard, 0, b"nonsense");
    extract(place.path(), "--verify --out .").refuses(&[&["test/spatial-00000-00000.npy", "header"]]);

    copy(&features().join("test"), &split);
    let whole = std::fs::read(&shard).expect("a shard");
    std::fs::write(&shard, &whole[..1000]).expect("written");
    let line: &[&str] = &["test/spatial-00000-00000.npy", "length", "extract again"];
    extract(place.path(), "--verify --out .").refuses(&[line]);
    extract_phoenix(place.path(), "--split test").refuses(&[line]);
}

/// An index or a description that is gone does not make a store without problems.
#[test]
fn what_is_gone_is_missed() {
    let (place, split) = split();
    std::fs::remove_file(split.join("clips-00000.jsonl")).expect("removed");
    let done = extract(place.path(), "--verify --out .");
    done.exits(1).says(&["spatial-00000-00000.npy: ", "rows where the index has 0", "--only ID"]);
    copy(&features().join("test"), &split);
    std::fs::remove_file(split.join("store.json")).expect("removed");
    extract(place.path(), "--verify --out .").refuses(&[&["test/store.json", "no feature store here"]]);
    extract(place.path(), "--verify --out . --split tset").refuses(&[&["no split \"tset\"", "--split"]]);
    // Ids are names of files, and clips have frames.
    copy(&features().join("test"), &split);
    let index = split.join("clips-00000.jsonl");
    let lines = std::fs::read_to_string(&index).expect("an index");
    let id = &store(features(), "test").clips[0].id;
    for (from, to) in [
        (format!("\"{id}\""), "\"../x\"".to_owned()),
        ("\"frames\":".to_owned(), "\"frames\":0,\"x\":".to_owned()),
    ] {
        std::fs::write(&index, lines.replacen(&from, &to, 1)).expect("written");
        extract(place.path(), "--verify --out .").refuses(&[&["clips-00000.jsonl, line "]]);
    }
}

#[test]
fn a_lost_index_line_is_extracted_again() {
    let (place, split) = split();
    let index = split.join("clips-00000.jsonl");
    let lines = std::fs::read_to_string(&index).expect("an index");
    let first = lines.lines().next().expect("a line");
    std::fs::write(&index, format!("{first}\n")).expect("written");
    extract_phoenix(place.path(), "--split test").exits(0);
    verified(place.path());
    assert_eq!(payloads(&store(place.path(), "test")), payloads(&store(features(), "test")));
}
