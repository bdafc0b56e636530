//! A disk without room: the run stops with the file's name, and resumes when there is room.

use crate::corpus::{empty, extract_phoenix, features, payloads, phoenix, store, verified};
use crate::program::{Done, finish, path};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// `extract` where no file may grow beyond `blocks` of 512 bytes, which fails as a full disk does.
fn with_limit(blocks: usize, out: &Path) -> Done {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(path("extract"));
    command.args(["--preset", "tiny", "--gpus", "cpu", "--dataset", "phoenix", "--split", "test", "--root"]);
    command.arg(phoenix()).arg("--out").arg(out).arg("--landmarks").arg(phoenix().join("landmarks"));
    finish(command)
}

#[test]
fn a_full_disk_stops_the_run_and_room_finishes_it() {
    let out = empty();
    let whole = store(features(), "test");
    let rows = payloads(&whole);
    let largest = rows.values().map(Vec::len).max().unwrap_or(0);
    // No clip's rows fit; then those of any one clip do, and the second clip's do not.
    for (blocks, clips) in [(20, 0), (largest.div_ceil(512) + 1, 1)] {
        with_limit(blocks, out.path()).refuses(&[&["test/spatial-00000-00000.npy", "make room"]]);
        let store = store(out.path(), "test");
        assert_eq!(store.clips.len(), clips, "no partial row");
        verified(out.path());
    }
    extract_phoenix(out.path(), "--split test").exits(0);
    verified(out.path());
    assert_eq!(payloads(&store(out.path(), "test")), payloads(&store(features(), "test")));
}

#[test]
fn no_room_for_anything() {
    let out = empty();
    with_limit(0, &out.path().join("out")).refuses(&[&["out/", "make room"]]);
    extract_phoenix(&out.path().join("out"), "--split test").exits(0);
    verified(&out.path().join("out"));
}

/// A file system of a few hundred kilobytes, unmounted when it is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(bytes: usize) -> Option<Self> {
        let place = empty();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "signclip-test"]).arg(place.path());
        let done = mount.output().ok().filter(|done| done.status.success());
        done.map(|_| Self(place))
    }

    fn grow(&self, bytes: usize) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={bytes}")]).arg(self.0.path());
        assert!(mount.status().expect("mount").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: nobody is left in it who matters.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_file_system_that_fills_up() {
    let rows: usize = payloads(&store(features(), "train")).values().map(Vec::len).sum();
    let Some(disk) = SmallDisk::mount(16 << 10) else {
        println!("skipped: mounting a small tmpfs needs root");
        return;
    };
    let out = disk.0.path();
    // From no room at all to more than enough.
    let (mut full, mut stored) = (0, Vec::new());
    let steps = 12;
    for step in 0..=steps {
        disk.grow((16 << 10) + (rows + (512 << 10)) * step / steps);
        let done = extract_phoenix(out, "--split train");
        if done.code() == Some(0) {
            break;
        }
        done.exits(2).says(&["make room"]);
        full += 1;
        if out.join("train/store.json").is_file() {
            verified(out);
            stored.push(store(out, "train").clips.len());
        }
    }
    assert!(
        full >= 3 && stored.is_sorted() && stored.iter().any(|n| (1..12).contains(n)),
        "{full} {stored:?}"
    );
    extract_phoenix(out, "--split train").exits(0);
    verified(out);
    assert!(payloads(&store(out, "train")) == payloads(&store(features(), "train")));
}
