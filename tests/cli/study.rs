//! The recipes of the study and of the presets, as small as they can be.

use crate::corpus::{empty, tree};
use crate::program::{Done, command_at, finish, folder};
use std::path::Path;

/// A script of `scripts/` in the folder `study` below `place`.
fn script(name: &str, place: &Path, sizes: &str) -> Done {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name);
    let mut command = command_at(&script);
    command
        .current_dir(place)
        .arg(format!("{}/", folder().display()))
        .arg("study")
        .args(sizes.split_whitespace());
    finish(command)
}

fn study(place: &Path, sizes: &str) -> Done {
    script("study.sh", place, sizes)
}

/// From nothing to verdicts, which one seed cannot decide. Again it does nothing, and says the same; from nothing in another
/// place it makes the same tables, byte for byte.
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
    let other = empty();
    study(other.path(), sizes).exits(0);
    for table in ["random", "clean", "lagged", "noisy"] {
        let [one, same] = [&place, &other].map(|place| {
            let folder = place.path().join("study/tables").join(table);
            ["json", "md", "svg"].map(|ending| {
                std::fs::read_to_string(folder.join(format!("study.{ending}"))).expect("a table")
            })
        });
        assert!(one == same, "{table}");
    }
    study(place.path(), "clip=16").exits(2).says(&["study.sh: clip=16: no such size"]);
}

/// Each recipe beside itself on the features of other clips.
#[test]
#[ignore = "six trainings and translations of larger heads; just check-study"]
fn recipes_beside_their_controls() {
    let place = empty();
    let sizes = "clips=16 sentences=40 epochs=1 seeds=1";
    script("presets.sh", place.path(), sizes).exits(0).says(&["2 of 2: recipe-shuffled, seed 0: done"]);
    for preset in ["paper", "authors", "spamo"] {
        let file = place.path().join("study").join(preset).join("recipe.json");
        let text = std::fs::read_to_string(&file).expect("a table");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["split"], "dev", "{preset}");
        let names: Vec<_> = json["rows"].as_array().into_iter().flatten().map(|row| &row["name"]).collect();
        assert_eq!(names, ["recipe", "recipe-shuffled"], "{preset}");
    }
    script("presets.sh", place.path(), "passes=1").exits(2).says(&["presets.sh: passes=1: no such size"]);
}
