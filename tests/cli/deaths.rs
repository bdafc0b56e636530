//! A run that dies over a clip, again and again.

use crate::corpus::{empty, ids, store, verified};
use crate::program::{command, extract, finish, send, words};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const LINE: &str = "--preset tiny --gpus cpu --streams spatial --dataset own.jsonl --out out";

/// Clips that take some seconds, and a short one.
fn clips(place: &Path, slow: &[&str]) {
    let mut list = String::new();
    for id in slow.iter().chain(&["quick"]) {
        let mut ffmpeg = Command::new("ffmpeg");
        let seconds = if *id == "quick" { 1 } else { 60 };
        let source = format!("testsrc2=size=320x240:rate=25:duration={seconds}");
        ffmpeg.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source, "-c:v", "mpeg4"]);
        ffmpeg.arg(place.join(format!("{id}.mp4")));
        finish(ffmpeg).exits(0);
        list += &format!("{}\n", json!({ "id": id, "video": format!("{id}.mp4") }));
    }
    std::fs::write(place.join("own.jsonl"), list).expect("a list");
}

/// A run that is in the middle of exactly these clips, with the short one stored.
fn start(place: &Path, clips: &[&str]) -> Child {
    let mut child = command("extract");
    child.current_dir(place).args(words(LINE)).stdout(Stdio::null()).stderr(Stdio::null());
    let (begun, time) = (Instant::now(), SystemTime::now());
    let child = child.spawn().expect("extract starts");
    while !(in_flight(place, time) == clips && stored(place)) {
        assert!(begun.elapsed() < Duration::from_secs(120), "{clips:?} are not begun after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// What the run begun at `time` is at work on, in alphabetical order.
fn in_flight(place: &Path, time: SystemTime) -> Vec<String> {
    let record = place.join("out/all/.working-00000");
    // Not what the last run left there.
    if !record.metadata().and_then(|meta| meta.modified()).is_ok_and(|changed| changed > time) {
        return Vec::new();
    }
    let record = std::fs::read(record).unwrap_or_default();
    let at_work = record.chunks(4096).skip(1).filter_map(|place| place.strip_prefix(b" "));
    let mut ids: Vec<String> = at_work
        .filter_map(|rest| Some(String::from_utf8_lossy(rest.split(|&b| b == b'\n').next()?).into_owned()))
        .collect();
    ids.sort();
    ids
}

/// Whether a clip is indexed.
fn stored(place: &Path) -> bool {
    std::fs::metadata(place.join("out/all/clips-00000.jsonl")).is_ok_and(|index| index.len() > 0)
}

fn die(mut child: Child, signal: &str) {
    send(signal, child.id());
    assert_eq!(child.wait().expect("an end").code(), None, "it died by the signal");
}

#[test]
fn a_clip_that_kills_every_run_is_passed_over() {
    let place = empty();
    clips(place.path(), &["slow"]);
    // Killed from outside, it is named and not blamed, however often.
    for _ in 0..3 {
        die(start(place.path(), &["slow"]), "-KILL");
    }
    die(start(place.path(), &["slow"]), "-SEGV");
    die(start(place.path(), &["slow"]), "-ABRT");
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

/// A process that has crashed cannot always tell over which of its clips: a signal that is none of the readers' marks all.
#[test]
fn only_the_clip_that_crashes_alone_is_blamed() {
    let place = empty();
    clips(place.path(), &["bad", "good"]);
    die(start(place.path(), &["bad", "good"]), "-SEGV");
    let time = SystemTime::now();
    let child = start(place.path(), &["bad"]);
    // Readers without work are there, and leave it alone.
    for _ in 0..100 {
        assert_eq!(in_flight(place.path(), time), ["bad"]);
        std::thread::sleep(Duration::from_millis(2));
    }
    die(child, "-SEGV");
    let done = extract(place.path(), "--streams spatial --dataset own.jsonl --out out");
    done.fails("bad", &["has crashed over it twice", "--only bad"]);
    done.says(&["the last run ended in the middle of bad", "one at a time", "over them: good"]);
    let out = place.path().join("out");
    assert_eq!(ids(&store(&out, "all")), ["good", "quick"]);
    let deaths = std::fs::read_to_string(out.join("all/deaths-00000.json")).expect("the record of deaths");
    assert!(deaths.contains("bad") && !deaths.contains("good"), "{deaths}");
}
