//! What `evaluate` prints beside the scores of a run: what is reached without looking.

use crate::corpus::{copy, empty, features};
use crate::program::{Done, run, train, words};
use serde_json::Value;
use std::fmt::Write;

#[test]
fn the_floor_is_what_is_reached_without_looking() {
    let place = empty();
    let line = format!("--features {} --run run", features().display());
    // Those of the helper come first: the last one counts.
    train(place.path(), &format!("{line} --set optimiser.epochs=60 --set validate_every=60")).exits(0);
    let evaluate = |arguments: &str| -> Done { run(place.path(), "evaluate", words(arguments)) };
    let of_run = |name: &str| -> Value {
        evaluate(&format!("--run {name} --gpus cpu --split train --json")).exits(0).json()
    };
    let own = of_run("run");

    // The same weights, whose clips are given other features before they are translated.
    copy(&place.path().join("run"), &place.path().join("other"));
    let file = place.path().join("other/config.json");
    let text = std::fs::read_to_string(&file).expect("settings");
    let [plain, shuffled] = ["false", "true"].map(|value| format!("\"shuffle_features\": {value}"));
    assert!(text.contains(&plain), "{text}");
    std::fs::write(&file, text.replace(&plain, &shuffled)).expect("written");
    assert_eq!(own["floor"]["other_features"], of_run("other")["scores"]);
    assert_ne!(own["floor"]["other_features"], own["scores"]);

    // One sentence for all.
    let said = own["floor"]["sentence"].as_str().expect("a sentence");
    let lines =
        std::fs::read_to_string(place.path().join("run/train/predictions.jsonl")).expect("predictions");
    let [mut hypotheses, mut references] = [String::new(), String::new()];
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        writeln!(hypotheses, "{said}").expect("written");
        writeln!(references, "{}", line["reference"].as_str().expect("a reference")).expect("written");
    }
    std::fs::write(place.path().join("hypotheses"), hypotheses).expect("written");
    std::fs::write(place.path().join("references"), references).expect("written");
    let scored = evaluate("score hypotheses references --json").exits(0).json();
    for score in ["/bleu/bleu", "/chrf/score", "/bootstrap"] {
        let [floor, wanted] =
            [&own["floor"]["language_model_alone"], &scored["scores"]].map(|all| all.pointer(score));
        assert!(floor.is_some() && floor == wanted, "{score}");
    }
    evaluate("--run run --gpus cpu --split train").exits(0).says(&["no clip", "other clip"]);
    evaluate("report run --gpus cpu --split train").exits(0);
    let page = std::fs::read_to_string(place.path().join("run/report.html")).expect("a page");
    assert!(page.contains("Floor of BLEU-4") && page.contains(said), "no floor in the page");
}
