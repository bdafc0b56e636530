//! `kill -9` at any moment, then the same command: nothing is lost, doubled or different.

use crate::corpus::{empty, extract_phoenix, features, payloads, phoenix, store, verified};
use crate::program::command;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
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

/// `just crash-loop` asks for 50 kills; each time that a store is whole the next one is begun.
#[test]
fn at_random_moments() {
    let kills = std::env::var("SIGNCLIP_KILLS").ok().map_or(4, |n| n.parse().expect("a number of kills"));
    let whole = {
        let (out, begun) = (empty(), Instant::now());
        assert!(start(out.path()).wait().expect("it ends").success());
        begun.elapsed()
    };
    let seed = RandomState::new().build_hasher().finish();
    println!("{kills} kills within {whole:.1?} of the start, seed {seed}");
    let (mut out, mut stores, mut lost) = (empty(), 0, BTreeMap::<usize, usize>::new());
    for number in 0..kills {
        let mut child = start(out.path());
        // The whole range, without a library: the fraction of a multiple of the golden ratio.
        let random =
            (seed.wrapping_add(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / 2f64.powi(53);
        std::thread::sleep(whole.mul_f64(random));
        let ended = child.try_wait().expect("a process").is_some();
        kill(child);
        *lost.entry(indexed(out.path())).or_default() += 1;
        if ended || indexed(out.path()) == 12 {
            finishes_as_if_nothing_had_happened(out.path());
            (out, stores) = (empty(), stores + 1);
        }
    }
    finishes_as_if_nothing_had_happened(out.path());
    println!("{} stores equal to an uninterrupted one; clips there after a kill: {lost:?}", stores + 1);
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
