//! `train` under `mpirun`. Skipped, with a message, where there is no `mpirun` or `train` was built without MPI;
//! `just check-mpi` builds it and runs these tests.

use crate::corpus::{empty, features};
use crate::program::{TRAIN, finish, path, run, words};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `train` on two processes in the folder `place`; `None` where that is not possible here.
fn mpirun(place: &Path, arguments: &str) -> Option<Command> {
    let version = run(place, "train", ["--version"]);
    if Command::new("mpirun").arg("--version").output().is_err() || !version.stdout.contains("with MPI") {
        println!("skipped: no mpirun, or train was built without MPI (just check-mpi)");
        return None;
    }
    let mut command = Command::new("mpirun");
    // Containers run as root and may have fewer processors than a job has processes.
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]);
    command.arg(path("train")).args(words(TRAIN)).args(words(arguments)).current_dir(place);
    Some(command)
}

#[test]
fn two_processes_are_two_threads() {
    let place = empty();
    let line = format!(
        "--features {} --set checkpoint_every=1 --set language_model.dropout=0",
        features().display()
    );
    let Some(command) = mpirun(place.path(), &format!("{line} --run processes")) else { return };
    finish(command).exits(0).says(&["evaluate --run processes"]);
    let threads = TRAIN.replace("--gpus cpu", "--gpus cpu,cpu");
    run(place.path(), "train", words(&format!("{threads} {line} --run threads"))).exits(0);
    for file in ["best.safetensors", "checkpoints/step-00000002.safetensors"] {
        let read = |run: &str| std::fs::read(place.path().join(run).join(file)).expect("a checkpoint");
        assert!(read("processes") == read("threads"), "{file}");
    }
}

#[test]
fn one_killed_process_ends_the_job() {
    let place = empty();
    let line = format!("--features {} --set optimiser.epochs=5000 --run run", features().display());
    let Some(mut command) = mpirun(place.path(), &line) else { return };
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mpirun starts");
    let begun = Instant::now();
    while !place.path().join("run/log.jsonl").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing is trained after two minutes");
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("a process");
    let ranks: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(ranks.len(), 2, "{children}");
    Command::new("kill").args(["-9", ranks[1]]).status().expect("kill");
    let killed = Instant::now();
    let output = child.wait_with_output().expect("it ends");
    assert!(killed.elapsed() < Duration::from_secs(30), "{:?} after the kill", killed.elapsed());
    assert!(!output.status.success());
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("signal 9"), "{said}");
}

#[test]
fn a_program_without_mpi_says_so() {
    let place = empty();
    if run(place.path(), "train", ["--version"]).stdout.contains("with MPI") {
        println!("skipped: train was built with MPI");
        return;
    }
    let mut command = crate::program::command("train");
    command.args(["--features", "nosuch"]).env("OMPI_COMM_WORLD_SIZE", "2");
    finish(command).refuses(&[&["built without MPI", "--features signclip-train/mpi"]]);
}
