//! `train-language`: sentences to a folder that `train` takes, killed and resumed, and what it refuses.

use crate::corpus::{empty, features, store};
use crate::program::{Done, command, run, train, words};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The sentences of a split of the corpus, one a line.
fn sentences(split: &str) -> String {
    let texts = store(features(), split).clips.into_iter().filter_map(|clip| clip.facts.text);
    texts.map(|text| text + "\n").collect()
}

fn line(arguments: &str) -> String {
    format!("--text sentences.txt --features {} --gpus cpu {arguments}", features().display())
}

fn train_language(place: &Path, arguments: &str) -> Done {
    run(place, "train-language", words(&line(arguments)))
}

/// What it makes is a language model like any other, which knows the words of the corpus and the sentinels.
#[test]
fn a_folder_for_runs() {
    let place = empty();
    std::fs::write(place.path().join("sentences.txt"), sentences("train")).expect("written");
    train_language(place.path(), "--out small --epochs 2").exits(0).says(&[
        "model: small (12 sentences)",
        "gaps",
        "translation",
    ]);
    let read = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(place.path().join("small").join(name)).expect(name);
        serde_json::from_str(&text).expect("JSON")
    };
    let (config, tokenizer) = (read("config.json"), read("tokenizer.json"));
    let vocabulary = tokenizer["model"]["vocab"].as_object().expect("a vocabulary");
    assert_eq!(
        (config["model_type"].as_str(), config["vocab_size"].as_u64()),
        (Some("t5"), Some(vocabulary.len() as u64))
    );
    for word in sentences("train").split_whitespace().chain(["Translate", "<extra_id_0>", "<extra_id_99>"]) {
        assert!(vocabulary.contains_key(word), "{word}");
    }
    assert!(!place.path().join("small/checkpoint.safetensors").exists());

    // The same command does nothing; another one does not replace the model.
    train_language(place.path(), "--out small --epochs 2").exits(0).says(&["nothing to do"]);
    train_language(place.path(), "--out small --epochs 3").refuses(&[&[
        "small/training.json, epochs",
        "this model has 2",
        "gives 3",
        "--out",
    ]]);

    let settings = "--set optimiser.epochs=1 --set language_model.path=small --set language_model.tuning=lora \
        --set head.standardise_by=whitening";
    let run_of = |more: &str, name: &str| {
        train(place.path(), &format!("--features {} --run {name} {settings} {more}", features().display()))
            .exits(0);
    };
    run_of("", "run");
    run_of("--set no_features=true", "blind");
    let evaluate = |name: &str| {
        run(place.path(), "evaluate", words(&format!("--run {name} --split train --gpus cpu")))
            .exits(0)
            .code();
        std::fs::read_to_string(place.path().join(name).join("train/predictions.jsonl"))
            .expect("translations")
    };
    evaluate("run");
    // Without features all clips say the same.
    let blind = evaluate("blind");
    let said = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["hypothesis"].as_str().expect("a translation").to_owned()
    };
    let first = said(blind.lines().next().expect("a line"));
    assert!(blind.lines().count() == 12 && blind.lines().all(|line| said(line) == first), "{blind}");
}

/// Killed after a checkpoint, it resumes to the same weights, bit for bit.
#[test]
fn a_kill_changes_nothing() {
    let place = empty();
    std::fs::write(place.path().join("sentences.txt"), sentences("train")).expect("written");
    train_language(place.path(), "--out whole --epochs 60").exits(0);
    let arguments = line("--out killed --epochs 60");
    let mut child = command("train-language");
    child.current_dir(place.path()).args(words(&arguments)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().expect("train-language starts");
    let checkpoint = place.path().join("killed/checkpoint.safetensors");
    let begun = Instant::now();
    while !checkpoint.exists() {
        assert!(begun.elapsed() < Duration::from_secs(300), "no checkpoint yet");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("a kill");
    child.wait().expect("an end");
    assert!(!place.path().join("killed/config.json").exists(), "killed before the end");
    train_language(place.path(), "--out killed --epochs 61").refuses(&[&[
        "killed/checkpoint.safetensors, epochs",
        "began with 60",
        "gives 61",
    ]]);
    train_language(place.path(), "--out killed --epochs 60").exits(0);
    let read =
        |folder: &str| std::fs::read(place.path().join(folder).join("model.safetensors")).expect("weights");
    assert!(read("whole") == read("killed"));
}

#[test]
fn what_cannot_be_learned_from() {
    let place = empty();
    let held_out = sentences("test");
    let held_out = held_out.lines().next().expect("a sentence");
    let gap = format!("{}\n{}", sentences("train"), sentences("train"));
    let seen = format!("{}  {held_out} \n", sentences("train"));
    let long = format!("{}\n", "regen ".repeat(600));
    for (content, parts) in [
        ("", ["sentences.txt: no sentence", "one sentence a line"]),
        (gap.as_str(), ["sentences.txt, line 13: no sentence", "no empty lines"]),
        (seen.as_str(), ["sentences.txt, line 13: ", "leave such sentences out"]),
        (seen.as_str(), [held_out, "test, which the model is not to see"]),
        (long.as_str(), ["sentence 1 has 60", "512 tokens at most"]),
    ] {
        std::fs::write(place.path().join("sentences.txt"), content).expect("written");
        train_language(place.path(), "--out small").refuses(&[&parts]);
    }
    std::fs::write(place.path().join("sentences.txt"), b"regen\n\xff\n").expect("written");
    train_language(place.path(), "--out small").refuses(&[&["sentences.txt", "UTF-8"]]);
    std::fs::write(place.path().join("sentences.txt"), sentences("train")).expect("written");
    let nosuch = "--text sentences.txt --features nosuch --out small --gpus cpu";
    run(place.path(), "train-language", words(nosuch))
        .refuses(&[&["nosuch/dev/store.json", "no feature store"]]);
    run(place.path(), "train-language", words(&line("--out small").replace("sentences.txt", "nosuch.txt")))
        .refuses(&[&["nosuch.txt", "check the path"]]);
    // What another program made is not replaced.
    std::fs::create_dir(place.path().join("foreign")).expect("a folder");
    std::fs::write(place.path().join("foreign/config.json"), "{}").expect("written");
    train_language(place.path(), "--out foreign").refuses(&[&[
        "foreign, config.json",
        "this program did not train",
        "another --out",
    ]]);
}
