//! `translate`: a video to text by one command, as `evaluate` translates it.

use crate::corpus::{copy, empty, features, files, how2sign, phoenix, store};
use crate::program::{Done, TRAIN, command, extract, finish, process, run, send, train, words};
use crate::real_data;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn translate(place: &Path, line: &str) -> Done {
    run(place, "translate", words(line).chain(words("--gpus cpu")))
}

/// A run on `features`, and the predictions of its test split by id.
fn predicted(place: &Path, features: &Path) -> Vec<Value> {
    let line = format!("{TRAIN} --set head.streams=both --features {} --run run", features.display());
    run(place, "train", words(&line)).exits(0);
    run(place, "evaluate", words("--run run --gpus cpu --split test")).exits(0);
    let text = std::fs::read_to_string(place.join("run/test/predictions.jsonl")).expect("predictions");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The same sentence with the same log probability, which nothing but the same features give.
#[track_caller]
fn same(translation: &Value, prediction: &Value) {
    assert_eq!(translation["sentence"], prediction["hypothesis"]);
    let (a, b) = (translation["hypotheses"][0]["score"].as_f64(), prediction["score"].as_f64());
    let near = a.zip(b).is_some_and(|(a, b)| (a - b).abs() < 1e-4);
    assert!(near, "{translation}\n{prediction}");
}

#[test]
fn a_folder_of_pictures_as_evaluate_has_it() {
    let place = empty();
    let predictions = predicted(place.path(), features());
    let marks = phoenix().join("landmarks/test");
    let mut test = store(features(), "test");
    test.sort_by_id();
    let mut scores = Vec::new();
    for (clip, prediction) in test.clips.iter().zip(&predictions) {
        let source = phoenix().join(&clip.facts.source);
        let line = format!("{} --run run --landmarks {}", source.display(), marks.display());
        let json = translate(place.path(), &format!("{line} --json")).exits(0).json();
        same(&json, prediction);
        assert_eq!(json["hypotheses"].as_array().map(Vec::len), Some(2), "as many as there are beams");
        assert_eq!(json["gate"]["mean"].as_array().map(Vec::len), Some(clip.frames));
        scores.push(json["hypotheses"][0]["score"].clone());
        let done = translate(place.path(), &line);
        let sentence = prediction["hypothesis"].as_str().expect("a text");
        done.exits(0).says(&[
            sentence,
            "gate ",
            "▁ mouth, █ hands",
            "untrained ",
            "CLIP",
            "AV-HuBERT",
            "decode and cut",
        ]);
    }
    assert_ne!(scores[0], scores[1], "clips that cannot be told apart would prove nothing");
}

#[test]
fn a_sentence_of_a_long_video() {
    let place = empty();
    let root = how2sign();
    let line = format!("--dataset how2sign --root {0} --landmarks {0}/landmarks --out cache", root.display());
    extract(place.path(), &line).exits(0);
    let predictions = predicted(place.path(), &place.path().join("cache"));
    let table = std::fs::read_to_string(root.join("how2sign_realigned_test.csv")).expect("a table");
    let mut rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let heads = rows.next().expect("a head");
    let column = |name: &str| heads.iter().position(|head| *head == name).expect("a column");
    let [video, id, start, end] =
        ["VIDEO_NAME", "SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED"].map(column);
    let row = rows.find(|row| row[id] == predictions[0]["id"]).expect("the first clip");
    // Landmarks are those of a clip of the video's name.
    let marks = place.path().join("marks");
    std::fs::create_dir_all(&marks).expect("a folder");
    std::fs::copy(
        root.join(format!("landmarks/test/{}.npy", row[id])),
        marks.join(format!("{}.npy", row[video])),
    )
    .expect("landmarks");
    let file = root.join(format!("video_level/test/rgb_front/raw_videos/{}.mp4", row[video]));
    let line = format!(
        "{} --run run --landmarks marks --start {} --end {} --json",
        file.display(),
        row[start],
        row[end]
    );
    same(&translate(place.path(), &line).exits(0).json(), &predictions[0]);
}

/// The real face detector on a real clip, with untrained encoders.
#[test]
fn a_real_clip() {
    let Some(data) = real_data::folder() else { return };
    let place = empty();
    let weights = place.path().join("files/retinaface");
    std::fs::create_dir_all(&weights).expect("a folder");
    let detector = "mobilenet0.25_Final.pth";
    std::fs::copy(data.join("weights").join(detector), weights.join(detector)).expect("weights");
    let root = phoenix().display();
    extract(
        place.path(),
        &format!("--dataset phoenix --root {root} --weights files --detect-every 5 --out cache"),
    )
    .exits(0);
    let line = format!("{TRAIN} --set head.streams=both --features cache --run run");
    run(place.path(), "train", words(&line)).exits(0);
    let clip = data.join("sign/how2sign/_fZbAxSSbX4_0-5-rgb_front.mp4");
    let line = format!("{} --run run", clip.display());
    let json = translate(place.path(), &format!("{line} --weights files --json")).exits(0).json();
    assert!(json["face_coverage"].as_f64().is_some_and(|coverage| coverage > 0.9), "{json}");
    let done = translate(place.path(), &format!("{line} --weights files"));
    done.exits(0).says(&["untrained AV-HuBERT, CLIP: computed weights", "UNTRAINED"]);
    // Without the detector's file its weights would be computed, and the features others.
    translate(place.path(), &line).exits(2).says(&["no folder with weight files", "--weights DIR"]);
    std::fs::create_dir(place.path().join("weights")).expect("a folder");
    translate(place.path(), &line)
        .exits(2)
        .says(&["weights/retinaface/mobilenet0.25_Final.pth: the weights of RetinaFace are not there"]);
}

/// A short training in the folder `run`; returns a clip of the test split.
fn trained(place: &Path) -> PathBuf {
    let line = format!("--features {} --run run --set optimiser.epochs=1", features().display());
    train(place, &line).exits(0);
    phoenix().join(&store(features(), "test").clips[0].facts.source)
}

#[test]
fn what_cannot_be_translated_is_said() {
    let place = empty();
    let clip = trained(place.path());
    let clip = clip.display();
    translate(place.path(), "nosuch.mp4 --run run").refuses(&[&["nosuch.mp4"]]);
    translate(place.path(), &format!("{clip} --run nosuch"))
        .refuses(&[&["nosuch/config.json", "no run here"]]);
    translate(place.path(), &format!("{clip} --run run --features nosuch")).refuses(&[&["nosuch"]]);
    // The features were cut by landmarks from files.
    translate(place.path(), &format!("{clip} --run run"))
        .refuses(&[&["--landmark-source files", "--landmarks DIR"]]);
    translate(place.path(), &format!("{clip} --run run --start 0.1"))
        .refuses(&[&["--start in a folder of pictures", "leave it out"]]);
    std::fs::write(place.path().join("bad.mp4"), "no video").expect("written");
    for (part, said) in [
        ("--start nan", "--start NaN is not a time in it"),
        ("--end inf", "--end inf is not a time in it"),
        ("--start=-1", "--start -1 is not a time in it"),
        ("--start 5 --end 3", "--end 3 is not after its start"),
    ] {
        translate(place.path(), &format!("bad.mp4 --run run {part}")).refuses(&[&[
            "bad.mp4: ",
            said,
            "seconds",
        ]]);
    }
    let marks = format!("--landmarks {}", phoenix().join("landmarks/test").display());
    let bad = format!("bad.mp4 --run run {marks}");
    translate(place.path(), &bad).exits(1).says(&["ERROR bad.mp4: ", "container: not a complete video"]);
    // Once, and whatever the log is to say besides.
    let mut command = command("translate");
    command.args(words(&bad)).current_dir(place.path()).env("SIGNCLIP_LOG", "error");
    let done = finish(command);
    assert_eq!(done.exits(1).stderr.lines().count(), 1, "{done}");
}

/// SIGTERM ends it together with `extract`, and nothing of the clip stays behind.
#[test]
fn nothing_stays_behind() {
    let place = empty();
    let clip = trained(place.path());
    let marks = phoenix().join("landmarks/test");
    let temporary = place.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder");
    let line = format!("{} --run run --landmarks {} --gpus cpu", clip.display(), marks.display());
    let mut command = command("translate");
    let mut child = (command.current_dir(place.path()).args(words(&line)).env("TMPDIR", &temporary))
        .spawn()
        .expect("translate starts");
    let below = temporary.to_str().expect("a path");
    let extract = loop {
        if let Some(extract) = process("extract", below) {
            break extract;
        }
        assert_eq!(child.try_wait().expect("a state"), None, "ended too early");
    };
    // Held, so that it does not end by itself.
    send("-STOP", extract);
    send("-TERM", child.id());
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert_eq!(files(&temporary), Vec::<PathBuf>::new());
    let alive = process("extract", below);
    if let Some(extract) = alive {
        send("-KILL", extract);
    }
    assert_eq!(alive, None, "extract continues");
}

/// `extract --like`: the same features as by the flags themselves, and a refusal where that cannot be.
#[test]
fn features_like_those_of_a_store() {
    let place = empty();
    let root = phoenix().display();
    let line =
        "--preset tiny --salt 7 --streams mouthing --detect-every 3 --store-dtype f32 --gpus cpu --limit 2";
    let data = format!("--dataset phoenix --root {root} --split test");
    run(place.path(), "extract", words(&format!("{data} {line} --out a"))).exits(0);
    let like = |store: &str, more: &str| {
        run(place.path(), "extract", words(&format!("{data} --like {store} --gpus cpu --limit 2 {more}")))
    };
    like("a", "--out b").exits(0);
    like("a/test", "--out c").exits(0);
    let payloads = |name: &str| crate::corpus::payloads(&store(&place.path().join(name), "test"));
    assert!(payloads("a") == payloads("b") && payloads("a") == payloads("c"));
    assert_eq!(store(&place.path().join("a"), "test").info, store(&place.path().join("b"), "test").info);
    like("nosuch", "--out d").refuses(&[&["nosuch"]]);
    let refused = like("a", "--salt 7 --streams mouthing --out d");
    refused.refuses(&[&["--like", "leave out --salt --streams"]]);
    assert!(!refused.stderr.contains("--fan"), "{refused}");
    like("a", &format!("--landmarks {} --out d", phoenix().join("landmarks").display())).refuses(&[&[
        "--landmarks",
        "found the landmarks of a",
        "leave it out",
    ]]);
    // Other weights than are there.
    copy(&place.path().join("a"), &place.path().join("other"));
    let file = place.path().join("other/test/store.json");
    let text = std::fs::read_to_string(&file).expect("a description");
    std::fs::write(&file, text.replacen("\"salt 0x7\"", "\"1234abcd\"", 1)).expect("written");
    like("other", "--out d").refuses(&[&["other/test/store.json", "streams.mouthing.weights.", "1234abcd"]]);
    // What this version does not make, and what leads to other files.
    for (from, to, parts) in [
        ("\"fps\": 25.0", "\"fps\": 30.0", ["fps", "30"]),
        ("\"threshold\": 0.8", "\"threshold\": 1.0", ["streams.mouthing.config.threshold", "not known"]),
        ("\"detect_every\": 3", "\"detect_every\": 0", ["streams.mouthing.config.detect_every", "not known"]),
        (
            "\"encoder_embed_dim\": 128",
            "\"encoder_embed_dim\": 99",
            ["streams.mouthing.config.lips", "not known"],
        ),
        (
            "\"AV-HuBERT (computed)\"",
            "\"fan/../../x\"",
            ["streams.mouthing.weights", "leads out of the weights folder"],
        ),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&file, text.replacen(from, to, 1)).expect("written");
        like("other", "--out d").refuses(&[&[&["other/test/store.json"], parts.as_slice()].concat()]);
    }
    like("a", "--lip-encoder base --out d").refuses(&[&["--lip-encoder base", "computed weights"]]);
    assert!(!place.path().join("d/test/store.json").exists());
}
