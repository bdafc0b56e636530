//! Programs away from the project's folder: what they need is compiled in.

use crate::corpus::{empty, phoenix};
use crate::program::{Done, command_at, finish, path, words};
use signclip_common::libtorch;
use std::path::Path;

/// Run the program at `program` in a folder without anything.
fn elsewhere(program: &Path, arguments: &str, manifests: Option<&Path>) -> Done {
    let place = empty();
    let mut command = command_at(program);
    command.current_dir(place.path()).args(words(arguments));
    if let Some(manifests) = manifests {
        command.env("SIGNCLIP_MANIFESTS", manifests);
    }
    // Found beside the build folder otherwise.
    command.env("LD_LIBRARY_PATH", libtorch::libraries());
    finish(command)
}

#[test]
fn a_program_alone_knows_data_sets_and_weights() {
    let place = empty();
    let program = place.path().join("extract");
    std::fs::copy(path("extract"), &program).expect("a copy");
    let plan = format!("--root {} --preset tiny --gpus cpu --dry-run --json", phoenix().display());
    let known = elsewhere(&program, &format!("--dataset phoenix {plan}"), None);
    assert!(known.exits(0).json()["splits"]["train"]["clips"].as_u64() > Some(0), "{known}");
    let report = elsewhere(&program, "doctor --json", None);
    assert!(report.exits(0).json()["weights"].as_array().is_some_and(|files| files.len() > 5), "{report}");

    let own = place.path().join("own");
    std::fs::create_dir(&own).expect("a folder");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/phoenix.json");
    std::fs::copy(manifest, own.join("signs.json")).expect("a copy");
    for name in ["signs", "phoenix"] {
        elsewhere(&program, &format!("--dataset {name} {plan}"), Some(&own)).exits(0);
    }
    elsewhere(&program, "--dataset nosuch", Some(&own))
        .says(&["known: csl-daily, how2sign, phoenix, signs;"]);
    let absent = place.path().join("absent");
    elsewhere(&program, &format!("--dataset phoenix {plan}"), Some(&absent))
        .refuses(&[&["absent: no such folder", "$SIGNCLIP_MANIFESTS"]]);
}
