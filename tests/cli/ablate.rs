//! `ablate` on features of the rendered corpus: the table, going on, and what cannot be used.

use crate::corpus::{empty, features, phoenix, tree};
use crate::program::{Done, run, words};
use serde_json::Value;
use signclip_train::config::TrainConfig;
use signclip_train::corpus::{Corpus, Window};
use std::path::Path;

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
    let list = format!("--ambiguous {}/ambiguous.json", phoenix().display());
    ablate(place.path(), &format!("--seeds 1 {list}")).exits(0).says(&[
        "| both+vt+sm |",
        "ambiguous words",
        "6 of 6",
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
        assert_eq!(row["bleu4"], read("train/metrics.json")["scores"]["bleu"]["bleu"][3], "{name}");
        assert!(row["bleu4_deviation"].is_null());
        let accuracy = row["ambiguous_accuracy"].as_f64().expect("an accuracy");
        assert!((0.0..=1.0).contains(&accuracy), "{name}: {accuracy}");
        // The runs are what their rows say.
        let settings = &read("config.json")["settings"];
        let streams = name.split('+').next().expect("a word");
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
    changed.refuses(&[&[
        "spatial with seed 0: train: ",
        "config.json",
        "optimiser.batch_size",
        "began with 16",
    ]]);
}

#[test]
fn tables_that_cannot_be_made() {
    let place = empty();
    std::fs::write(place.path().join("none.json"), "{\"pairs\": []}").expect("written");
    std::fs::write(place.path().join("file"), "").expect("written");
    for (arguments, parts) in [
        ("--ambiguous nosuch.json", ["nosuch.json", "check the path"]),
        ("--ambiguous none.json", ["none.json, pairs: no pair of words", "write {\"pairs\""]),
        ("--set seed=3", ["--set seed=3", "--seeds"]),
        ("--set head.streams=both", ["--set head.streams=both", "leave it out"]),
        ("--set loss.beta=0", ["--set loss.beta=0", "would be equal"]),
        ("--set nosuch=1", ["--set nosuch=1", "no such field"]),
        ("--out file/below", ["file/below", "a file is where a folder should be"]),
    ] {
        let line = format!("--features {} --preset tiny --gpus cpu {arguments}", features().display());
        run(place.path(), "ablate", words(&line)).refuses(&[&parts]);
    }
    let nosuch = run(place.path(), "ablate", words("--features nosuch --preset tiny --gpus cpu"));
    nosuch.refuses(&[&["spatial with seed 0: train: nosuch/train/store.json", "no feature store"]]);
    let preset = run(place.path(), "ablate", words("--features x --out y --preset nosuch"));
    preset
        .refuses(&[&["y/spatial/seed-0.log: spatial with seed 0: train ended with exit status: 2", "read"]]);
    run(place.path(), "ablate", words("--features x --seeds 0")).exits(2).says(&["--seeds"]);
}

/// Every clip keeps its gestures and gets the mouthing of another clip, as long as its own.
#[test]
fn only_the_mouthing_is_shuffled() {
    let open = |settings: &[String]| {
        let config = TrainConfig::default().with(None, settings).expect("settings");
        Corpus::open(features(), "train", &config).expect("a corpus")
    };
    let (plain, shuffled) = (open(&[]), open(&["shuffle_mouthing=true".to_owned()]));
    let batch = |corpus: &Corpus, clip: usize| corpus.batch(&[clip], Window::Middle).expect("a batch");
    let own: Vec<_> = (0..plain.len()).map(|clip| batch(&plain, clip)).collect();
    for (clip, own_batch) in own.iter().enumerate() {
        let other = batch(&shuffled, clip);
        assert_eq!(other.spatial, own_batch.spatial);
        assert_eq!(other.lengths, own_batch.lengths);
        let mouthing =
            |batch: &signclip_train::corpus::Batch| batch.mouthing.as_ref().expect("a stream").get(0);
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
