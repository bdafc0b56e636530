//! Training and evaluation asked to work with what cannot be used.

use crate::corpus::{copy, empty, extract_phoenix, features, store};
use crate::program::{run, train, words};
use std::path::Path;
use tempfile::TempDir;

fn change(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(text.contains(from), "{}: no {from:?}", path.display());
    std::fs::write(path, text.replace(from, to)).expect("written");
}

/// The features below `cache`, to be spoiled.
fn cache() -> TempDir {
    let place = empty();
    copy(features(), &place.path().join("cache"));
    place
}

#[test]
fn settings() {
    let place = cache();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("a file");
    write("half.json", "{\"optimiser\":");
    write("list.json", "[1]");
    write("unknown.json", "{\"nosuch\": 1}");
    write("file", "");
    for (arguments, parts) in [
        ("--set nosuch=1", ["--set nosuch=1", "no such field"]),
        ("--set optimiser.epochs", ["no '='", "--set optimiser.epochs=10"]),
        ("--set optimiser.epochs=many", ["invalid type", "config.json"]),
        ("--set optimiser.batch_size=0", ["optimiser.batch_size is 0", "at least 1"]),
        ("--set loss.alpha=-1", ["loss.alpha is -1", "not negative"]),
        ("--set head.streams=a/b", ["give names of streams", "config.json"]),
        ("--set text.max_target_tokens=2", ["clip \"demo_", "text.max_target_tokens="]),
        ("--config nosuch.json", ["nosuch.json", "check the path"]),
        ("--config half.json", ["half.json, line 1", "correct the file"]),
        ("--config list.json", ["list.json", "not a JSON object"]),
        ("--config unknown.json", ["unknown.json", "unknown field `nosuch`"]),
        ("--run file", ["file", "a file is where a folder should be"]),
    ] {
        train(place.path(), &format!("--features cache {arguments}")).refuses(&[&parts]);
    }
}

#[test]
fn streams_that_are_not_there() {
    let place = empty();
    let out = place.path().join("cache");
    extract_phoenix(&out, "--streams spatial --split train,dev --limit 1").exits(0);
    let line = "--features cache --preset tiny --gpus cpu --set head.streams=both";
    let parts = |split: &'static str| [split, "no mouthing stream", "--set head.streams=spatial"];
    run(place.path(), "train", words(line)).refuses(&[&parts("cache/train"), &parts("cache/dev")]);
}

#[test]
fn features_that_are_spoiled() {
    let spoiled = |spoil: &dyn Fn(&Path), parts: &[&str]| {
        let place = cache();
        spoil(&place.path().join("cache"));
        train(place.path(), "--features cache --run run").refuses(&[parts]);
        assert!(!place.path().join("run/checkpoints").exists());
    };
    let index = "train/clips-00000.jsonl";
    let shard = "train/spatial-00000-00000.npy";
    let write = |path: std::path::PathBuf, bytes: &[u8]| std::fs::write(path, bytes).expect("written");
    spoiled(&|c| write(c.join(index), b""), &["cache/train", "no clips", "extract"]);
    spoiled(&|c| write(c.join(index), b"nonsense\n"), &["cache/train/clips-00000.jsonl", "line 1"]);
    spoiled(
        &|c| write(c.join(shard), b"\x93NUMPY\x01\0"),
        &["cache/train/spatial-00000-00000.npy", "header"],
    );
    spoiled(&|c| write(c.join("dev/store.json"), b"{}"), &["cache/dev/store.json", "line 1"]);
    spoiled(
        &|c| std::fs::remove_dir_all(c.join("dev")).expect("removed"),
        &["cache/dev/store.json", "no feature store"],
    );
    spoiled(
        &|c| change(&c.join("train/store.json"), "\"German\"", "null"),
        &["cache/train", "language", "--set text.language=German"],
    );
    for text in ["\"text\":null", "\"text\":\"\"", "\"text\":\" \""] {
        let without = |cache: &Path| {
            let path = cache.join("dev/clips-00000.jsonl");
            let line = std::fs::read_to_string(&path).expect("an index");
            let begin = line.find("\"text\":\"").expect("a text");
            let end = begin + line[begin..].find("\",").expect("its end") + 1;
            write(path, [&line[..begin], text, &line[end..]].concat().as_bytes());
        };
        spoiled(&without, &["cache/dev", "has no sentence", "extract again"]);
    }
}

/// A run resumes with the clips that it began with.
#[test]
fn other_clips_than_at_the_beginning() {
    let place = empty();
    let cache = place.path().join("cache");
    let spatial = "--streams spatial --split train,dev";
    extract_phoenix(&cache, &format!("{spatial} --limit 5")).exits(0);
    // Only opened: nothing is written, and the vocabulary is not that of a part.
    train(place.path(), "--features cache --run run --check").exits(0);
    assert!(!place.path().join("run").exists());
    train(place.path(), "--features cache --run run").exits(0);
    extract_phoenix(&cache, spatial).exits(0);
    // A limit takes nothing back.
    extract_phoenix(&cache, &format!("{spatial} --limit 5")).exits(0);
    let status = run(place.path(), "extract", words("status cache --json")).json();
    assert_eq!(status["train"]["expected"], 12, "{status}");
    let what = ["run/config.json, clips.train.clips", "began with 5, this command has 12", "another folder"];
    train(place.path(), "--features cache --run run").refuses(&[&what]);
    std::fs::remove_dir_all(place.path().join("run/checkpoints")).expect("removed");
    train(place.path(), "--features cache --run run").exits(0);
    let words: Vec<String> =
        store(&cache, "train").clips.into_iter().filter_map(|clip| clip.facts.text).collect();
    let vocabulary = std::fs::read_to_string(place.path().join("run/tokenizer.json")).expect("a vocabulary");
    assert!(words.iter().flat_map(|text| text.split(' ')).all(|word| vocabulary.contains(word)));
}

/// In which order extract finished the clips makes no difference to which of them are in a batch.
#[test]
fn clips_in_another_order() {
    let place = cache();
    train(
        place.path(),
        "--features cache --run first --set optimiser.length_pool=1 --set optimiser.batch_size=4",
    )
    .exits(0);
    let index = place.path().join("cache/train/clips-00000.jsonl");
    let text = std::fs::read_to_string(&index).expect("an index");
    let reversed: Vec<&str> = text.lines().rev().collect();
    std::fs::write(&index, reversed.join("\n") + "\n").expect("written");
    train(
        place.path(),
        "--features cache --run second --set optimiser.length_pool=1 --set optimiser.batch_size=4",
    )
    .exits(0);
    let best = |run: &str| std::fs::read(place.path().join(run).join("best.safetensors")).expect("weights");
    assert!(best("first") == best("second"), "the weights differ");
}

/// Clips that failed, or that nobody extracted yet, are not passed over in silence.
#[test]
fn clips_that_are_missing() {
    let place = cache();
    let cut = |split: &str| {
        let index = place.path().join("cache").join(split).join("clips-00000.jsonl");
        let text = std::fs::read_to_string(&index).expect("an index");
        let kept = text.trim_end().rsplit_once('\n').expect("two clips").0;
        std::fs::write(&index, format!("{kept}\n")).expect("written");
    };
    cut("train");
    train(place.path(), "--features cache --run run").refuses(&[&[
        "cache/train",
        "1 of 12 clips are missing",
        "extract",
        "--allow-missing",
    ]]);
    let line = "--features cache --out out --preset tiny --gpus cpu --seeds 1 --set optimiser.epochs=1";
    run(place.path(), "ablate", words(line)).refuses(&[&["cache/train", "1 of 12", "--allow-missing"]]);
    train(place.path(), "--features cache --run run --allow-missing").exits(0);
    let evaluate = |more: &str| run(place.path(), "evaluate", words(&format!("--run run --gpus cpu {more}")));
    evaluate("").exits(0).says(&["in training, 1 of 12 clips of train were missing"]);
    cut("test");
    evaluate("").refuses(&[&["cache/test", "1 of 2 clips are missing", "--allow-missing"]]);
    let done = evaluate("--allow-missing --json");
    let json = done.exits(0).json();
    assert_eq!((&json["missing_clips"], &json["clips"]), (&1.into(), &1.into()), "{json}");
    // Untrained networks, and clips that are missing in training and here.
    assert_eq!(json["caveats"].as_array().map(Vec::len), Some(3), "{json}");
    // One that failed is named with its reason.
    let failure = r#"{"id":"x","stage":"open","reason":"x.mp4: not a complete video file"}"#;
    std::fs::write(place.path().join("cache/dev/failures-00000.jsonl"), format!("{failure}\n"))
        .expect("written");
    cut("dev");
    extract_phoenix(&place.path().join("cache"), "--split train,test").exits(0);
    train(place.path(), "--features cache --run third").refuses(&[&[
        "cache/dev: 1 of 2 clips are missing, 1 of them failed",
        "\"x\": x.mp4: not a complete video",
    ]]);
}

#[test]
fn folders_that_are_no_run() {
    let place = cache();
    let evaluate = |line: &str| run(place.path(), "evaluate", words(&format!("{line} --gpus cpu")));
    evaluate("--run nosuch").refuses(&[&["nosuch/config.json", "no run here", "train"]]);
    evaluate("--run cache").refuses(&[&["cache/config.json", "no run here"]]);
}

#[test]
fn runs_that_are_spoiled() {
    let place = cache();
    train(place.path(), "--features cache --run whole").exits(0);
    let whole = place.path().join("whole");
    let run_with = |spoil: &dyn Fn(&Path)| {
        let folder = place.path().join("run");
        let _ = std::fs::remove_dir_all(&folder);
        copy(&whole, &folder);
        spoil(&folder);
    };
    let evaluate = |more: &str| run(place.path(), "evaluate", words(&format!("--run run --gpus cpu {more}")));
    let truncate = |path: &Path| {
        let bytes = std::fs::read(path).expect("a file");
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    };

    run_with(&|r| truncate(&r.join("best.safetensors")));
    evaluate("").refuses(&[&["run/best.safetensors", "header", "new run"]]);
    run_with(&|r| truncate(&r.join("checkpoints/step-00000002.safetensors")));
    train(place.path(), "--features cache --run run").refuses(&[&[
        "run/checkpoints/step-00000002.safetensors",
        "header",
        "delete it to resume from run/checkpoints/step-00000001.safetensors",
    ]]);
    run_with(&|r| std::fs::remove_file(r.join("best.safetensors")).expect("removed"));
    evaluate("").refuses(&[&["run/best.safetensors", "no such checkpoint"]]);
    let log = || std::fs::read(place.path().join("run/log.jsonl")).expect("a log");
    let before = log();
    for more in ["", "--set optimiser.epochs=9"] {
        train(place.path(), &format!("--features cache --run run {more}"))
            .refuses(&[&["run/best.safetensors: gone", "put it back"]]);
    }
    assert!(log() == before, "noticed before anything is trained");
    run_with(&|r| truncate(&r.join("config.json")));
    evaluate("").refuses(&[&["run/config.json", "line", "new run"]]);
    run_with(&|r| truncate(&r.join("tokenizer.json")));
    evaluate("").refuses(&[&["run/tokenizer.json"]]);
    run_with(&|r| {
        let path = r.join("config.json");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        config["settings"]["head"]["d"] = 40.into();
        std::fs::write(path, config.to_string()).expect("written");
    });
    let field = "made with head.d = 128, the run has 40";
    evaluate("").refuses(&[&["run/best.safetensors, head.", "[40, ", "is wanted", field, "config.json"]]);

    run_with(&|_| {});
    evaluate("--split nosuch").refuses(&[&["cache/nosuch/store.json", "no feature store"]]);
    evaluate("--split ../../x").refuses(&[&["../../x", "not a split"]]);
    evaluate("--features nosuch").refuses(&[&["nosuch/test/store.json", "no feature store"]]);
    // A run resumes with the settings it began with.
    train(place.path(), "--features cache --run run --set seed=7").refuses(&[&[
        "run/config.json, settings.seed",
        "began with 0",
        "this command has 7",
        "--run",
    ]]);
}
