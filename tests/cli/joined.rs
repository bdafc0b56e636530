//! Streams in stores of their own, joined by the clips' ids.

use crate::corpus::{copy, empty, features, phoenix, store};
use crate::program::{run, train, words};
use serde_json::Value;
use std::path::Path;

const BOTH: &str = "--set head.streams=spatial,mouthing";

/// The features of the corpus without a stream.
fn without(stream: &str, out: &Path) {
    copy(features(), out);
    for split in ["train", "dev", "test"] {
        let folder = out.join(split);
        edit(&folder.join("store.json"), |info| {
            info["streams"].as_object_mut().expect("streams").remove(stream).expect("a stream");
        });
        edit(&folder.join("clips-00000.jsonl"), |clip| {
            clip["streams"].as_object_mut().expect("streams").remove(stream).expect("a stream");
        });
        std::fs::remove_file(folder.join(format!("{stream}-00000-00000.npy"))).expect("a shard");
    }
}

/// Change a file of one JSON value, or each of its lines.
fn edit(file: &Path, change: impl Fn(&mut Value)) {
    let text = std::fs::read_to_string(file).expect("a file");
    let changed = |json: &str| {
        let mut value: Value = serde_json::from_str(json).expect("JSON");
        change(&mut value);
        format!("{value}\n")
    };
    let lines = file.extension().is_some_and(|ending| ending == "jsonl");
    let text = if lines { text.lines().map(changed).collect() } else { changed(&text) };
    std::fs::write(file, text).expect("written");
}

fn losses(run: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(run.join("log.jsonl")).expect("a log");
    log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["loss"].clone()).collect()
}

#[test]
fn two_stores_train_as_one() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    without("mouthing", &at("hands"));
    without("spatial", &at("mouths"));
    let both = "--features hands --features mouths";
    let whole = format!("--features {} --run whole --set optimiser.epochs=1 {BOTH}", features().display());
    train(place.path(), &whole).exits(0);
    train(place.path(), &format!("{both} --run joined --set optimiser.epochs=1 {BOTH}")).exits(0);
    let wanted = losses(&at("whole"));
    assert!(!wanted.is_empty() && wanted[0] != Value::Null, "{wanted:?}");
    assert_eq!(losses(&at("joined")), wanted);

    // It resumes, and is evaluated, reported and used after all of it was moved.
    train(place.path(), &format!("{both} --run joined --set optimiser.epochs=2 {BOTH}")).exits(0);
    let away = at("away");
    std::fs::create_dir(&away).expect("a folder");
    for name in ["hands", "mouths", "joined"] {
        std::fs::rename(at(name), away.join(name)).expect("moved");
    }
    run(place.path(), "evaluate", words("--run away/joined --gpus cpu")).exits(0);
    run(place.path(), "evaluate", words("report away/joined --gpus cpu")).exits(0);
    std::fs::rename(away.join("mouths"), at("elsewhere")).expect("moved");
    run(place.path(), "evaluate", words("--run away/joined --gpus cpu"))
        .refuses(&[&["mouths", "--features DIR"]]);
    run(place.path(), "evaluate", words("--run away/joined --gpus cpu --features elsewhere"))
        .refuses(&[&["elsewhere/test, streams", "there is no spatial stream"]]);
    let found = "--run away/joined --gpus cpu --features away/hands --features elsewhere";
    run(place.path(), "evaluate", words(found)).exits(0);
    let source = &store(features(), "test").clips[0].facts.source;
    let landmarks = phoenix().join("landmarks/test");
    let line =
        format!("{} {found} --json --landmarks {}", phoenix().join(source).display(), landmarks.display());
    let translated = run(place.path(), "translate", words(&line));
    assert!(translated.exits(0).json()["gate"].is_object(), "{translated}");

    // How the streams are spread over stores makes no difference, only how they were made.
    let apart = "--run whole --gpus cpu --features away/hands --features elsewhere";
    run(place.path(), "evaluate", words(apart)).exits(0);
    let whole = format!("--run away/joined --gpus cpu --features {}", features().display());
    run(place.path(), "evaluate", words(&whole)).exits(0);
    let made = at("elsewhere/test/store.json");
    let text = std::fs::read_to_string(&made).expect("a description");
    std::fs::write(&made, text.replace("salt 0x0", "salt 0x9")).expect("written");
    run(place.path(), "evaluate", words(apart)).refuses(&[&[
        "elsewhere/test/store.json, streams.mouthing.weights.",
        "salt 0x9",
        "trained on had \"salt 0x0\"",
    ]]);
}

#[test]
fn stores_that_do_not_belong_together() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    without("mouthing", &at("hands"));
    without("spatial", &at("mouths"));
    let both = &format!("--features hands --features mouths --run run --check {BOTH}");
    let index = at("mouths/train/clips-00000.jsonl");
    let good = std::fs::read_to_string(&index).expect("an index");
    let first: Value = serde_json::from_str(good.lines().next().expect("a clip")).expect("JSON");
    let id = first["id"].as_str().expect("an id");

    edit(&index, |clip| {
        if clip["id"] == id {
            clip["text"] = "ein anderer satz".into();
        }
    });
    train(place.path(), both).refuses(&[&["mouths/train", id, "ein anderer satz", "hands/train"]]);
    std::fs::write(&index, good.replacen(id, "another", 1)).expect("written");
    train(place.path(), both).refuses(&[&["hands/train", "2 of ", "not in all stores of --features"]]);
    train(place.path(), &format!("{both} --allow-missing")).exits(0);
    // Each of two stores without a clip of its own: two of all clips are missing, in either order.
    let hands = at("hands/train/clips-00000.jsonl");
    let whole = std::fs::read_to_string(&hands).expect("an index");
    let all = whole.lines().count();
    let without = |text: &str, line: usize| {
        let kept = text.lines().enumerate().filter(|(number, _)| *number != line);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    std::fs::write(&hands, without(&whole, 0)).expect("written");
    std::fs::write(&index, without(&good, 1)).expect("written");
    let missing = format!("2 of {all} clips are missing");
    train(place.path(), both).refuses(&[&[&missing]]);
    let turned = both.replace("--features hands --features mouths", "--features mouths --features hands");
    train(place.path(), &turned).refuses(&[&[&missing]]);
    std::fs::write(&hands, whole).expect("written");
    std::fs::write(&index, good).expect("written");
    edit(&at("mouths/dev/store.json"), |info| info["language"] = "English".into());
    train(place.path(), both).refuses(&[&["mouths/dev", "language"]]);
    edit(&at("mouths/dev/store.json"), |info| info["language"] = "German".into());
    train(place.path(), &format!("{both} --features hands"))
        .refuses(&[&["hands/train, streams", "spatial is here and in"], &["hands/dev, streams"]]);
    let said = "mouths/train: no stream of head.streams is in it";
    train(place.path(), &format!("{both} --set head.streams=spatial")).exits(0).says(&[said]);
    train(place.path(), &format!("--features hands --run run --check {BOTH}")).refuses(&[
        &[
            "hands/train, streams",
            "there is no mouthing stream, only spatial",
            "extract --dataset phoenix --streams mouthing --out hands-mouthing",
        ],
        &["hands/dev, streams"],
    ]);
}
