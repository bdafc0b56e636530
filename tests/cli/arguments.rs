//! Command lines that ask for what is not there.

use crate::corpus::{empty, extract_phoenix, files, phoenix};
use crate::program::{extract, run, words};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

#[test]
fn of_extract() {
    let place = empty();
    let root = phoenix().display();
    for (arguments, parts) in [
        ("", ["nothing to extract", "--dataset"]),
        ("--dataset nosuch", ["data set \"nosuch\"", "known: csl-daily, how2sign, phoenix;"]),
        ("--dataset phoenix --root nosuch", ["phoenix was not found", "nosuch (--root)"]),
        ("--dataset phoenix --root .", [".: no annotation file", "PHOENIX-2014-T.train.corpus.csv"]),
        ("--dataset phoenix --root ROOT --limit 0", ["no clips to extract", "--limit"]),
        ("--dataset phoenix --root ROOT --split nosuch", ["no split \"nosuch\"", "train, dev, test"]),
        ("--dataset phoenix --root ROOT --only nosuch --out o", ["--only nosuch", "annotation file"]),
        ("--dataset phoenix --root ROOT --dtype f64", ["--dtype f64", "bf16"]),
        ("--dataset phoenix --root ROOT --gpus gpu", ["--gpus gpu", "--gpus 0,1"]),
        ("--dataset nosuch.jsonl", ["nosuch.jsonl", "check the path"]),
        ("--videos nosuch.mp4", ["nosuch.mp4: no such file or folder; ", "correct the path"]),
        ("--videos ..", ["--videos \"..\"", "clip id"]),
        ("--videos a.mp4 b/a.mp4", ["named \"a\"", "rename"]),
        ("--verify", ["--verify", "--out"]),
        ("--verify --out nosuch", ["nosuch: no such folder", "--out"]),
        ("--verify --out .", [".: no feature store here", "extract --dataset"]),
    ] {
        let line = arguments.replace("ROOT", &root.to_string());
        let gpus = if line.contains("--gpus") { "" } else { "--gpus cpu" };
        run(place.path(), "extract", words(&format!("--preset tiny {gpus} {line}"))).refuses(&[&parts]);
    }
    assert!(files(place.path()).is_empty(), "nothing may be written");
}

#[test]
fn that_nobody_knows() {
    let place = empty();
    for name in ["extract", "train", "evaluate"] {
        run(place.path(), name, ["--nosuch"]).exits(2).says(&["--nosuch", "--help"]);
    }
    run(place.path(), "extract", words("--dataset phoenix --videos a.mp4")).exits(2).says(&["--videos"]);
    run(place.path(), "extract", words("--dataset phoenix --limit many")).exits(2).says(&["--limit"]);
    run(place.path(), "extract", words("--preset huge")).exits(2).says(&["paper"]);
    run(place.path(), "train", words("--preset tiny")).exits(2).says(&["--features"]);
}

#[test]
fn that_are_not_utf8() {
    let place = empty();
    let odd = OsStr::from_bytes(b"odd\xff");
    let done = run(place.path(), "extract", [OsStr::new("--dataset"), odd]);
    done.exits(2).says(&["UTF-8"]);
    // A path may be anything the file system allows.
    let root = place.path().join(odd);
    std::os::unix::fs::symlink(phoenix(), &root).expect("a link");
    let known =
        ["--dataset", "phoenix", "--split", "test", "--preset", "tiny", "--limit", "1", "--gpus", "cpu"];
    let arguments = known.map(OsStr::new).into_iter();
    let paths = [OsStr::new("--root"), odd, OsStr::new("--out"), OsStr::from_bytes(b"out\xfe")];
    run(place.path(), "extract", arguments.chain(paths)).exits(0);
    assert!(place.path().join(OsStr::from_bytes(b"out\xfe")).join("test/store.json").is_file());
}

#[test]
fn out_is_a_file() {
    let place = empty();
    std::fs::write(place.path().join("file"), "x").expect("a file");
    for out in ["file", "file/below"] {
        let done = extract_phoenix(&place.path().join(out), "--split test");
        done.refuses(&[&[out, "a file is where a folder should be"]]);
    }
    assert_eq!(std::fs::read(place.path().join("file")).expect("still there"), b"x");
}

#[test]
fn folders_that_may_not_be_read() {
    let place = empty();
    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).expect("closed");
    if std::fs::read_dir(&closed).is_ok() {
        println!("skipped: root may read everything");
        return;
    }
    extract(place.path(), "--dataset phoenix --root closed").refuses(&[&["closed"]]);
    extract(place.path(), "--verify --out closed").refuses(&[&["closed", "check the permissions"]]);
    extract_phoenix(&closed.join("out"), "").refuses(&[&["closed/out", "check the permissions"]]);
}

#[test]
fn a_reader_that_has_seen_enough() {
    // `extract --dry-run --json | true`
    let mut command = crate::program::command("extract");
    command.args(["--dataset", "phoenix", "--dry-run", "--json", "--root"]).arg(phoenix());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
