//! Several processes on one store: together they give what one gives, whoever dies or comes later.

use crate::corpus::{empty, extract_phoenix, features, ids, payloads, phoenix, store, verified};
use crate::program::{command, extract, finish, run, send, words};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `extract` on the rendered train split with more arguments.
fn rank(out: &Path, more: &str) -> Command {
    let mut command = command("extract");
    command.args(words("--preset tiny --gpus cpu --dataset phoenix --split train")).args(words(more));
    command.arg("--root").arg(phoenix()).arg("--out").arg(out);
    command.arg("--landmarks").arg(phoenix().join("landmarks"));
    command
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("extract starts")
}

#[track_caller]
fn ends(mut child: Child, code: i32) {
    assert_eq!(child.wait().expect("it ends").code(), Some(code));
}

/// Clips in the index of a rank.
fn indexed(out: &Path, rank: u32) -> usize {
    let index = std::fs::read(out.join(format!("train/clips-{rank:05}.jsonl"))).unwrap_or_default();
    index.iter().filter(|&&byte| byte == b'\n').count()
}

#[track_caller]
fn equals_one_process(out: &Path) {
    verified(out);
    assert!(payloads(&store(out, "train")) == payloads(&store(features(), "train")), "payloads differ");
}

fn status(out: &Path, more: &str) -> serde_json::Value {
    let done = run(out, "extract", words("status . --json").chain(words(more)));
    done.exits(0).json()["train"].clone()
}

#[test]
fn two_at_once_give_what_one_gives() {
    let out = empty();
    let both = ["--shard 1/2", "--shard 2/2"].map(|shard| start(rank(out.path(), shard)));
    both.into_iter().for_each(|child| ends(child, 0));
    assert_eq!([indexed(out.path(), 0), indexed(out.path(), 1)], [6, 6]);
    equals_one_process(out.path());
    assert!(out.path().join("extract-00001.log.jsonl").is_file());
    let status = status(out.path(), "");
    assert_eq!(
        (&status["expected"], &status["done"], &status["missing"]),
        (&12.into(), &12.into(), &0.into())
    );
    for number in [0, 1] {
        let rank = &status["ranks"][number];
        assert_eq!((&rank["state"], &rank["stored"]), (&"finished".into(), &6.into()), "{status}");
        assert_eq!(
            (&rank["progress"]["done"], &rank["progress"]["clips"]),
            (&6.into(), &6.into()),
            "{status}"
        );
    }
}

#[test]
fn one_that_was_killed_is_run_again_or_finished_by_a_later_run() {
    let out = empty();
    let other = start(rank(out.path(), "--shard 1/2"));
    let mut killed = start(rank(out.path(), "--shard 2/2"));
    let begun = Instant::now();
    while indexed(out.path(), 1) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no clip after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().expect("killed");
    killed.wait().expect("it ends");
    ends(other, 0);
    let left = indexed(out.path(), 1);
    assert!((1..6).contains(&left), "the kill came too late: {left} clips");
    let root = phoenix().display();
    let dead = status(out.path(), &format!("--dataset phoenix --root {root}"));
    assert_eq!(
        (&dead["ranks"][0]["state"], &dead["ranks"][1]["state"]),
        (&"finished".into(), &"dead".into())
    );
    assert_eq!(dead["missing"], 6 - left, "{dead}");
    assert_eq!(dead["missing_ids"].as_array().map(Vec::len), Some(6 - left), "{dead}");
    let done = run(out.path(), "extract", ["status", "."]);
    done.exits(0).says(&["train:", "dead", "its process has ended", "--shard"]);

    let copied = empty();
    crate::corpus::copy(out.path(), copied.path());
    finish(rank(out.path(), "--shard 2/2")).exits(0);
    equals_one_process(out.path());
    // Or by one process alone, under the name of the other rank.
    extract_phoenix(copied.path(), "--split train").exits(0);
    assert_eq!([indexed(copied.path(), 0), indexed(copied.path(), 1)], [12 - left, left]);
    equals_one_process(copied.path());
}

#[test]
fn overlapping_shares_store_nothing_twice() {
    let out = empty();
    // Two launches at the same time that do not know of each other, with ranks of their own.
    let shards = ["--shard 1/2", "--shard 2/2", "--shard 3/3"];
    let launched = shards.map(|shard| start(rank(out.path(), shard)));
    launched.into_iter().for_each(|child| ends(child, 0));
    let stored = [0, 1, 2].map(|rank| indexed(out.path(), rank));
    assert_eq!(stored.iter().sum::<usize>(), 12, "{stored:?}");
    equals_one_process(out.path());
}

#[test]
fn launchers_say_which_share() {
    let out = empty();
    for (variables, rank_number) in [
        ("SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=4", 0),
        (
            "SLURM_ARRAY_TASK_ID=6 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_MAX=8 SLURM_ARRAY_TASK_COUNT=4 \
             SLURM_ARRAY_TASK_STEP=1",
            1,
        ),
        ("OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4", 2),
        ("RANK=3 WORLD_SIZE=4 LOCAL_RANK=1", 3),
        ("PMI_RANK=2 PMI_SIZE=4 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=2", 2),
    ] {
        let mut command = rank(out.path(), "");
        command.envs(words(variables).filter_map(|v| v.split_once('=')));
        finish(command).exits(0).says(&[&format!("share {} of 4", rank_number + 1)]);
        assert_eq!(indexed(out.path(), rank_number), 3, "{variables}");
    }
    equals_one_process(out.path());
    for (variable, value) in [("RANK", "4"), ("RANK", "x"), ("WORLD_SIZE", "0"), ("WORLD_SIZE", "-2")] {
        let mut command = rank(out.path(), "");
        command.env("RANK", "0").env("WORLD_SIZE", "4").env(variable, value);
        finish(command).refuses(&[&[&format!("{variable}={value}"), "--shard"]]);
    }
    let mut command = rank(out.path(), "--shard 0/4");
    finish({
        command.env("RANK", "0");
        command
    })
    .refuses(&[&["--shard 0/4", "from 1"]]);
}

#[test]
fn a_request_to_end_finishes_what_is_in_flight() {
    for signal in ["-INT", "-TERM"] {
        let out = empty();
        let mut command = rank(out.path(), "--shard 1/1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("extract starts");
        let begun = Instant::now();
        while indexed(out.path(), 0) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(120), "no clip after two minutes");
            std::thread::sleep(Duration::from_millis(1));
        }
        send(signal, child.id());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("the same command resumes"), "{said}");
        let stored = indexed(out.path(), 0);
        assert!((1..12).contains(&stored), "{stored} clips");
        verified(out.path());
        let status = status(out.path(), "");
        assert_eq!(status["ranks"][0]["state"], "interrupted", "{status}");
        assert_eq!(status["missing"], 12 - stored, "{status}");
        extract_phoenix(out.path(), "--split train").exits(0);
        equals_one_process(out.path());
    }
}

/// A clip that is damaged is made again in the files of the rank that stored it, by that rank and by a process alone.
#[test]
fn a_damaged_clip_of_another_rank() {
    let out = empty();
    let both = ["--shard 1/2", "--shard 2/2"].map(|shard| start(rank(out.path(), shard)));
    both.into_iter().for_each(|child| ends(child, 0));
    let shard = out.path().join("train/spatial-00001-00000.npy");
    let damage = || {
        let mut bytes = std::fs::read(&shard).expect("a shard");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&shard, bytes).expect("written");
        let index = std::fs::read_to_string(out.path().join("train/clips-00001.jsonl")).expect("an index");
        let record: serde_json::Value =
            serde_json::from_str(index.lines().last().expect("a clip")).expect("JSON");
        record["id"].as_str().expect("an id").to_owned()
    };
    for who in ["", "--shard 2/2 "] {
        let only = format!("{who}--only {}", damage());
        finish(rank(out.path(), &only)).exits(0).says(&["made again"]);
        equals_one_process(out.path());
        assert_eq!(status(out.path(), "")["expected"], 12);
    }
    // The other rank has nothing to do with it.
    let only = format!("--shard 1/2 --only {}", damage());
    finish(rank(out.path(), &only)).exits(0);
    run(out.path(), "extract", words("--verify --out .")).exits(1).says(&["checksum differs"]);
    // Damaged clips of two ranks are named one rank at a time.
    let shard = out.path().join("train/mouthing-00000-00000.npy");
    let mut bytes = std::fs::read(&shard).expect("a shard");
    bytes[200] ^= 1;
    std::fs::write(&shard, bytes).expect("written");
    let clips: Vec<String> =
        store(out.path(), "train").clips.into_iter().map(|c| format!("--only {}", c.id)).collect();
    finish(rank(out.path(), &clips.join(" "))).refuses(&[&["damaged clips of two ranks", "at a time"]]);
}

#[test]
fn only_what_failed_is_tried_again() {
    let place = empty();
    let frames = phoenix().join("features/fullFrame-210x260px/test");
    let clips: Vec<_> = crate::corpus::files(&frames);
    let line = |id: &str, folder: &Path| serde_json::json!({"id": id, "frames": folder}).to_string() + "\n";
    let broken = place.path().join("broken");
    let list = [line("good", &clips[0]), line("broken", &broken), line("other", &clips[1])].concat();
    std::fs::write(place.path().join("own.jsonl"), list).expect("a list");
    let command = "--dataset own.jsonl --out out --streams spatial";
    // The second rank meets the clip that is not there.
    extract(place.path(), &format!("{command} --shard 2/3")).fails("broken", &["broken"]);
    extract(place.path(), &format!("{command} --shard 1/3")).exits(0);
    let look = || run(place.path(), "extract", ["status", "out", "--json"]).json()["all"].clone();
    let before = look();
    assert_eq!((&before["done"], &before["failed"], &before["missing"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(before["failures"][0]["id"], "broken", "{before}");
    // Still absent, now told by the one who tried last; then there.
    extract(place.path(), &format!("{command} --retry-failed")).fails("broken", &["broken"]);
    assert!(!place.path().join("out/all/failures-00001.jsonl").exists());
    crate::corpus::copy(&clips[0], &broken);
    extract(place.path(), &format!("{command} --retry-failed")).exits(0);
    assert_eq!(ids(&store(&place.path().join("out"), "all")), ["broken", "good"]);
    let after = look();
    assert_eq!((&after["done"], &after["failed"], &after["missing"]), (&2.into(), &0.into(), &1.into()));
    extract(place.path(), &format!("{command} --retry-failed")).exits(0).says(&["nothing to try again"]);
    extract(place.path(), command).exits(0);
    verified(&place.path().join("out"));
}
