//! File systems without locks: every `flock` fails as it does there.

use crate::corpus::{empty, features};
use crate::program::{TRAIN, command, finish, words};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library that lets every `flock` fail with `code`, or `None` with a message where there is no C compiler.
fn without_locks(place: &Path, code: i32) -> Option<PathBuf> {
    let source = place.join("flock.c");
    let text = format!(
        "#include <errno.h>\nint flock(int f, int o) {{ (void)f; (void)o; errno = {code}; return -1; }}\n"
    );
    std::fs::write(&source, text).expect("written");
    let library = place.join(format!("flock{code}.so"));
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no C compiler to make a file system without locks with");
        return None;
    }
    Some(library)
}

/// ENOLCK, EOPNOTSUPP, and the ENOTSUPP of the kernel.
#[test]
fn the_warning_is_heard() {
    let place = empty();
    for code in [37, 95, 524] {
        let Some(library) = without_locks(place.path(), code) else { return };
        let program = |name: &str, line: String| {
            let mut command = command(name);
            command.current_dir(place.path()).env("LD_PRELOAD", &library).args(words(&line));
            finish(command)
        };
        let features = features().display();
        let run = format!("run{code}");
        let done =
            program("train", format!("{TRAIN} --features {features} --run {run} --set optimiser.epochs=1"));
        done.exits(0);
        assert!(done.stderr.contains("WARN run"), "{done}");
        assert!(done.stderr.contains("no file locks here"), "{done}");
        let log = std::fs::read_to_string(place.path().join(run).join("train.log.jsonl")).expect("a log");
        assert!(log.contains("no file locks here"), "{log}");
        if code == 524 {
            let short = "--preset tiny --gpus cpu --seeds 1 --split test --table control --set optimiser.epochs=1 \
                --set decoding.max_length=4 --set decoding.num_beams=1";
            let done = program("ablate", format!("--features {features} --out out {short}"));
            done.exits(0).says(&["out: no file locks here"]);
        }
    }
}
