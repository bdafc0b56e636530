//! `ablate` on features of the rendered corpus: the table, going on, and what cannot be used.

use crate::corpus::{empty, extract_phoenix, features, phoenix, store, tree};
use crate::hugging_face::write_model;
use crate::program::{Done, command, process, run, send, train, words};
use serde_json::{Value, json};
use signclip_common::store::StoreWriter;
use signclip_train::config::TrainConfig;
use signclip_train::data::corpus::{Corpus, Window};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Short runs; the 12 training clips have every kind of word, the two of test may not.
const SHORT: &str = "--preset tiny --gpus cpu --split train --set optimiser.epochs=1 --set decoding.max_length=12 \
    --set decoding.num_beams=2";

fn ablate(place: &Path, arguments: &str) -> Done {
    let line = format!("--features {} --out out {SHORT} {arguments}", features().display());
    run(place, "ablate", words(&line))
}

fn table(place: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(place.join("out").join(name)).expect(name);
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_table_is_made_once_and_gone_on_with() {
    let place = empty();
    let best = r#"{"hands_and_mouth": {"ambiguous_accuracy": 0.85, "exact_sentences": 0.7741},
        "hands_alone": {"ambiguous_accuracy": 0.5, "exact_sentences": 0.394}}"#;
    std::fs::write(place.path().join("best.json"), best).expect("written");
    let list = format!("--ambiguous {}/ambiguous.json --best best.json", phoenix().display());
    ablate(place.path(), &format!("--seeds 1 {list}")).exits(0).says(&[
        "| both+vt+sm |",
        "ambiguous words",
        "6 of 6",
        "| *best possible, hands and mouth* | – | – | – | – | 77.4 % | 85.0 % |",
        "out/ablation.svg",
    ]);
    let json = table(place.path(), "ablation.json");
    let rows = json["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["spatial", "mouthing", "both", "spatial+vt", "both+vt", "both+vt+sm"]);
    assert!(json["ambiguous_cases"].as_u64().is_some_and(|cases| cases > 0), "{json}");
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        let folder = place.path().join("out").join(name).join("seed-0");
        let read = |file: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(folder.join(file)).expect(file)).expect("JSON")
        };
        // One seed: its score is the mean, and the one that evaluate wrote.
        assert_eq!(row["bleu4"], row["by_seed"][0]["bleu4"]);
        let scores = &read("train/metrics.json")["scores"]["bleu"];
        assert_eq!(row["bleu4"], scores["bleu"][3], "{name}");
        assert_eq!(json["signatures"][0], scores["signature"], "{name}");
        assert!(row["bleu4_deviation"].is_null());
        // The floor, as evaluate wrote it, and translations that are right to the letter.
        let floor = &read("train/metrics.json")["floor"]["other_features"]["bleu"]["bleu"];
        assert_eq!(row["bleu4_of_others"], floor[3], "{name}");
        let lines = std::fs::read_to_string(folder.join("train/predictions.jsonl")).expect("predictions");
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let right = lines.iter().filter(|line| line["hypothesis"] == line["reference"]).count();
        assert_eq!(row["exact"].as_f64(), Some(right as f64 / lines.len() as f64), "{name}");
        let accuracy = row["ambiguous_accuracy"].as_f64().expect("an accuracy");
        assert!((0.0..=1.0).contains(&accuracy), "{name}: {accuracy}");
        // The runs are what their rows say.
        let settings = &read("config.json")["settings"];
        let streams = match name.split('+').next().expect("a word") {
            "both" => json!(["spatial", "mouthing"]),
            one => json!([one]),
        };
        assert_eq!(settings["head"]["streams"], streams, "{name}");
        assert_eq!(settings["loss"]["alpha"].as_f64() > Some(0.0), name.contains("+vt"), "{name}");
        assert_eq!(settings["loss"]["beta"].as_f64() > Some(0.0), name.contains("+sm"), "{name}");
    }
    assert_eq!(rows[2]["against"][0]["row"], "mouthing");
    assert_eq!(rows[2]["against"][1]["row"], "spatial");
    // 24.71 − 22.33 in the paper.
    let paper = rows[5]["against"][0]["paper"].as_f64().expect("a number");
    assert!((paper - 2.38).abs() < 1e-9, "{paper}");

    // The same command again does nothing, and says the same.
    let before = tree(&place.path().join("out"));
    ablate(place.path(), &format!("--seeds 1 {list}"))
        .exits(0)
        .says(&["6 of 6: both+vt+sm, seed 0: there already"]);
    assert!(tree(&place.path().join("out")) == before);

    // A run that is cut off, and one that is gone, are made again to the same table.
    let both = place.path().join("out/both/seed-0");
    std::fs::remove_file(both.join("finished.json")).expect("removed");
    std::fs::remove_dir_all(both.join("train")).expect("removed");
    std::fs::remove_dir_all(place.path().join("out/spatial")).expect("removed");
    ablate(place.path(), &format!("--seeds 1 {list}")).exits(0).says(&["both+vt, seed 0: there already"]);
    assert_eq!(table(place.path(), "ablation.json"), json);

    // Another table shares the runs that it has in common. Without a list there is no column.
    ablate(place.path(), "--seeds 1 --table control")
        .exits(0)
        .says(&["2 of 3: both+vt+sm, seed 0: there already"]);
    let control = table(place.path(), "control.json");
    assert!(control["rows"][2]["ambiguous_accuracy"].is_null() && control["ambiguous_cases"].is_null());
    assert_eq!(control["rows"][0]["bleu4"], json["rows"][0]["bleu4"]);

    // Runs of other settings are not mixed in.
    let changed = ablate(place.path(), "--seeds 1 --set optimiser.batch_size=4");
    let began = ["out/spatial/seed-0/config.json, settings.optimiser.batch_size", "began with 16", "--out"];
    changed.refuses(&[&began]);
    std::fs::write(place.path().join("c.json"), "{\"optimiser\": {\"batch_size\": 4}}").expect("written");
    ablate(place.path(), "--seeds 1 --config c.json").refuses(&[&began]);
    // Another way to the same folder is no other folder.
    std::os::unix::fs::symlink(features(), place.path().join("link")).expect("a link");
    let line = format!("--features link --out out {SHORT} --seeds 1 --table control");
    run(place.path(), "ablate", words(&line))
        .exits(0)
        .says(&["3 of 3: shuffled-mouthing, seed 0: there already"]);

    // Translations that are not whole are found where they are.
    let cut = both.join("train/predictions.jsonl");
    let lines = std::fs::read_to_string(&cut).expect("predictions");
    std::fs::write(&cut, lines.lines().next().expect("a line")).expect("written");
    ablate(place.path(), "--seeds 1").refuses(&[&[
        "out/both/seed-0/train/predictions.jsonl: not the clips and references of",
        "evaluate --run",
    ]]);
}

/// A row for each folder of a language model, beside the paper's; one of something else is left out.
#[test]
fn a_table_of_language_models() {
    let place = empty();
    let at = |name: &str| place.path().join("weights").join(name);
    write_model(&at("flan-t5-xl"));
    write_model(&at("mt5-xl"));
    let config = std::fs::read_to_string(at("mt5-xl/config.json")).expect("a configuration");
    std::fs::write(at("mt5-xl/config.json"), config.replacen('{', "{\"model_type\": \"mt5\", ", 1))
        .expect("written");
    std::fs::create_dir_all(at("clip")).expect("a folder");
    std::fs::write(at("clip/config.json"), "{\"model_type\": \"clip\"}").expect("written");
    std::fs::create_dir_all(at("retinaface")).expect("a folder");
    let settings = "--weights weights --set head.streams=spatial --set head.d=32 --seeds 2 --table models";
    let line = format!(
        "--features {} --out out {} {settings}",
        features().display(),
        SHORT.replace("--preset tiny", "")
    );
    let done = run(place.path(), "ablate", words(&line));
    done.exits(0).says(&[
        "left out: weights/clip/config.json, model_type: \"clip\"",
        "BLEU-4, ROUGE-L in the paper's Table 6",
        "| 24.71, 48.38 |",
        "| 6.47, 15.33 |",
    ]);
    assert!(!done.stderr.contains("retinaface"), "{done}");
    let json = table(place.path(), "models.json");
    let rows = json["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["flan-t5-xl", "mt5-xl"]);
    assert_eq!((json["paper_table"].as_u64(), json["seeds"].as_array().map(Vec::len)), (Some(6), Some(2)));
    // 6.47 − 24.71 in the paper.
    let paper = rows[1]["against"][0]["paper"].as_f64().expect("a number");
    assert!((paper + 18.24).abs() < 1e-9, "{paper}");
    let run_of = std::fs::read_to_string(place.path().join("out/mt5-xl/seed-1/config.json")).expect("a run");
    assert!(run_of.contains("\"path\": \"mt5-xl\""), "{run_of}");

    // Small models from nothing need no folder; other ways to name a model are refused.
    let tiny = format!("--features {} --out tiny {SHORT} --seeds 1 --table models", features().display());
    run(place.path(), "ablate", words(&tiny)).exits(0).says(&["| tiny |"]);
    run(place.path(), "ablate", words(&format!("{tiny} --language-model weights/mt5-xl")))
        .refuses(&[&["--language-model: every row has a language model of its own", "leave it out"]]);
    run(place.path(), "ablate", words(&line.replace("--weights weights", "--weights weights/retinaface")))
        .refuses(&[&["no folder of a language model in weights/retinaface", "--weights DIR"]]);
}

/// Features that were made anew with other weights are others, wherever they lie.
#[test]
fn features_of_other_networks_are_refused() {
    let place = empty();
    let extract = |more: &str| extract_phoenix(&place.path().join("cache"), more).exits(0).code();
    extract("");
    let line = format!("--features cache --out out {SHORT} --seeds 1 --table control");
    let ablate = || run(place.path(), "ablate", words(&line));
    ablate().exits(0);
    let train = || train(place.path(), "--features cache --run run");
    train().exits(0);
    std::fs::remove_dir_all(place.path().join("cache")).expect("removed");
    extract("--salt 9");
    ablate().refuses(&[&["out/spatial/seed-0/config.json, extraction.streams.spatial.weights.", "salt 0x9"]]);
    train().refuses(&[&["run/config.json, extraction.streams.spatial.weights.", "salt 0x9", "--run"]]);
    // The page says so where it would show what the model does with them.
    run(place.path(), "evaluate", words("report run --gpus cpu")).exits(0);
    let page = std::fs::read_to_string(place.path().join("run/report.html")).expect("a page");
    assert!(page.contains("streams.spatial.weights.") && page.contains("salt 0x9"));
    run(place.path(), "evaluate", words("--run run --gpus cpu")).refuses(&[&[
        "cache/test/store.json, streams.spatial.weights.",
        "salt 0x9",
        "trained on",
    ]]);
}

/// SIGTERM ends `ablate` with the run that it has started. What another process is at work on is left alone.
#[test]
fn it_ends_with_its_runs() {
    let place = empty();
    let line =
        format!("--features {} --out out {SHORT} --seeds 1 --set optimiser.epochs=500", features().display());
    let mut command = command("ablate");
    let mut child = command.current_dir(place.path()).args(words(&line)).spawn().expect("ablate starts");
    let folder = place.path().join("out/spatial/seed-0");
    let begun = std::time::Instant::now();
    while !folder.join("checkpoints").exists() {
        assert!(begun.elapsed().as_secs() < 120, "no checkpoint yet");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Both the folder of the table and that of the run are taken.
    run(place.path(), "ablate", words(&line)).refuses(&[&["out: another ablate is at work", "wait for it"]]);
    let shared = line.split_once(" --out out").map_or("", |(features, _)| features);
    train(place.path(), &format!("{shared} --run out/spatial/seed-0"))
        .refuses(&[&["out/spatial/seed-0: another process is training in this folder"]]);
    send("-TERM", child.id());
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    for lock in ["out/.lock", "out/spatial/seed-0/.lock"] {
        let file = std::fs::File::open(place.path().join(lock)).expect("a lock");
        assert!(file.try_lock().is_ok(), "{lock} is still held");
    }
}

/// Killed so that it can do nothing about it, it takes its training along: the same command resumes.
#[test]
fn a_kill_takes_the_training_along() {
    let place = empty();
    let line = format!("--features {} --out out {SHORT} --seeds 1", features().display());
    let mut child = command("ablate");
    child.current_dir(place.path()).args(words(&line.replace("epochs=1", "epochs=500")));
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ablate starts");
    let run_folder = "out/spatial/seed-0";
    let training =
        || process("train", run_folder).filter(|_| place.path().join(run_folder).join(".lock").exists());
    let begun = Instant::now();
    while training().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no training after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("a kill");
    child.wait().expect("an end");
    let begun = Instant::now();
    while process("train", run_folder).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the training continues");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_dir_all(place.path().join("out")).expect("removed");
    run(place.path(), "ablate", words(&line)).exits(0);
}

#[test]
fn tables_that_cannot_be_made() {
    let place = empty();
    std::fs::write(place.path().join("none.json"), "{\"pairs\": []}").expect("written");
    std::fs::write(place.path().join("file"), "").expect("written");
    std::fs::write(place.path().join("foreign.json"), "{\"pairs\": [[\"a\", \"b\"]]}").expect("written");
    std::fs::write(place.path().join("noloss.json"), "{\"loss\": {\"alpha\": 0}}").expect("written");
    for (arguments, parts) in [
        ("--ambiguous nosuch.json", ["nosuch.json", "check the path"]),
        ("--ambiguous none.json", ["none.json, pairs: no pair of words", "write {\"pairs\""]),
        ("--set seed=3", ["seed: every row has the same", "--seeds"]),
        ("--set head.streams=spatial", ["head.streams: the rows", "leave it out"]),
        ("--set loss.beta=0", ["loss.beta: rows", "would be equal"]),
        ("--config noloss.json", ["loss.alpha: rows", "would be equal"]),
        ("--set nosuch=1", ["--set nosuch=1", "no such field"]),
        ("--set loss.beta=nan", ["--set loss.beta=nan: invalid type", "config.json of any run"]),
        ("--split nosplit", ["nosplit/store.json", "no feature store"]),
        ("--split ../x", ["--split \"../x\" is not a split", "train, dev or test"]),
        (
            "--ambiguous foreign.json",
            [
                "foreign.json, pairs: none of its words is in the references of test",
                "give the list that belongs",
            ],
        ),
        ("--out file/below", ["file/below", "a file is where a folder should be"]),
    ] {
        let line = format!("--features {} --preset tiny --gpus cpu {arguments}", features().display());
        run(place.path(), "ablate", words(&line)).refuses(&[&parts]);
    }
    let nosuch = run(place.path(), "ablate", words("--features nosuch --preset tiny --gpus cpu"));
    nosuch.refuses(&[&["nosuch/train/store.json", "no feature store"]]);
    run(place.path(), "ablate", words("--features x --preset nosuch")).exits(2).says(&["--preset"]);
    // A mistake that was fixed is not reported again.
    let line = format!("--features {} --out again {SHORT} --seeds 1 --gpus", features().display());
    for devices in ["foo", "bar"] {
        run(place.path(), "ablate", words(&format!("{line} {devices}").replace("--gpus cpu ", "")))
            .refuses(&[&["spatial with seed 0: train: ", devices]]);
    }
    run(place.path(), "ablate", words("--features x --seeds 0")).exits(2).says(&["--seeds"]);
}

/// A split of one clip has no other clip's features: the control would not be one.
#[test]
fn one_clip_cannot_be_shuffled() {
    let place = empty();
    let template = store(features(), "train");
    let mut writer =
        StoreWriter::open(&place.path().join("train"), template.info.clone(), 0).expect("a store");
    let mut clip = writer.begin().expect("a clip");
    for (stream, of) in &template.info.streams {
        clip.append(stream, &vec![0.5; 20 * of.dim]).expect("rows");
    }
    clip.finish("alone", 20, template.clips[0].facts.clone()).expect("a clip");
    drop(writer);
    for setting in ["shuffle_features", "shuffle_mouthing"] {
        let config = TrainConfig::default().with(None, &[format!("{setting}=true")]).expect("settings");
        let opened = Corpus::open(&[place.path().to_path_buf()], "train", &config)
            .map(|_| ())
            .map_err(|e| e.to_string());
        assert!(opened.as_ref().is_err_and(|e| e.contains(setting) && e.contains("one clip")), "{opened:?}");
        let own = Corpus::without_texts(&[place.path().to_path_buf()], "train", &config).expect("a corpus");
        assert_eq!(own.batch(&[0], Window::Middle).expect("a batch").frames, 20);
    }
}

/// Every clip keeps its gestures and gets the mouthing of another clip, as long as its own.
#[test]
fn only_the_mouthing_is_shuffled() {
    let open = |settings: &[String]| {
        let config = TrainConfig::default().with(None, settings).expect("settings");
        Corpus::open(&[features().to_path_buf()], "train", &config).expect("a corpus")
    };
    let (plain, shuffled) = (open(&[]), open(&["shuffle_mouthing=true".to_owned()]));
    let batch = |corpus: &Corpus, clip: usize| corpus.batch(&[clip], Window::Middle).expect("a batch");
    let own: Vec<_> = (0..plain.len()).map(|clip| batch(&plain, clip)).collect();
    for (clip, own_batch) in own.iter().enumerate() {
        let other = batch(&shuffled, clip);
        assert_eq!(other.streams["spatial"].rows, own_batch.streams["spatial"].rows);
        assert_eq!(other.streams["mouthing"].lengths, own_batch.streams["mouthing"].lengths);
        let mouthing = |batch: &signclip_train::data::batch::Batch| batch.streams["mouthing"].rows.get(0);
        let rows = mouthing(&other);
        // Every moment is one of one and the same other clip, in its order.
        let is_of = |source: &tch::Tensor| {
            let (to, from) = (rows.size()[0], source.size()[0]);
            (0..to).all(|t| rows.get(t) == source.get(t * from / to))
        };
        let found = own.iter().position(|source| is_of(&mouthing(source)));
        assert!(found.is_some_and(|source| source != clip), "clip {clip}: {found:?}");
    }
}

/// Over the data set a column has the mean of all rows of all clips, and a batch is not changed.
#[test]
fn statistics_of_the_data() {
    let open = |settings: &[String]| {
        let config = TrainConfig::study().with(None, settings).expect("settings");
        Corpus::open(&[features().to_path_buf()], "train", &config).expect("a corpus")
    };
    let corpus = open(&[]);
    let stored = store(features(), "train");
    let statistics = corpus.statistics();
    assert_eq!(statistics.keys().collect::<Vec<_>>(), ["mouthing", "spatial"]);
    for (stream, found) in &statistics {
        let dim = stored.info.streams[stream].dim;
        for column in [0, dim - 1] {
            let rows = (0..stored.clips.len())
                .flat_map(|clip| stored.features(clip, stream).expect("rows").to_f32());
            let values: Vec<f64> = rows.skip(column).step_by(dim).map(f64::from).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((found.mean_s.double_value(&[column as i64]) - mean).abs() < 1e-9, "{stream} {column}");
        }
    }
    let by_clip = open(&["head.standardise_by=columns".to_owned()]);
    let plain = open(&["head.standardise=false".to_owned()]);
    let rows = |corpus: &Corpus| {
        let batch = corpus.batch(&[0], Window::Middle).expect("a batch");
        batch.streams["spatial"].rows.to_kind(tch::Kind::Float)
    };
    assert!(rows(&corpus) == rows(&plain) && rows(&corpus) != rows(&by_clip));
}
