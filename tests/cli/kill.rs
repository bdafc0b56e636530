//! `kill -9` at any moment, then the same command: nothing is lost, doubled or different.

use crate::corpus::{empty, extract_phoenix, features, payloads, phoenix, store, verified};
use crate::program::command;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn start(out: &Path) -> Child {
    let mut command = command("extract");
    command.args(["--preset", "tiny", "--gpus", "cpu", "--dataset", "phoenix", "--split", "train"]);
    command.arg("--root").arg(phoenix()).arg("--out").arg(out);
    command.arg("--landmarks").arg(phoenix().join("landmarks"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("extract starts")
}

fn kill(mut child: Child) {
    // SIGKILL; an error means that it has ended already.
    let _ = child.kill();
    child.wait().expect("it ends");
}

/// Clips in the index.
fn indexed(out: &Path) -> usize {
    let index = std::fs::read(out.join("train/clips-00000.jsonl")).unwrap_or_default();
    index.iter().filter(|&&byte| byte == b'\n').count()
}

/// The same command once more finishes the work, equal to that of an uninterrupted run.
#[track_caller]
fn finishes_as_if_nothing_had_happened(out: &Path) {
    extract_phoenix(out, "--split train").exits(0);
    verified(out);
    assert_eq!(payloads(&store(out, "train")), payloads(&store(features(), "train")));
}

#[test]
fn after_some_clips() {
    let out = empty();
    for clips in [1, 4, 9] {
        let child = start(out.path());
        let begun = Instant::now();
        while indexed(out.path()) < clips {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{clips} clips are not there after two minutes"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        kill(child);
        let left = indexed(out.path());
        assert!((clips..12).contains(&left), "the kill came too late: {left} clips");
    }
    finishes_as_if_nothing_had_happened(out.path());
}

#[test]
fn at_arbitrary_times() {
    let out = empty();
    for milliseconds in [3, 40, 150, 400, 700, 1100] {
        let child = start(out.path());
        std::thread::sleep(Duration::from_millis(milliseconds));
        kill(child);
    }
    finishes_as_if_nothing_had_happened(out.path());
}

#[test]
fn what_a_kill_leaves_behind_the_last_clip_is_cut_off() {
    let out = empty();
    extract_phoenix(out.path(), "--split train --limit 3").exits(0);
    let append = |name: &str, bytes: &[u8]| {
        let path = out.path().join("train").join(name);
        let mut content = std::fs::read(&path).expect("a file of the store");
        content.extend_from_slice(bytes);
        std::fs::write(&path, content).expect("written");
    };
    append("spatial-00000-00000.npy", &[0x55; 777]);
    append("mouthing-00000-00000.npy", &[0x55; 33]);
    append("clips-00000.jsonl", br#"{"id":"half a li"#);
    finishes_as_if_nothing_had_happened(out.path());
}
