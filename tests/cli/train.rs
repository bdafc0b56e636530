//! `train` and `evaluate` on features of the rendered corpus.

use crate::corpus::{empty, features, files, store};
use crate::program::{TRAIN, command, run, train, words};
use signclip_train::checkpoint;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Lines of a JSON Lines file.
fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// All tensors and the state of two checkpoints agree to the last bit.
#[track_caller]
fn same_checkpoint(one: &Path, other: &Path) {
    let load = |path: &Path| checkpoint::load(path).unwrap_or_else(|e| panic!("{e}"));
    let ((a, at), (b, bt)) = (load(one), load(other));
    assert_eq!(at, bt, "where the runs stand");
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, tensor) in &a {
        assert_eq!(tensor, &b[name], "{name}");
    }
}

#[test]
fn from_features_to_scores() {
    let place = empty();
    let line = format!("--features {} --run run", features().display());
    train(place.path(), &line).exits(0).says(&["evaluate --run run --split test"]);
    let folder = place.path().join("run");
    for name in ["config.json", "log.jsonl", "best.safetensors", "last.safetensors", "tokenizer.json"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let log = lines(&folder.join("log.jsonl"));
    assert_eq!(log.iter().filter(|l| l["loss"].as_f64().is_some_and(f64::is_finite)).count(), 2);
    assert_eq!(log.iter().filter(|l| l["dev"]["bleu"]["bleu"][3].is_number()).count(), 2);

    // There is nothing left to train.
    let before = std::fs::read(folder.join("last.safetensors")).expect("a checkpoint");
    train(place.path(), &line).exits(0).says(&["going on after epoch 2 of 2"]);
    assert!(std::fs::read(folder.join("last.safetensors")).expect("a checkpoint") == before);
    assert_eq!(lines(&folder.join("log.jsonl")).len(), log.len());

    let evaluate = |more: &str| run(place.path(), "evaluate", words(&format!("--run run --gpus cpu {more}")));
    evaluate("--split test").exits(0).says(&["BLEU-4", "ROUGE-L", "nrefs:1|case:", "predictions.jsonl"]);
    let predictions = lines(&folder.join("test/predictions.jsonl"));
    let test = store(features(), "test");
    let ids: Vec<&str> = predictions.iter().filter_map(|p| p["id"].as_str()).collect();
    assert_eq!(ids, test.clips.iter().map(|c| c.id.as_str()).collect::<Vec<_>>());
    assert!(predictions.iter().all(|p| p["hypothesis"].is_string() && p["reference"].as_str().is_some_and(|r| r.ends_with('.'))));
    let metrics = std::fs::read_to_string(folder.join("test/metrics.json")).expect("metrics");
    let metrics: serde_json::Value = serde_json::from_str(&metrics).expect("JSON");
    assert_eq!(metrics["clips"], 2);
    assert!(metrics["scores"]["bleu"]["bleu"].as_array().is_some_and(|b| b.len() == 4), "{metrics}");
    for score in ["bleu", "rouge_l", "rouge_l_slt"] {
        assert!(
            metrics["scores"][score]["signature"].as_str().is_some_and(|s| s.contains("version:")),
            "{score}"
        );
    }
    // The search is deterministic, and the batch size does not matter.
    let first = std::fs::read(folder.join("test/predictions.jsonl")).expect("predictions");
    assert_eq!(evaluate("--json").exits(0).json(), metrics);
    assert!(std::fs::read(folder.join("test/predictions.jsonl")).expect("predictions") == first);
    evaluate("--split dev").exits(0);
    assert_eq!(lines(&folder.join("dev/predictions.jsonl")).len(), 2);
}

#[test]
fn a_killed_run_goes_on_to_the_same_end() {
    let place = empty();
    let line = format!("--features {} --set optimiser.epochs=6 --set validate_every=3", features().display());
    train(place.path(), &format!("{line} --run whole")).exits(0);
    for epoch in [1, 4] {
        let mut command = command("train");
        command.current_dir(place.path()).args(words(TRAIN)).args(words(&line)).args(["--run", "killed"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("train starts");
        let last = place.path().join("killed/last.safetensors");
        let begun = Instant::now();
        while checkpoint::load(&last).map_or(0, |(_, at)| at.epoch) < epoch {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "epoch {epoch} is not done after two minutes"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("it ends");
    }
    train(place.path(), &format!("{line} --run killed")).exits(0);
    for name in ["last.safetensors", "best.safetensors"] {
        same_checkpoint(&place.path().join("whole").join(name), &place.path().join("killed").join(name));
    }
}

#[test]
fn checking_trains_nothing() {
    let place = empty();
    let line = format!("--features {} --run run --check", features().display());
    train(place.path(), &line).exits(0).says(&["nothing was trained"]);
    let there = files(place.path()).iter().any(|p| p.join("last.safetensors").exists());
    assert!(!there);
}
