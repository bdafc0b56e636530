//! A run, its features and its language model that lie elsewhere than they did, and programs started elsewhere.

use crate::corpus::{copy, empty, extract_phoenix, features, store};
use crate::hugging_face::write_model;
use crate::program::{Done, run, train, words};
use std::path::Path;

/// Short runs of the paper's recipe, with an adapter on the model `weights/flan-t5-xl`.
const ADAPTED: &str = "--gpus cpu --set head.streams=spatial --set head.d=32 --set decoding.num_beams=2 \
    --set decoding.max_length=12 --set validate_every=1 --set language_model.dtype=f32";

fn rename(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a folder above")).expect("a folder");
    std::fs::rename(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
}

fn predictions(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("test/predictions.jsonl")).expect("predictions")
}

#[test]
fn a_run_its_features_and_its_language_model() {
    let place = empty();
    let begin = place.path().join("begin");
    copy(features(), &begin.join("cache"));
    write_model(&begin.join("weights/flan-t5-xl"));
    let line = format!("--features cache --run runs/x --weights weights --set optimiser.epochs=2 {ADAPTED}");
    run(&begin, "train", words(&line)).exits(0);
    run(&begin, "evaluate", words("--run runs/x --gpus cpu")).exits(0);
    let wanted = predictions(&begin.join("runs/x"));
    let clip = crate::corpus::phoenix().join(&store(features(), "test").clips[0].facts.source);
    let clip = clip.display();

    // Another working directory.
    let away = place.path().join("away");
    std::fs::create_dir(&away).expect("a folder");
    let evaluate = |more: &str| run(&away, "evaluate", words(more));
    let same = |run: &Path| assert!(predictions(run) == wanted, "the predictions differ");
    evaluate("--run ../begin/runs/x --gpus cpu").exits(0);
    same(&begin.join("runs/x"));
    evaluate("export ../begin/runs/x --out merged-away").exits(0);
    let go_on = |more: &str| {
        let line = format!(
            "--run ../begin/runs/x --features ../begin/cache --set optimiser.epochs=2 {ADAPTED} {more}"
        );
        run(&away, "train", words(&line))
    };
    go_on("").exits(0).says(&["resuming after epoch 2 of 2"]);

    // All together.
    let moved = place.path().join("moved");
    rename(&begin, &moved);
    evaluate("--run ../moved/runs/x --gpus cpu").exits(0);
    same(&moved.join("runs/x"));

    // What stands where they were, and is not the run's own, is passed over.
    std::fs::create_dir_all(begin.join("cache/test")).expect("a folder");
    write_other_model(&moved.join("weights/flan-t5-xl"), &begin.join("weights/flan-t5-xl"));
    evaluate("--run ../moved/runs/x --gpus cpu").exits(0);
    same(&moved.join("runs/x"));
    std::fs::remove_dir_all(&begin).expect("removed");

    // Each to a place of its own: nothing is found, and then what the flags say.
    rename(&moved.join("runs/x"), &place.path().join("one/x"));
    rename(&moved.join("cache"), &place.path().join("two/cache"));
    rename(&moved.join("weights/flan-t5-xl"), &place.path().join("three/flan-t5-xl"));
    evaluate("--run ../one/x --gpus cpu").refuses(&[&["one/x/config.json, features", "--features DIR"]]);
    let model: &[&str] = &["one/x/config.json, language_model", "--language-model DIR"];
    evaluate("--run ../one/x --gpus cpu --features ../two/cache").refuses(&[model]);
    evaluate("export ../one/x --out merged").refuses(&[model]);
    let translate = |more: &str| {
        let line = format!("{clip} --run ../one/x --gpus cpu --json {more}");
        run(&away, "translate", words(&line))
    };
    translate("").refuses(&[&["one/x/config.json, features", "--features DIR"]]);
    translate("--features ../two/cache").refuses(&[model]);
    for place_of_model in ["--language-model ../three/flan-t5-xl", "--weights ../three"] {
        evaluate(&format!("--run ../one/x --gpus cpu --features ../two/cache {place_of_model}")).exits(0);
        same(&place.path().join("one/x"));
    }
    let marks = crate::corpus::phoenix().join("landmarks/test");
    let marks = format!("--features ../two/cache --landmarks {}", marks.display());
    for place_of_model in ["--language-model ../three/flan-t5-xl", "--weights ../three"] {
        let said = translate(&format!("{marks} {place_of_model}"));
        let sentence = said.exits(0).json()["sentence"].clone();
        assert!(
            sentence.as_str().is_some_and(|text| String::from_utf8_lossy(&wanted).contains(text)),
            "{sentence}"
        );
    }
    evaluate("export ../one/x --out merged --language-model ../three/flan-t5-xl").exits(0);
    let line = "report ../one/x --features ../two/cache --language-model ../three/flan-t5-xl --gpus cpu";
    evaluate(line).exits(0);
    // Another language model in its place, and another cache.
    write_other_model(&place.path().join("three/flan-t5-xl"), &place.path().join("other/flan-t5-xl"));
    let other = "--language-model ../other/flan-t5-xl";
    let parts: &[&str] = &["other/flan-t5-xl, weights", "another language model", "--language-model DIR"];
    evaluate(&format!("--run ../one/x --gpus cpu --features ../two/cache {other}")).refuses(&[parts]);
    evaluate(&format!("export ../one/x --out other {other}")).refuses(&[parts]);
    translate(&format!("--features ../two/cache {other}")).refuses(&[parts]);
    let resume = |more: &str| {
        let line = format!("--run ../one/x --set optimiser.epochs=3 {ADAPTED} {more}");
        run(&away, "train", words(&line))
    };
    resume(&format!("--features ../two/cache {other}"))
        .refuses(&[&["one/x/config.json, language_model_sha256.weights", "began with"]]);

    // Training continues, and then everything is found again without flags.
    resume("--features ../two/cache --language-model ../three/flan-t5-xl")
        .exits(0)
        .says(&["3 epochs instead of 2", "resuming after epoch 2 of 3"]);
    evaluate("--run ../one/x --gpus cpu").exits(0);
    // The setting may name the place as well.
    resume("--features ../two/cache --set language_model.path=../three/flan-t5-xl").exits(0);
}

/// A copy of a model with one other value in its weights.
fn write_other_model(from: &Path, to: &Path) {
    copy(from, to);
    let file = to.join("model.safetensors");
    let mut bytes = std::fs::read(&file).expect("weights");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(file, bytes).expect("written");
}

/// The same clips with other features are not those of the run, wherever they lie.
#[test]
fn other_features_in_their_place() {
    let place = empty();
    copy(features(), &place.path().join("cache"));
    train(place.path(), "--features cache --run run").exits(0);
    // What is not of the streams in use makes no difference.
    copy(features(), &place.path().join("mouths"));
    spoil(&place.path().join("mouths"), "mouthing");
    train(place.path(), "--features mouths --run run").exits(0).says(&["resuming after epoch 2 of 2"]);
    copy(features(), &place.path().join("hands"));
    spoil(&place.path().join("hands"), "spatial");
    train(place.path(), "--features hands --run run").refuses(&[&[
        "run/config.json, clips.train.features",
        "began with",
        "another folder",
    ]]);
    let evaluate = |more: &str| run(place.path(), "evaluate", words(&format!("--run run --gpus cpu {more}")));
    evaluate("--features hands --split train").refuses(&[&[
        "hands/train",
        "not the clips of train",
        "--features DIR",
    ]]);
    evaluate("--features cache --split train").exits(0);
    // Made otherwise.
    let salted = place.path().join("salted");
    extract_phoenix(&salted, "--split test --salt 7").exits(0);
    evaluate("--features salted").refuses(&[&["salted/test/store.json", "streams.spatial", "--like"]]);
}

/// Give the clips of train other checksums in `stream`, as if their features were others.
fn spoil(cache: &Path, stream: &str) {
    let index = cache.join("train/clips-00000.jsonl");
    let lines = std::fs::read_to_string(&index).expect("an index");
    let other = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["streams"][stream]["sha256"] = "0".repeat(64).into();
        format!("{line}\n")
    };
    std::fs::write(index, lines.lines().map(other).collect::<String>()).expect("written");
}

/// Their `config.json` has no checksums, and paths as they were typed.
#[test]
fn runs_of_earlier_versions() {
    let place = empty();
    copy(features(), &place.path().join("cache"));
    train(place.path(), "--features cache --run runs/x").exits(0);
    let folder = place.path().join("runs/x");
    let file = folder.join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).expect("a configuration")).expect("JSON");
    config["features"] = "cache".into();
    config.as_object_mut().expect("an object").retain(|name, _| name != "from_run");
    for split in ["train", "dev"] {
        config["clips"][split].as_object_mut().expect("an object").retain(|name, _| name != "features");
    }
    std::fs::write(&file, config.to_string()).expect("written");
    let evaluate = |place: &Path, line: &str| -> Done { run(place, "evaluate", words(line)) };
    evaluate(place.path(), "--run runs/x --gpus cpu").exits(0);
    evaluate(&folder, "--run . --gpus cpu").exits(0);
    // Another folder than it had, which is still there, is another one.
    copy(features(), &place.path().join("second"));
    train(place.path(), "--features second --run runs/x").refuses(&[&["runs/x/config.json, features"]]);
    rename(&place.path().join("cache"), &place.path().join("elsewhere"));
    evaluate(place.path(), "--run runs/x --gpus cpu")
        .refuses(&[&["runs/x/config.json, features", "--features DIR"]]);
    evaluate(place.path(), "--run runs/x --gpus cpu --features elsewhere").exits(0);
    train(place.path(), "--features elsewhere --run runs/x").exits(0).says(&["resuming after epoch 2 of 2"]);
}
