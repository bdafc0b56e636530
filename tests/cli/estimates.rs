//! What `--dry-run --calibrate` promises, and what a run says of its own stages.

use crate::corpus::{empty, extract_phoenix, how2sign, payloads, store};
use crate::program::{Done, extract};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Networks and other threads are busy for a part of the time, and the devices as long as their networks.
#[track_caller]
fn plausible(stages: &Value) -> f64 {
    let [decode, crop, faces, spatial, lips, write] =
        ["decode", "crop", "faces", "spatial", "lips", "write"].map(|stage| number(&stages[stage]));
    let device = faces + spatial + lips;
    for share in [decode + crop, device, write] {
        assert!(share > 0.0 && share <= 1.0, "{stages}");
    }
    assert!(spatial > 0.0 && lips > 0.0 && decode > 0.0 && crop > 0.0, "{stages}");
    device
}

#[test]
fn an_estimate_is_near_what_the_run_takes() {
    let out = empty();
    let folder = out.path().join("out");
    let plan = extract_phoenix(&folder, "--split train --dry-run --calibrate --json").exits(0).json();
    assert!(!folder.exists(), "the sample is not kept");
    let estimate = &plan["calibration"];
    let done = extract_phoenix(&folder, "--split train --json").exits(0).json()["train"].clone();
    assert_eq!(estimate["frames"], done["frames"]);
    let bytes: usize = payloads(&store(&folder, "train")).values().map(Vec::len).sum();
    assert_eq!(estimate["bytes"], bytes, "{estimate}");
    plausible(&estimate["stages"]);
    let promised = number(&estimate["hours"]) * 3600.0 - number(&estimate["loading_seconds"]);
    let ratio = promised / number(&done["seconds"]);
    println!("promised {promised:.2} s, {:.2} s in truth", number(&done["seconds"]));
    // Other tests take the cores meanwhile; `just check-estimate` has a narrower bound, and a longer run.
    assert!((0.2..5.0).contains(&ratio), "promised {promised} s\n{done}");
}

#[test]
fn an_estimate_from_cut_videos() {
    let place = empty();
    let line = |more: &str| -> Done {
        let root = how2sign().display();
        extract(place.path(), &format!("--dataset how2sign --root {root} --split train --out out {more}"))
    };
    let plan = line("--dry-run --calibrate --limit 1");
    plan.exits(0).says(&["minutes for", "limited by: ", "Nothing was done"]);
    let estimate = line("--dry-run --calibrate --json").json()["calibration"].clone();
    let done = line("--json").exits(0).json()["train"].clone();
    let (promised, frames) = (number(&estimate["frames"]), number(&done["frames"]));
    // Each clip's length is rounded to frames.
    assert!((promised - frames).abs() <= number(&done["stored"]), "{promised} of {frames} frames");
    assert!(
        number(&estimate["sample_frames"]) <= frames && number(&estimate["sample_frames"]) >= 16.0,
        "{estimate}"
    );
}

#[test]
fn an_estimate_without_clips_is_refused() {
    let place = empty();
    std::fs::write(place.path().join("own.jsonl"), "{\"id\": \"a\", \"video\": \"a.mp4\"}\n")
        .expect("a list");
    let done = extract(place.path(), "--dataset own.jsonl --dry-run --calibrate");
    done.refuses(&[&["media of all clips are missing", "--root"]]);
    std::fs::write(place.path().join("a.mp4"), "no video").expect("a file");
    let done = extract(place.path(), "--dataset own.jsonl --dry-run --calibrate --streams spatial");
    done.exits(2).says(&["no clip of the sample could be encoded", "a.mp4"]);
}

#[test]
fn a_run_says_how_busy_its_stages_were() {
    let out = empty();
    let done = extract_phoenix(out.path(), "--split dev --json");
    let outcome = done.exits(0).json()["dev"].clone();
    let device = plausible(&outcome["stages"]);
    assert!((device - number(&outcome["busy"])).abs() < 1e-9, "{outcome}");
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).expect("a file of the store");
    let progress: Value = serde_json::from_str(&read("dev/progress-00000.json")).expect("JSON");
    plausible(&progress["stages"]);
    // As fields in the log file, and not on the console.
    let log = read("extract.log.jsonl");
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let figures = lines.find(|line| line["target"] == "figures").expect("a line of figures");
    plausible(&figures["fields"]);
    assert_eq!(figures["fields"]["frames"], outcome["frames"], "{figures}");
    assert!(number(&figures["fields"]["per_second"]) > 0.0, "{figures}");
    assert!(!done.stderr.contains("per_second"), "{done}");
}
