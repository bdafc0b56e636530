//! `train` and `evaluate` on features of the rendered corpus.

use crate::corpus::{copy, empty, features, files, store, tree};
use crate::program::{TRAIN, command, run, train, words};
use signclip_train::training::checkpoint;
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
    for name in
        ["config.json", "log.jsonl", "best.safetensors", "tokenizer.json", "checkpoints", "tensorboard"]
    {
        assert!(folder.join(name).exists(), "{name}");
    }
    let log = lines(&folder.join("log.jsonl"));
    assert_eq!(log.iter().filter(|l| l["loss"].as_f64().is_some_and(f64::is_finite)).count(), 2);
    assert_eq!(log.iter().filter(|l| l["dev"]["bleu"]["bleu"][3].is_number()).count(), 2);

    // There is nothing left to train.
    let before = tree(&folder.join("checkpoints"));
    train(place.path(), &line).exits(0).says(&["resuming after epoch 2 of 2"]);
    assert!(tree(&folder.join("checkpoints")) == before);
    assert_eq!(lines(&folder.join("log.jsonl")), log);

    let evaluate = |more: &str| run(place.path(), "evaluate", words(&format!("--run run --gpus cpu {more}")));
    evaluate("--split test").exits(0).says(&["BLEU-4", "ROUGE-L", "predictions.jsonl"]);
    let predictions = lines(&folder.join("test/predictions.jsonl"));
    let mut test = store(features(), "test");
    test.sort_by_id();
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

/// Steps of two clips with a checkpoint after every second one, so that most kills come in the middle of an epoch.
const SMALL_STEPS: &str =
    "--set optimiser.epochs=4 --set optimiser.batch_size=2 --set checkpoint_every=2 --set validate_every=2";

/// What must not depend on how often a run was interrupted: the log but for the times in it, the predictions, the best
/// weights, and the last checkpoint with the optimiser.
#[track_caller]
fn same_run(one: &Path, other: &Path) {
    let newest = |folder: &Path| checkpoint::all(folder).expect("checkpoints").pop().expect("a checkpoint");
    same_checkpoint(&newest(one), &newest(other));
    same_checkpoint(&one.join("best.safetensors"), &other.join("best.safetensors"));
    let log = |folder: &Path| {
        let mut log = lines(&folder.join("log.jsonl"));
        log.iter_mut()
            .filter_map(serde_json::Value::as_object_mut)
            .for_each(|line| drop(line.remove("time")));
        log
    };
    assert_eq!(log(one), log(other), "the logs");
    let predictions = |run: &Path| {
        let line = format!("--run {} --gpus cpu --split test", run.display());
        crate::program::run(run, "evaluate", words(&line)).exits(0);
        std::fs::read(run.join("test/predictions.jsonl")).expect("predictions")
    };
    assert!(predictions(one) == predictions(other), "the predictions");
}

/// Where a kill comes, as a share of the steps and then a moment later: anywhere in a step, a validation, or the
/// writing of a checkpoint.
fn kill_and_finish(model: &str, kills: &[(u64, u64)]) {
    let place = empty();
    let path = format!("--set language_model.path={model}");
    let line = format!("--features {} {SMALL_STEPS} {path}", features().display());
    train(place.path(), &format!("{line} --run whole")).exits(0);
    let log = place.path().join("killed/log.jsonl");
    let logged =
        || std::fs::read(&log).unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count() as u64;
    for &(done, milliseconds) in kills {
        let mut command = command("train");
        command.current_dir(place.path()).args(words(TRAIN)).args(words(&line)).args(["--run", "killed"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("train starts");
        let begun = Instant::now();
        while logged() < done && child.try_wait().expect("a process").is_none() {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{done} lines are not there after two minutes"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(milliseconds));
        // SIGKILL; an error means that it has ended already.
        let _ = child.kill();
        child.wait().expect("it ends");
    }
    train(place.path(), &format!("{line} --run killed")).exits(0);
    same_run(&place.path().join("whole"), &place.path().join("killed"));
}

#[test]
fn a_killed_run_goes_on_to_the_same_end() {
    kill_and_finish("tiny", &[(3, 0), (9, 7), (17, 20)]);
}

#[test]
fn a_killed_run_of_a_decoder_only_model() {
    kill_and_finish("tiny-llama", &[(4, 5), (15, 0)]);
}

/// Twenty kills at random moments; minutes long, so not part of every test run.
#[test]
#[ignore = "minutes long; just check-kills"]
fn twenty_kills() {
    let random = signclip_common::synthetic::Random::new("kills", 20);
    // The log has 24 steps and 2 validations.
    let kill = |i: u64| ((random.unit(2 * i) * 26.0) as u64, (random.unit(2 * i + 1) * 60.0) as u64);
    let mut kills: Vec<(u64, u64)> = (0..20).map(kill).collect();
    // Later kills find more of the work done.
    kills.sort_unstable();
    for model in ["tiny", "tiny-llama"] {
        kill_and_finish(model, &kills);
    }
}

#[test]
fn going_on_with_fewer_devices() {
    on_fewer_devices("tiny");
}

#[test]
fn going_on_with_fewer_devices_and_a_decoder_only_model() {
    on_fewer_devices("tiny-llama");
}

fn on_fewer_devices(model: &str) {
    let place = empty();
    let fixed =
        "--set language_model.dropout=0 --set optimiser.lr_visual=5e-5 --set optimiser.lr_language=1e-4";
    let line = format!(
        "--features {} {SMALL_STEPS} {fixed} --set language_model.path={model}",
        features().display()
    );
    let on = |devices: &str, run: &str| {
        let first = TRAIN.replace("--gpus cpu", &format!("--gpus {devices}"));
        let line = format!("{first} {line} --run {run}");
        crate::program::run(place.path(), "train", words(&line)).exits(0);
        lines(&place.path().join(run).join("log.jsonl"))
    };
    let losses =
        |log: &[serde_json::Value]| -> Vec<f64> { log.iter().filter_map(|l| l["loss"].as_f64()).collect() };
    let whole = losses(&on("cpu", "whole"));
    let two = losses(&on("cpu,cpu", "two"));
    // The run of two devices, cut off in its middle, ends on one.
    copy(&place.path().join("two"), &place.path().join("fewer"));
    let newest =
        checkpoint::all(&place.path().join("fewer")).expect("checkpoints").pop().expect("a checkpoint");
    std::fs::remove_file(newest).expect("removed");
    let fewer = losses(&on("cpu", "fewer"));
    assert_eq!(whole.len(), 24);
    for other in [two, fewer] {
        assert_eq!(other.len(), whole.len());
        // Equal but for rounding.
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-4;
        assert!(whole.iter().zip(&other).all(close), "{whole:?}\n{other:?}");
    }
}

#[test]
fn checking_trains_nothing() {
    let place = empty();
    let line = format!("--features {} --run run --check", features().display());
    train(place.path(), &line).exits(0).says(&["nothing was trained"]);
    let there = files(place.path()).iter().any(|p| p.join("checkpoints").exists());
    assert!(!there);
}
