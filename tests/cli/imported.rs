//! Stores that another program made: what is not as the format wants it is named, and not taken for damage.

use crate::corpus::{copy, empty, features, store};
use crate::program::{Done, extract, run, train, words};
use signclip_common::checksum;
use signclip_common::store::{MOUTHING, SPATIAL};
use std::path::Path;

/// A copy of the features as `cache` in `place`.
fn cache(place: &Path) {
    copy(features(), &place.join("cache"));
}

/// Change the index line of the clip `id` of a split.
fn edit_line(place: &Path, split: &str, id: &str, change: impl Fn(&mut serde_json::Value)) {
    let file = place.join("cache").join(split).join("clips-00000.jsonl");
    let text = std::fs::read_to_string(&file).expect("an index");
    let line = |line: &str| {
        let mut json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if json["id"] == id {
            change(&mut json);
        }
        format!("{json}\n")
    };
    std::fs::write(&file, text.lines().map(line).collect::<String>()).expect("an index");
}

/// Put half of a float into one value of row `row` of a clip, with a checksum that fits.
fn put(place: &Path, split: &str, stream: &str, row: usize, value: [u8; 2]) -> String {
    let there = store(&place.join("cache"), split);
    let clip = there.clips.len() / 2;
    let (id, file) = (there.clips[clip].id.clone(), there.shard_of(clip, stream));
    let rows = there.clips[clip].streams[stream].clone();
    let width = 2 * there.info.streams[stream].dim;
    assert_eq!(there.info.dtype.bytes(), 2);
    drop(there);
    let mut bytes = std::fs::read(&file).expect("a shard");
    let begin = 128 + rows.offset * width;
    bytes[begin + row * width + 4..][..2].copy_from_slice(&value);
    let sum = checksum::of(&bytes[begin..begin + rows.rows * width]);
    std::fs::write(&file, bytes).expect("a shard");
    edit_line(place, split, &id, |line| line["streams"][stream]["sha256"] = sum.clone().into());
    id
}

fn verify(place: &Path) -> Done {
    extract(place, "--verify --out cache")
}

const NAN: [u8; 2] = [0x00, 0x7e];
const INFINITE: [u8; 2] = [0x00, 0xfc];

/// A value that is not finite is found by `--verify`, and by what reads the clip, with clip, stream and row.
#[test]
fn values_that_are_not_finite() {
    let place = empty();
    cache(place.path());
    verify(place.path()).exits(0).says(&["every value is finite"]);
    let id = put(place.path(), "train", SPATIAL, 3, NAN);
    let other = put(place.path(), "dev", MOUTHING, 1, INFINITE);
    let done = verify(place.path());
    done.exits(1).says(&[
        &format!("clip {id:?}: row 3 of the stream spatial is not finite"),
        &format!("clip {other:?}: row 1 of the stream mouthing is not finite"),
        "2 problems",
    ]);
    let clip = format!("clip {id:?}");
    let named: &[&str] = &["spatial-00000-00000.npy", &clip, "row 3 of the stream spatial", "not finite"];
    train(place.path(), "--features cache --run run").refuses(&[named]);
    // A stream that is not used may be as it likes.
    let line = "--features cache --run lips --preset tiny --gpus cpu --set head.streams=mouthing --set optimiser.epochs=1";
    let done = run(place.path(), "train", words(line));
    done.refuses(&[&[&format!("clip {other:?}"), "row 1 of the stream mouthing"]]);
}

/// What is missing is named, and the remedy does not speak of damage alone.
#[test]
fn fields_that_are_missing() {
    let place = empty();
    cache(place.path());
    let id = store(&place.path().join("cache"), "train").clips[0].id.clone();
    let remedy =
        "if another program or another version of this one made the store, write what cache/README.md lists";
    let remove = |field: &str| {
        cache(place.path());
        edit_line(place.path(), "train", &id, |line| {
            line.as_object_mut().expect("an object").remove(field);
        });
        train(place.path(), "--features cache --run run --check")
    };
    for field in ["source_fps", "resampled", "streams", "source"] {
        let missing = format!("missing field `{field}`");
        remove(field).refuses(&[&["clips-00000.jsonl", "line 1", &missing, remedy]]);
    }
    // One stream alone.
    cache(place.path());
    edit_line(place.path(), "train", &id, |line| {
        line["streams"].as_object_mut().expect("an object").remove(SPATIAL);
    });
    verify(place.path()).exits(1).says(&[
        &format!("clip {id:?}: the stream spatial is missing in its index line in "),
        "clips-00000.jsonl",
    ]);
    train(place.path(), "--features cache --run run").refuses(&[&[
        "clips-00000.jsonl",
        "the stream spatial is missing in its index line",
        remedy,
    ]]);
    // The description.
    cache(place.path());
    let file = place.path().join("cache/train/store.json");
    let text = std::fs::read_to_string(&file).expect("a description");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json.as_object_mut().expect("an object").remove("fps");
    std::fs::write(&file, json.to_string()).expect("a description");
    train(place.path(), "--features cache --run run").refuses(&[&[
        "store.json",
        "missing field `fps`",
        remedy,
    ]]);
    std::fs::write(&file, &text[..text.len() / 2]).expect("a description");
    train(place.path(), "--features cache --run run").refuses(&[&["store.json", "it is damaged"]]);
    // Another type in the file than in the description.
    std::fs::write(&file, text.replace("<f2", "<f4")).expect("a description");
    train(place.path(), "--features cache --run run").refuses(&[&[
        "mouthing-00000-00000.npy",
        "<f2",
        "<f4",
        remedy,
    ]]);
}

/// What can be done next with features that have no sentences, or no split to validate on.
#[test]
fn the_next_step_is_one_that_works() {
    let place = empty();
    let clip = "{\"id\": \"a\", \"video\": \"a.mp4\", \"text\": \"ein satz\"}\n";
    std::fs::write(place.path().join("own.jsonl"), clip).expect("a list");
    let made = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=25:duration=0.4", "a.mp4"])
        .current_dir(place.path())
        .status();
    assert!(made.expect("ffmpeg").success());
    let videos = extract(place.path(), "--streams spatial --out a --videos a.mp4");
    videos.exits(0).says(&["next:     these clips have no sentences", "translate VIDEO --run RUN"]);
    assert!(!videos.stdout.contains("train --features"), "{videos}");
    let own = extract(place.path(), "--streams spatial --out b --dataset own.jsonl");
    own.exits(0).says(&["next:     there is no split train and no split dev here"]);
    assert!(!own.stdout.contains("train --features"), "{own}");
}
