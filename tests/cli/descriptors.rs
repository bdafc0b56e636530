//! Programs with hardly any file descriptors: they end, with a line that says what to raise.

use crate::corpus::{empty, features, phoenix};
use crate::program::{TRAIN, ended, path};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Run a program with at most `descriptors`, and return its exit code and what it said.
fn limited(place: &Path, descriptors: u32, program: &str, arguments: &str) -> (Option<i32>, String) {
    let log = place.join("said");
    let said = std::fs::File::create(&log).expect("a file");
    let line = format!("ulimit -n {descriptors}; exec {} {arguments}", path(program).display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let mut child = shell.spawn().expect("a shell");
    let status = ended(&mut child, Duration::from_secs(60), |_| ());
    (status.code(), std::fs::read_to_string(&log).expect("what it said"))
}

#[test]
fn programs_end_without_descriptors() {
    let place = empty();
    let (root, features) = (phoenix().display(), features().display());
    let train = TRAIN.replace("epochs=2", "epochs=1");
    for descriptors in [5, 7, 9, 12, 16, 24] {
        let out = format!("out{descriptors}");
        for (program, arguments) in [
            ("train", format!("{train} --features {features} --run {out}/run")),
            (
                "extract",
                format!(
                    "--preset tiny --gpus cpu --dataset phoenix --root {root} --split dev --landmarks \
                                 {root}/landmarks --out {out}/cache"
                ),
            ),
            ("evaluate", format!("--run {out}/run --gpus cpu --split dev")),
        ] {
            let (code, said) = limited(place.path(), descriptors, program, &arguments);
            let place = || format!("{program} with {descriptors} descriptors: {code:?}\n{said}");
            match code {
                Some(0) => {}
                // A clip whose file could not be opened has failed, by that name.
                Some(1) if program == "extract" => assert!(said.contains("ulimit -n"), "{}", place()),
                // The system's own loader says it in its words.
                Some(127) => assert!(said.contains("error while loading"), "{}", place()),
                Some(2) => {
                    let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
                    let no_run = program == "evaluate" && said.contains("no run here");
                    let untrained = said.contains("best.safetensors");
                    assert!(
                        errors == 1 && (said.contains("ulimit -n") || no_run || untrained),
                        "{}",
                        place()
                    );
                }
                _ => panic!("{}", place()),
            }
        }
    }
}
