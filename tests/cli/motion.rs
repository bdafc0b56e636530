//! The motion stream: in the same pass as the others, alone for a join, on real clips, and with rows that contradict its rule.

use crate::corpus::{copy, empty, extract_phoenix, features, payloads, store, verified};
use crate::program::{extract, run, train, words};
use crate::real_data;
use serde_json::json;
use signclip_common::store::{MOTION, Store};

/// Bytes of a clip's rows in one stream.
fn rows<'s>(store: &'s Store, id: &str, stream: &str) -> &'s [u8] {
    let clip = store.clips.iter().position(|clip| clip.id == id).expect("a clip");
    store.features(clip, stream).expect("a stream").bytes
}

/// Rows of so many frames, as SpaMo cuts them: full windows of 16, one every 8, and at least one.
fn windows(frames: usize) -> usize {
    if frames < 16 { 1 } else { (frames - 16) / 8 + 1 }
}

/// One decoding pass makes three streams, each as it is made alone; made later, it is joined in training.
#[test]
fn three_streams_in_one_pass() {
    let place = empty();
    extract_phoenix(&place.path().join("three"), "--streams spatial,mouthing,motion --split dev").exits(0);
    verified(&place.path().join("three"));
    let three = store(&place.path().join("three"), "dev");
    let two = store(features(), "dev");
    for clip in &three.clips {
        for stream in ["spatial", "mouthing"] {
            assert_eq!(rows(&three, &clip.id, stream), rows(&two, &clip.id, stream), "{} {stream}", clip.id);
        }
        assert_eq!(clip.streams[MOTION].rows, windows(clip.frames), "{}", clip.id);
    }
    let root = crate::corpus::phoenix().display();
    let line = format!("--dataset phoenix --root {root} --streams motion --out alone");
    extract(place.path(), &line).exits(0);
    let alone = store(&place.path().join("alone"), "dev");
    for clip in &three.clips {
        assert_eq!(rows(&alone, &clip.id, MOTION), rows(&three, &clip.id, MOTION), "{}", clip.id);
    }
    let joined =
        format!("--features {} --features alone --run run --set optimiser.epochs=1", features().display());
    train(place.path(), &joined).exits(0);
    // Others like it.
    let like = format!("--dataset phoenix --root {root} --split dev --like alone --out like");
    run(place.path(), "extract", words(&format!("--gpus cpu {like}"))).exits(0);
    assert_eq!(payloads(&store(&place.path().join("like"), "dev")), payloads(&alone));
}

/// Real clips, whole and shorter than a window.
#[test]
fn real_clips() {
    let Some(data) = real_data::folder() else { return };
    let place = empty();
    let video = data.join("sign/slovak_sentences/000.mp4");
    let clip = |id: &str, end: f64| json!({ "id": id, "video": video, "end": end });
    let mut list: Vec<String> = [("15", 0.6), ("16", 0.64), ("23", 0.92), ("24", 0.96)]
        .map(|(id, end)| format!("{}\n", clip(id, end)))
        .into();
    list.push(format!("{}\n", json!({ "id": "whole", "video": video })));
    std::fs::write(place.path().join("own.jsonl"), list.concat()).expect("a list");
    extract(place.path(), "--dataset own.jsonl --streams spatial,motion --out out").exits(0);
    verified(&place.path().join("out"));
    let all = store(&place.path().join("out"), "all");
    assert_eq!(all.clips.len(), 5);
    for clip in &all.clips {
        let frames = clip.id.parse().unwrap_or(95);
        let found = (clip.frames, clip.streams["spatial"].rows, clip.streams[MOTION].rows);
        assert_eq!(found, (frames, frames, windows(frames)), "{}", clip.id);
    }
    real_data::numpy_reads(&all, MOTION);
}

/// An index whose rows are not those of its frames.
#[test]
fn rows_that_contradict_the_rule() {
    let place = empty();
    let root = crate::corpus::phoenix().display();
    let line =
        format!("--dataset phoenix --root {root} --split train,dev --streams spatial,motion --out made");
    extract(place.path(), &line).exits(0);
    copy(&place.path().join("made"), &place.path().join("cache"));
    let index = place.path().join("cache/train/clips-00000.jsonl");
    let text = std::fs::read_to_string(&index).expect("an index");
    let (first, others) = text.split_once('\n').expect("a line");
    let mut clip: serde_json::Value = serde_json::from_str(first).expect("JSON");
    let frames = clip["frames"].as_u64().expect("frames");
    clip["frames"] = (frames + 8).into();
    std::fs::write(&index, format!("{clip}\n{others}")).expect("an index");
    let made = windows(frames as usize);
    let what = format!("has {made} rows of the stream motion, its {} frames make {}", frames + 8, made + 1);
    let parts: &[&str] = &["clips-00000.jsonl", &what];
    extract(place.path(), "--verify --out cache").refuses(&[parts]);
    train(place.path(), "--features cache --run run").refuses(&[parts]);
}

/// Without its file the command says which it is, and `doctor` what it is for.
#[test]
fn weights_that_are_missing() {
    let place = empty();
    let root = crate::corpus::phoenix().display();
    std::fs::create_dir(place.path().join("weights")).expect("a folder");
    let line = format!("--dataset phoenix --root {root} --streams motion --gpus cpu --out cache");
    run(place.path(), "extract", words(&line))
        .refuses(&[&["videomae-large/model.safetensors", "the weights of VideoMAE are not there"]]);
    let report = run(place.path(), "extract", words("doctor")).exits(0).stdout.clone();
    assert!(
        report.contains("extract --streams motion   missing: videomae-large/model.safetensors"),
        "{report}"
    );
}
