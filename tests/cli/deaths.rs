//! A run that dies over a clip, again and again.

use crate::corpus::{empty, ids, store, verified};
use crate::program::{command, extract, finish, send, words};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const LINE: &str = "--preset tiny --gpus cpu --streams spatial --dataset own.jsonl --out out";

/// A clip that takes some seconds and a short one.
fn clips(place: &Path) {
    for (id, seconds) in [("slow", 60), ("quick", 1)] {
        let mut ffmpeg = Command::new("ffmpeg");
        let source = format!("testsrc2=size=320x240:rate=25:duration={seconds}");
        ffmpeg.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source, "-c:v", "mpeg4"]);
        ffmpeg.arg(place.join(format!("{id}.mp4")));
        finish(ffmpeg).exits(0);
    }
    let line = |id: &str| format!("{}\n", json!({ "id": id, "video": format!("{id}.mp4") }));
    std::fs::write(place.join("own.jsonl"), line("slow") + &line("quick")).expect("a list");
}

/// A run that is in the middle of the slow clip alone.
fn start(place: &Path) -> Child {
    let mut child = command("extract");
    child.current_dir(place).args(words(LINE)).stdout(Stdio::null()).stderr(Stdio::null());
    let (begun, time) = (Instant::now(), SystemTime::now());
    let child = child.spawn().expect("extract starts");
    let at_work = || {
        let record = place.join("out/all/.working-00000");
        // Not what the last run left there.
        if !record.metadata().and_then(|meta| meta.modified()).is_ok_and(|changed| changed > time) {
            return false;
        }
        let record = std::fs::read(record).unwrap_or_default();
        let stands = |id: &[u8]| record.windows(id.len()).any(|window| window == id);
        let index = std::fs::read(place.join("out/all/clips-00000.jsonl")).unwrap_or_default();
        stands(b" slow\n") && !stands(b" quick\n") && !index.is_empty()
    };
    while !at_work() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the slow clip is not begun after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

fn die(mut child: Child, signal: &str) {
    send(signal, child.id());
    assert_eq!(child.wait().expect("an end").code(), None, "it died by the signal");
}

#[test]
fn a_clip_that_kills_every_run_is_passed_over() {
    let place = empty();
    clips(place.path());
    // Killed from outside, it is named and not blamed, however often.
    for _ in 0..3 {
        die(start(place.path()), "-KILL");
    }
    die(start(place.path()), "-SEGV");
    die(start(place.path()), "-ABRT");
    let done = extract(place.path(), "--streams spatial --dataset own.jsonl --out out");
    done.fails("slow", &["has crashed over it twice", "--only slow"]);
    done.says(&["the last run ended in the middle of slow"]);
    let out = place.path().join("out");
    assert_eq!(ids(&store(&out, "all")), ["quick"]);
    // It is not tried again by itself, and the next run has nothing to tell of a death.
    let done = extract(place.path(), "--streams spatial --dataset own.jsonl --out out");
    done.fails("slow", &["has crashed over it twice"]);
    assert!(!done.stderr.contains("in the middle of"), "{done}");
    extract(place.path(), "--streams spatial --dataset own.jsonl --out out --only slow").exits(0);
    verified(&out);
    extract(place.path(), "--streams spatial --dataset own.jsonl --out out").exits(0);
    for file in [".working-00000", "deaths-00000.json"] {
        assert!(!out.join("all").join(file).exists(), "{file}");
    }
}
