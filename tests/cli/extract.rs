//! `extract` on whole data: what is stored, and what a second run does.

use crate::corpus::{
    copy, empty, extract_phoenix, features, files, how2sign, ids, payloads, phoenix, store, tree, verified,
};
use crate::program::extract;
use std::path::Path;

#[test]
fn every_png_becomes_a_row() {
    for (split, clips) in [("train", 12), ("dev", 2), ("test", 2)] {
        let store = store(features(), split);
        assert_eq!(store.clips.len(), clips, "{split}");
        assert_eq!((store.info.dataset.as_str(), store.info.split.as_str()), ("phoenix", split));
        let media = phoenix().join("features/fullFrame-210x260px").join(split);
        for clip in &store.clips {
            assert_eq!(clip.frames, files(&media.join(&clip.id)).len(), "{}", clip.id);
            assert!(!clip.facts.resampled && clip.facts.source_fps == 25.0, "{}", clip.id);
            assert!(clip.facts.text.as_ref().is_some_and(|t| t.split(' ').count() > 3), "{}", clip.id);
        }
        let finite =
            |clip| store.features(clip, "spatial").expect("rows").to_f32().iter().all(|x| x.is_finite());
        assert!((0..clips).all(finite), "{split}");
    }
    verified(features());
}

#[test]
fn a_second_run_changes_nothing() {
    let out = empty();
    copy(features(), out.path());
    let before = tree(out.path());
    let done = extract_phoenix(out.path(), "--json");
    done.exits(0);
    for (split, clips) in [("train", 12), ("dev", 2), ("test", 2)] {
        let outcome = &done.json()[split];
        assert_eq!((&outcome["already_done"], &outcome["stored"]), (&clips.into(), &0.into()), "{done}");
    }
    let after = tree(out.path());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    // What a run writes about itself: its log, and how far it is.
    let own = ["extract.log.jsonl", "progress-00000.json"];
    for (path, bytes) in after.iter().filter(|(path, _)| !own.iter().any(|name| path.ends_with(name))) {
        assert!(before[path] == *bytes, "{} has changed", path.display());
    }
}

#[test]
fn a_plan_writes_nothing() {
    let place = empty();
    let root = phoenix().display();
    let done = extract(place.path(), &format!("--dataset phoenix --root {root} --dry-run"));
    done.exits(0).says(&["Nothing was done", "train", "vocabulary"]);
    let done = extract(place.path(), &format!("--dataset phoenix --root {root} --dry-run --json --out o"));
    done.exits(0);
    let plan = done.json();
    assert_eq!((&plan["clips"], &plan["missing_media"]), (&16.into(), &0.into()));
    for (split, clips) in [("train", 12), ("dev", 2), ("test", 2)] {
        let store = store(features(), split);
        let frames: usize = store.clips.iter().map(|c| c.frames).sum();
        let words: std::collections::BTreeSet<&str> = store
            .clips
            .iter()
            .flat_map(|c| c.facts.text.as_deref().unwrap_or("").split_whitespace())
            .collect();
        let plan = &plan["splits"][split];
        assert_eq!(plan["clips"], clips, "{plan}");
        assert_eq!(plan["frames_to_encode"], frames, "{plan}");
        assert_eq!(plan["vocabulary"], words.len(), "{plan}");
        let columns: usize = store.info.streams.values().map(|stream| stream.dim).sum();
        let row = columns * store.info.dtype.bytes();
        assert_eq!(plan["bytes_to_write"], frames * row, "{plan}");
    }
    assert!(files(place.path()).is_empty(), "a plan must not write");
}

#[test]
fn one_clip_by_its_id_and_the_first_ones() {
    let out = empty();
    let id = store(features(), "train").clips[7].id.clone();
    extract_phoenix(&out.path().join("only"), &format!("--only {id} --json")).exits(0);
    let only = store(&out.path().join("only"), "train");
    assert_eq!(ids(&only), [&id]);
    assert_eq!(payloads(&only)[&id], payloads(&store(features(), "train"))[&id]);

    extract_phoenix(&out.path().join("first"), "--limit 1 --split dev,test").exits(0);
    let folders: Vec<_> = files(&out.path().join("first")).into_iter().filter(|p| p.is_dir()).collect();
    assert_eq!(folders, ["dev", "test"].map(|s| out.path().join("first").join(s)));
    assert_eq!(store(&out.path().join("first"), "test").clips.len(), 1);
}

/// The realigned times, by sentence.
fn times(annotation: &Path) -> Vec<(String, f64)> {
    let text = std::fs::read_to_string(annotation).expect("an annotation file");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let time = |field: usize| fields[field].parse::<f64>().expect("a time");
        (fields[3].to_owned(), time(5) - time(4))
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn sentences_are_cut_out_of_how2sign_videos() {
    let out = empty();
    let (root, path) = (how2sign().display(), out.path().display());
    extract(out.path(), &format!("--dataset how2sign --root {root} --out {path} --split val,test")).exits(0);
    for (split, name) in [("dev", "val"), ("test", "test")] {
        let store = store(out.path(), split);
        let times = times(&how2sign().join(format!("how2sign_realigned_{name}.csv")));
        assert_eq!(store.clips.len(), times.len());
        for clip in &store.clips {
            let (_, seconds) = times.iter().find(|(id, _)| *id == clip.id).expect("a row of the table");
            assert_eq!(clip.frames, (seconds * 25.0).round() as usize, "{} lasts {seconds} s", clip.id);
        }
    }
    verified(out.path());
    // Ids may begin with a hyphen.
    let all = times(&how2sign().join("how2sign_realigned_train.csv"));
    let id = all.iter().map(|(id, _)| id).find(|id| id.starts_with('-')).expect("such a clip");
    let only = format!("--dataset how2sign --root {root} --split train --only {id} --out {path}/one");
    extract(out.path(), &only).exits(0);
    assert_eq!(ids(&store(&out.path().join("one"), "train")), [id.as_str()]);
}

#[test]
fn own_data_and_single_videos() {
    let place = empty();
    let videos = how2sign().join("video_level/test/rgb_front/raw_videos");
    let video = &files(&videos)[0];
    std::fs::copy(video, place.path().join("a b.mp4")).expect("a copy");
    let frames = phoenix().join("features/fullFrame-210x260px/test");
    let lines = [
        serde_json::json!({"id": "whole", "video": "a b.mp4", "text": "Hello.", "split": "train"}),
        serde_json::json!({"id": "part", "video": "a b.mp4", "start": 0.5, "end": 1.5, "split": "train"}),
        serde_json::json!({"id": "folder", "frames": files(&frames)[0], "signer": "A"}),
    ];
    std::fs::write(place.path().join("own.jsonl"), lines.map(|l| format!("{l}\n")).concat()).expect("a list");
    extract(place.path(), "--dataset own.jsonl --language Slovak").exits(0);
    let out = place.path().join("cache/own");
    let train = store(&out, "train");
    assert_eq!(ids(&train), ["part", "whole"]);
    assert_eq!(train.info.language.as_deref(), Some("Slovak"));
    let part = train.clips.iter().position(|c| c.id == "part").expect("stored");
    assert_eq!(train.clips[part].frames, 25);
    assert_eq!(train.clips[1 - part].facts.text.as_deref(), Some("Hello."));
    assert_eq!(store(&out, "all").clips[0].facts.signer.as_deref(), Some("A"));

    let arguments = ["--preset", "tiny", "--videos", "a b.mp4", "--out", "mine"];
    crate::program::run(place.path(), "extract", arguments).exits(0);
    let mine = store(&place.path().join("mine"), "all");
    assert_eq!(ids(&mine), ["a b"]);
    assert_eq!(payloads(&mine)["a b"], payloads(&train)["whole"]);
}

#[test]
fn the_phoenix_release_without_and_with_a_level() {
    // Copies of the corpus that follow the table's `/1/` give the same features.
    let place = empty();
    let from = phoenix().join("features/fullFrame-210x260px/test");
    for clip in files(&from) {
        let to =
            place.path().join("features/fullFrame-210x260px/test").join(clip.file_name().expect("a name"));
        copy(&clip, &to.join("1"));
    }
    copy(&phoenix().join("annotations"), &place.path().join("annotations"));
    copy(&phoenix().join("landmarks"), &place.path().join("landmarks"));
    let line = "--dataset phoenix --root . --landmarks landmarks --split test --out out";
    extract(place.path(), line).exits(0);
    let levelled = store(&place.path().join("out"), "test");
    assert_eq!(payloads(&levelled), payloads(&store(features(), "test")));
}
