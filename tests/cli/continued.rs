//! Runs that are given more epochs, begin with the weights of others, or are watched over several starts.

use crate::corpus::{copy, empty, features};
use crate::program::{run, train, words};
use serde_json::Value;
use signclip_train::training::checkpoint;
use std::collections::BTreeMap;
use std::path::Path;

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn log(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn factors(run: &Path) -> Vec<f64> {
    log(run).iter().filter_map(|line| line["lr_factor"].as_f64()).collect()
}

#[test]
fn more_epochs() {
    let place = empty();
    // Twelve clips: three steps an epoch.
    let line = format!("--features {} --set optimiser.batch_size=4", features().display());
    let with = |name: &str, epochs: usize, more: &str| {
        train(place.path(), &format!("{line} --run {name} --set optimiser.epochs={epochs} {more}"))
    };
    let run = |name: &str| place.path().join(name);
    let half = |step: f64, total: f64| 0.5 * (1.0 + (std::f64::consts::PI * step / total).cos());
    with("cosine", 2, "").exits(0);
    let first: Vec<f64> = (0..6).map(|step| half(f64::from(step), 6.0)).collect();
    assert_eq!(factors(&run("cosine")), first);
    with("cosine", 3, "").exits(0).says(&["3 epochs instead of 2", "from step 6 on"]);
    let second = (6..9).map(|step| half(f64::from(step), 9.0));
    assert_eq!(factors(&run("cosine")), first.iter().copied().chain(second).collect::<Vec<_>>());
    let config = json(&run("cosine").join("config.json"));
    let extended = serde_json::json!([{ "from_epochs": 2, "to_epochs": 3, "at_step": 6 }]);
    assert_eq!((&config["extended"], &config["settings"]["optimiser"]["epochs"]), (&extended, &3.into()));
    // The same again has nothing to do, and says nothing more of it.
    with("cosine", 3, "").exits(0);
    assert_eq!(json(&run("cosine").join("config.json"))["extended"], extended);
    // Fewer epochs, or another setting beside, make another run.
    with("cosine", 2, "").refuses(&[&["settings.optimiser.epochs", "began with 3, this command has 2"]]);
    with("cosine", 4, "--set seed=1").refuses(&[&["settings.seed", "began with 0, this command has 1"]]);

    // With constant learning rates a run of more epochs is that which had them from its beginning.
    with("parts", 1, "--set optimiser.decay=constant").exits(0);
    with("parts", 3, "--set optimiser.decay=constant").exits(0);
    with("whole", 3, "--set optimiser.decay=constant").exits(0);
    let newest = |name: &str| {
        let file = checkpoint::all(&run(name)).expect("checkpoints").pop().expect("a checkpoint");
        checkpoint::load(&file).unwrap_or_else(|e| panic!("{e}"))
    };
    let ((parts, parts_at), (whole, whole_at)) = (newest("parts"), newest("whole"));
    assert_eq!(parts_at, whole_at);
    whole.iter().for_each(|(name, tensor)| assert_eq!(*tensor, parts[name], "{name}"));
}

#[test]
fn the_weights_of_another_run() {
    let place = empty();
    let line = format!("--features {}", features().display());
    train(place.path(), &format!("{line} --run first")).exits(0);
    let best = |run: &str| {
        let file = place.path().join(run).join("best.safetensors");
        checkpoint::load(&file).unwrap_or_else(|e| panic!("{e}"))
    };
    let still = "--set optimiser.lr_visual=0 --set optimiser.lr_language=0 --set optimiser.weight_decay=0 --set seed=5";
    let second = format!("{line} --run second --from first {still}");
    train(place.path(), &second).exits(0).says(&["beginning with the weights of", "first, epoch"]);
    // Nothing was learned, so these are the weights that it began with; the statistics of the batches move.
    let (first, second_best) = (best("first"), best("second"));
    let learned = first.0.iter().filter(|(name, _)| !name.contains("running_"));
    assert!(learned.clone().count() > 10);
    learned.for_each(|(name, tensor)| assert_eq!(second_best.0[name], *tensor, "{name}"));
    let config = json(&place.path().join("second/config.json"));
    let file = place.path().join("first/best.safetensors");
    let sha256 = signclip_common::checksum::of_file(&file).expect("a checksum");
    assert_eq!(config["from"]["sha256"], sha256.as_str());
    assert_eq!(config["from"]["epoch"], first.1.choice.best_epoch);
    let steps = log(&place.path().join("second")).len();
    assert_eq!(steps, log(&place.path().join("first")).len(), "a schedule of its own");
    // It continues with the flag or without, also when the other run is gone.
    train(place.path(), &second).exits(0).says(&["resuming after epoch 2 of 2"]);
    std::fs::rename(place.path().join("first"), place.path().join("gone")).expect("renamed");
    train(place.path(), &format!("{line} --run second {still}"))
        .exits(0)
        .says(&["resuming after epoch 2 of 2"]);
    train(place.path(), &second).refuses(&[&["first/config.json", "no run here"]]);
    run(place.path(), "evaluate", words("--run second --gpus cpu")).exits(0);
    // With other weights than it began with, or where it began without any, the flag is what is wrong.
    for (name, more) in [("second", "--from second"), ("gone", "--from second --set seed=0")] {
        train(place.path(), &format!("{line} --run {name} {still} {more}")).refuses(&[&[
            &format!("{name}/config.json"),
            "did not begin with",
            "leave out --from",
        ]]);
    }
    // A loss that the other run did not have has nothing to begin with; one that is left out takes nothing away.
    let silent = "--set loss.alpha=0";
    train(place.path(), &format!("{line} --run silent --from gone {silent}")).exits(0);
    train(place.path(), &format!("{line} --run third --from silent")).refuses(&[&[
        "loss.alpha",
        "0.0",
        "1.0",
    ]]);
    assert!(!place.path().join("third").exists());

    // What does not fit is named.
    for (setting, parts) in [
        ("head.d=64", ["head.d", "128", "64"]),
        ("head.streams=mouthing", ["head.streams", "spatial", "mouthing"]),
        ("head.conv=same", ["head.conv", "spamo", "same"]),
        ("head.standardise=false", ["head.standardise", "true", "false"]),
    ] {
        train(place.path(), &format!("{line} --run third --from gone --set {setting}")).refuses(&[&parts]);
        assert!(!place.path().join("third").exists(), "{setting}");
    }
    train(place.path(), &format!("{line} --run third --from nowhere"))
        .refuses(&[&["nowhere", "no run here"]]);
    // A run without weights yet.
    copy(&place.path().join("gone"), &place.path().join("early"));
    std::fs::remove_file(place.path().join("early/best.safetensors")).expect("removed");
    train(place.path(), &format!("{line} --run third --from early")).refuses(&[&["early/best.safetensors"]]);
}

/// Phrases of two words have no four in a row: the BLEU-4 of a perfect translation is 0, and chrF decides.
#[test]
fn short_sentences() {
    let place = empty();
    let cache = place.path().join("cache");
    copy(features(), &cache);
    for split in ["train", "dev"] {
        let index = cache.join(split).join("clips-00000.jsonl");
        let lines = std::fs::read_to_string(&index).expect("an index");
        let short = |line: &str| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            line["text"] = "guten abend".into();
            format!("{line}\n")
        };
        std::fs::write(index, lines.lines().map(short).collect::<String>()).expect("written");
    }
    let slowly = "--set optimiser.lr_visual=1e-4 --set optimiser.lr_language=1e-4";
    let line =
        format!("--features cache --run run --set optimiser.batch_size=4 --set optimiser.epochs=4 {slowly}");
    train(place.path(), &line).exits(0).says(&["no sentence of dev has four words", "chosen by chrF"]);
    let log = log(&place.path().join("run"));
    let validations: Vec<&Value> = log.iter().filter(|line| line["dev"].is_object()).collect();
    let mut best = (0, -1.0);
    for (epoch, line) in (1..).zip(&validations) {
        let chrf = line["dev"]["chrf"]["score"].as_f64().expect("a score");
        if chrf > best.1 {
            best = (epoch, chrf);
        }
        assert_eq!(line["best_epoch"], best.0, "{line}");
    }
    assert!(best.0 > 1, "chrF does not rise: {validations:?}");
    assert_eq!(validations[3]["decided_by"], "chrf");
    let (_, progress) = checkpoint::load(&place.path().join("run/best.safetensors")).expect("weights");
    assert_eq!((progress.choice.best_epoch, progress.epoch), (best.0, best.0));
    let done = run(place.path(), "evaluate", words("--run run --gpus cpu --split dev --json"));
    let metrics = done.exits(0).json();
    assert_eq!(metrics["weights"]["validation_chrf"].as_f64(), Some(best.1));
}

/// The values of every tag by step, as TensorBoard has them after reading the files of a folder in the order of their
/// names: a start drops what has its step or a later one.
fn tensorboard(run: &Path) -> BTreeMap<String, Vec<(u64, f32)>> {
    let mut values: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    for file in crate::corpus::files(&run.join("tensorboard")) {
        let bytes = std::fs::read(&file).expect("an event file");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes")) as usize;
            let event = fields(&rest[12..12 + length]);
            rest = &rest[16 + length..];
            let step = event.get(&2).map_or(0, |step| varint(&mut step[0].as_slice()));
            if event.contains_key(&7) {
                values.values_mut().for_each(|points| points.retain(|(at, _)| *at < step));
            }
            for value in
                event.get(&5).into_iter().flat_map(|summary| fields(&summary[0]).remove(&1)).flatten()
            {
                let value = fields(&value);
                let tag = String::from_utf8(value[&1][0].clone()).expect("a name");
                let number = f32::from_le_bytes(value[&2][0].as_slice().try_into().expect("4 bytes"));
                values.entry(tag).or_default().push((step, number));
            }
        }
    }
    values
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut n = 0;
    for shift in (0..).step_by(7) {
        let byte = rest[0];
        *rest = &rest[1..];
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    n
}

/// The fields of a message by their numbers; numbers as they are written.
fn fields(mut rest: &[u8]) -> BTreeMap<u8, Vec<Vec<u8>>> {
    let mut fields: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    while let Some((&key, after)) = rest.split_first() {
        rest = after;
        let length = match key & 7 {
            0 => rest.iter().take_while(|byte| **byte >= 0x80).count() + 1,
            1 => 8,
            2 => varint(&mut rest) as usize,
            _ => 4,
        };
        fields.entry(key >> 3).or_default().push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    fields
}

#[test]
fn tensorboard_over_several_starts() {
    let place = empty();
    let run = place.path().join("run");
    let line = format!("--features {} --run run --set optimiser.batch_size=4", features().display());
    let up_to = |epochs: usize| {
        train(place.path(), &format!("{line} --set optimiser.epochs={epochs}")).exits(0);
    };
    let validations =
        || -> Vec<u64> { tensorboard(&run)["dev/bleu4"].iter().map(|(step, _)| *step).collect() };
    up_to(2);
    assert_eq!(validations(), [3, 6]);
    up_to(2);
    assert_eq!(validations(), [3, 6], "a resume without anything to do");
    up_to(3);
    assert_eq!(validations(), [3, 6, 9]);
    // What comes after the checkpoint is done again, and is there once.
    let newest = checkpoint::all(&run).expect("checkpoints").pop().expect("a checkpoint");
    std::fs::remove_file(newest).expect("removed");
    // What a kill has left of writing the weights goes; what others write does not.
    let left =
        ["best.safetensors.00ff00ff00ff00ff.tmp", "checkpoints/step-1.safetensors.00ff00ff00ff00ff.tmp"];
    let other = run.join("report.html.00ff00ff00ff00ff.tmp");
    left.map(|name| run.join(name))
        .iter()
        .chain([&other])
        .for_each(|file| std::fs::write(file, "half").expect("written"));
    up_to(3);
    assert!(left.iter().all(|name| !run.join(name).exists()) && other.exists());
    assert_eq!(validations(), [3, 6, 9]);
    let losses: Vec<(u64, f32)> = tensorboard(&run)["loss/total"].clone();
    let wanted: Vec<(u64, f32)> = (1..)
        .zip(log(&run).iter().filter_map(|line| line["loss"].as_f64()))
        .map(|(step, loss)| (step, loss as f32))
        .collect();
    assert_eq!(losses, wanted);
    // A run that was killed before its first checkpoint begins anew.
    std::fs::remove_dir_all(run.join("checkpoints")).expect("removed");
    up_to(1);
    assert_eq!((validations(), tensorboard(&run)["loss/total"].len()), (vec![3], 3));
}
