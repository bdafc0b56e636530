//! Pictures and videos that cannot be used: those clips fail and are listed, the others are stored.

use crate::corpus::{copy, empty, files, how2sign, ids, phoenix, store, verified};
use crate::program::extract;
use serde_json::json;
use std::path::Path;

/// A folder with one good clip and every kind of bad one, listed in `own.jsonl`.
fn clips(place: &Path) {
    let video = files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0].clone();
    let bytes = std::fs::read(&video).expect("a video");
    let write = |name: &str, bytes: &[u8]| std::fs::write(place.join(name), bytes).expect("a file");
    write("good.mp4", &bytes);
    write("zero.mp4", b"");
    write("head.mp4", &bytes[..3000]);
    write("half.mp4", &bytes[..bytes.len() / 2]);
    write("text.mp4", b"this is no video\n");
    let pictures = files(&files(&phoenix().join("features/fullFrame-210x260px/test"))[0]);
    for folder in ["truncated", "nothing", "readme", "odd"] {
        std::fs::create_dir(place.join(folder)).expect("a folder");
    }
    for (number, picture) in pictures[..4].iter().enumerate() {
        let bytes = std::fs::read(picture).expect("a picture");
        let end = if number == 2 { bytes.len() / 2 } else { bytes.len() };
        write(&format!("truncated/images{number}.png"), &bytes[..end]);
    }
    write("readme/readme.txt", b"no picture");
    write("odd/images0001.png", b"no picture");
    let lines = [
        json!({"id": "good", "video": "good.mp4"}),
        json!({"id": "zero", "video": "zero.mp4"}),
        json!({"id": "head", "video": "head.mp4"}),
        json!({"id": "half", "video": "half.mp4"}),
        json!({"id": "text", "video": "text.mp4"}),
        json!({"id": "end", "video": "good.mp4", "start": 0.5, "end": 1000.0}),
        json!({"id": "start", "video": "good.mp4", "start": 900.0, "end": 1000.0}),
        json!({"id": "absent", "video": "absent.mp4"}),
        json!({"id": "folder", "video": "nothing"}),
        json!({"id": "truncated", "frames": "truncated"}),
        json!({"id": "nothing", "frames": "nothing"}),
        json!({"id": "readme", "frames": "readme"}),
        json!({"id": "odd", "frames": "odd"}),
        json!({"id": "file", "frames": "good.mp4"}),
        json!({"id": "last", "video": "good.mp4", "start": 0.2, "end": 1.0}),
    ];
    write("own.jsonl", lines.map(|l| format!("{l}\n")).concat().as_bytes());
}

#[test]
fn bad_clips_fail_and_good_ones_are_stored() {
    let place = empty();
    clips(place.path());
    let done = extract(place.path(), "--dataset own.jsonl --out out");
    for (id, parts) in [
        ("zero", ["zero.mp4", "empty (0 bytes)"]),
        ("head", ["head.mp4", "not a complete video"]),
        ("half", ["half.mp4", "not a complete video"]),
        ("text", ["text.mp4", "not a complete video"]),
        ("end", ["good.mp4, end 1000 s", "beyond the end of the video"]),
        ("start", ["good.mp4, start 900 s", "beyond the end of the video"]),
        ("absent", ["absent.mp4", "check the path"]),
        ("folder", ["nothing", "is a folder"]),
        ("truncated", ["truncated/images2.png", "not a complete PNG"]),
        ("nothing", ["nothing", "no frames"]),
        ("readme", ["readme", "no frames"]),
        ("odd", ["odd/images0001.png", "no picture that can be read"]),
        ("file", ["good.mp4", "check"]),
    ] {
        let parts = if id == "file" { ["good.mp4", "a file is where a folder"] } else { parts };
        done.fails(id, &parts);
    }
    done.says(&["13 clips failed"]);
    let out = place.path().join("out");
    assert_eq!(ids(&store(&out, "all")), ["good", "last"]);
    verified(&out);
    let failures =
        std::fs::read_to_string(out.join("all/failures-00000.jsonl")).expect("failures are recorded");
    assert_eq!(failures.lines().count(), 13);
    for line in failures.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(["id", "stage", "reason"].iter().all(|f| line[f].as_str().is_some_and(|t| !t.is_empty())));
    }

    // Mended, the same command takes them in, and nothing is left in the list.
    std::fs::copy(place.path().join("good.mp4"), place.path().join("zero.mp4")).expect("a copy");
    extract(place.path(), "--dataset own.jsonl --out out --only zero").exits(0);
    let failures = std::fs::read_to_string(out.join("all/failures-00000.jsonl")).expect("the others failed");
    assert_eq!(failures.lines().count(), 12, "{failures}");
    assert_eq!(ids(&store(&out, "all")), ["good", "last", "zero"]);
    verified(&out);
}

#[test]
fn mended_clips_leave_the_list_of_failures() {
    let place = empty();
    let clip = place.path().join("clip");
    copy(&files(&phoenix().join("features/fullFrame-210x260px/test"))[0], &clip);
    let (picture, list) = (files(&clip)[5].clone(), place.path().join("own.jsonl"));
    let whole = std::fs::read(&picture).expect("a picture");
    std::fs::write(&picture, &whole[..whole.len() - 30]).expect("written");
    std::fs::write(list, "{\"id\":\"clip\",\"frames\":\"clip\"}\n").expect("a list");
    let failures = place.path().join("out/all/failures-00000.jsonl");
    extract(place.path(), "--dataset own.jsonl --out out").fails("clip", &["clip/images0006.png"]);
    assert!(failures.exists());
    assert!(store(&place.path().join("out"), "all").clips.is_empty(), "no partial row");
    std::fs::write(&picture, &whole).expect("written");
    extract(place.path(), "--dataset own.jsonl --out out").exits(0);
    assert!(!failures.exists());
    assert_eq!(store(&place.path().join("out"), "all").clips[0].frames, files(&clip).len());
    verified(&place.path().join("out"));
}

/// Clips that are stored are those of the data set: one whose words, part or source changed is not passed over.
#[test]
fn a_data_set_that_has_changed() {
    let place = empty();
    let video = files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0].clone();
    std::fs::copy(&video, place.path().join("a.mp4")).expect("a video");
    std::fs::copy(&video, place.path().join("b.mp4")).expect("a video");
    let write = |lines: &[serde_json::Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(place.path().join("own.jsonl"), text).expect("a list");
    };
    let a = json!({"id": "a", "video": "a.mp4", "start": 0.2, "end": 0.8, "text": "eins"});
    let b = json!({"id": "b", "video": "b.mp4", "end": 0.4, "text": "zwei"});
    let extract = || extract(place.path(), "--dataset own.jsonl --streams spatial --out out");
    write(&[a.clone(), b.clone()]);
    extract().exits(0);
    for (field, value) in [("text", json!("drei")), ("start", json!(0.1)), ("end", json!(0.9))] {
        let mut changed = a.clone();
        changed[field] = value;
        write(&[changed, b.clone()]);
        extract().refuses(&[&["out/all", &format!("clip \"a\", {field}"), "the data set has", "--out"]]);
    }
    // Moved is not changed; another one under the same name is.
    write(&[a.clone(), b.clone()]);
    std::fs::write(place.path().join("b.mp4"), [std::fs::read(&video).expect("a video"), vec![0]].concat())
        .expect("written");
    extract().refuses(&[&["clip \"b\", source_bytes", "b.mp4"]]);
    std::fs::copy(&video, place.path().join("b.mp4")).expect("a video");
    write(std::slice::from_ref(&a));
    extract().exits(0).says(&["1 clip not in the data set any more", "e.g. b"]);
}

/// A clip that failed and was taken out of the data set is forgotten; one that was not asked for is not reported again.
#[test]
fn failures_of_other_clips() {
    let place = empty();
    clips(place.path());
    let list = std::fs::read_to_string(place.path().join("own.jsonl")).expect("a list");
    let of = |ids: &[&str]| -> String {
        let is_one = |line: &&str| ids.iter().any(|id| line.contains(&format!("\"id\":\"{id}\"")));
        list.lines().filter(is_one).map(|line| format!("{line}\n")).collect()
    };
    let write = |text: String| std::fs::write(place.path().join("own.jsonl"), text).expect("a list");
    let extract = |more: &str| {
        extract(place.path(), &format!("--dataset own.jsonl --streams spatial --out out {more}"))
    };
    write(of(&["good", "zero"]));
    extract("").exits(1);
    extract("--only good").exits(0);
    let failures = place.path().join("out/all/failures-00000.jsonl");
    assert!(failures.is_file(), "the other clip is still to be mended");
    // Damaged, it is in the way of nothing but itself.
    std::fs::write(&failures, "{\n").expect("written");
    extract("").refuses(&[&["failures-00000.jsonl", "delete it"]]);
    std::fs::remove_file(&failures).expect("removed");
    extract("").exits(1);
    write(of(&["good"]));
    extract("").exits(0);
    assert!(!failures.exists());
    extract("--split tset").refuses(&[&["no split \"tset\"", "it has all"]]);
}
