//! The recipe of the study, as small as it can be.

use crate::corpus::{empty, tree};
use crate::program::{Done, command_at, finish, folder};
use std::path::Path;

fn study(place: &Path, sizes: &str) -> Done {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/study.sh");
    let mut command = command_at(&script);
    command
        .current_dir(place)
        .arg(format!("{}/", folder().display()))
        .arg("study")
        .args(sizes.split_whitespace());
    finish(command)
}

/// From nothing to verdicts, which one seed cannot decide. Again it does nothing, and says the same.
#[test]
#[ignore = "some forty trainings and translations; just check-study"]
fn from_nothing_to_verdicts() {
    let place = empty();
    let sizes = "clips=16 sentences=40 passes=1 epochs=1 seeds=1";
    let done = study(place.path(), sizes);
    done.exits(0).says(&["13 of 13: shuffled-features, seed 0: done", "| statement, fixed before the run |"]);
    let read =
        |name: &str| std::fs::read_to_string(place.path().join("study/tables").join(name)).expect(name);
    for (table, rows) in [("random", 3), ("clean", 3), ("lagged", 2), ("noisy", 13)] {
        let json: serde_json::Value =
            serde_json::from_str(&read(&format!("{table}/study.json"))).expect("JSON");
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(rows), "{table}");
    }
    let verdicts = read("verdicts.md");
    assert_eq!(verdicts.lines().count(), 2 + 5, "{verdicts}");
    for missing in ["no such table", "not in the table"] {
        assert!(!verdicts.contains(missing), "{verdicts}");
    }
    // Beside these, extract adds to its log.
    let made = || ["tables", "language"].map(|folder| tree(&place.path().join("study").join(folder)));
    let before = made();
    study(place.path(), sizes).exits(0).says(&["13 of 13: shuffled-features, seed 0: there already"]);
    assert!(made() == before);
    study(place.path(), "clip=16").exits(2).says(&["study.sh: clip=16: no such size"]);
}
