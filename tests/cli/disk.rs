//! A disk without room: the run stops with the file's name, and goes on when there is room.

use crate::corpus::{empty, extract_phoenix, features, payloads, phoenix, store, verified};
use crate::program::{Done, finish, path};
use std::path::Path;
use std::process::Command;

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
