//! Sixty damaged videos among twenty good ones: the good ones are stored, the others listed with reasons.

use crate::corpus::{empty, files, how2sign, ids, store, verified};
use crate::program::{finish, path};
use std::collections::BTreeSet;
use std::process::Command;

/// KiB of memory of its own that the run may ask for. Good clips alone do with less than half; the absurd headers speak of
/// tables of gigabytes.
const MEMORY: usize = 1 << 20;

/// A video cut off after `part` of 16.
fn truncated(video: &[u8], part: usize) -> Vec<u8> {
    video[..video.len() * part / 16].to_vec()
}

/// Every 16th byte turned round in the coded pictures: the first is hit many times over.
fn flipped(video: &[u8], begin: usize) -> Vec<u8> {
    let mut bytes = video.to_vec();
    let coded = video.windows(4).position(|w| w == b"mdat").expect("coded pictures") + 4;
    let size = u32::from_be_bytes(video[coded - 8..coded - 4].try_into().expect("4 bytes")) as usize - 8;
    for at in (coded + begin..coded + size).step_by(16) {
        bytes[at] ^= 0xff;
    }
    bytes
}

/// A box of an MP4 file by its name, with `value` written at `offset` of its content.
fn absurd(video: &[u8], name: &[u8; 4], offset: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = video.to_vec();
    let at =
        video.windows(4).position(|w| w == name).unwrap_or_else(|| panic!("no box {name:?}")) + 4 + offset;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// What is no video at all, or another kind of file under its name.
fn others(video: &[u8]) -> Vec<Vec<u8>> {
    let with = |head: &[u8]| [head, &video[64..4096]].concat();
    vec![
        Vec::new(),
        b"this is no video\n".to_vec(),
        vec![0; 70_000],
        vec![0xff; 70_000],
        with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0"),
        with(b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
        with(b"PK\x03\x04\x14\0\0\0\x08\0"),
        with(b"\x1f\x8b\x08\0\0\0\0\0"),
        with(b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\0\0"),
        with(b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\xffhdrlavih8\0\0\0"),
        with(b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff"),
        with(b"OggS\0\x02\0\0\0\0\0\0\0\0"),
        with(b"ID3\x04\0\0\0\0\0\x23TSSE\0\0\0\x0f\0\0\x03"),
        with(b"<!DOCTYPE html><html><title>404</title></html>\n"),
        with(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 132735\n"),
    ]
}

#[test]
fn sixty_among_twenty() {
    let place = empty();
    let video =
        std::fs::read(&files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0]).expect("it");
    let mut bad: Vec<(&str, Vec<u8>)> = Vec::new();
    bad.extend((1..16).map(|part| ("truncated", truncated(&video, part))));
    bad.extend((0..15).map(|begin| ("flipped", flipped(&video, begin))));
    bad.extend(others(&video).into_iter().map(|bytes| ("other", bytes)));
    let big: [&[u8]; 3] = [&[0xff; 4], &[0x7f, 0xff, 0xff, 0xff], &[0; 4]];
    // Lengths of the tables of sizes, places, chunks and times, and of the description. (Sizes of outer boxes, or a width
    // that the pictures contradict, are no damage: every frame comes out whole.)
    for (name, offset) in [(b"stsz", 8), (b"stco", 4), (b"stsc", 4), (b"stts", 4), (b"stsd", 8)] {
        bad.extend(big.map(|value| ("absurd", absurd(&video, name, offset, value))));
    }
    assert_eq!(bad.len(), 60);
    let mut list = String::new();
    for (number, (kind, bytes)) in bad.iter().enumerate() {
        let id = format!("{kind}-{number:02}");
        std::fs::write(place.path().join(format!("{id}.mp4")), bytes).expect("a file");
        list += &format!("{}\n", serde_json::json!({"id": id, "video": format!("{id}.mp4")}));
    }
    std::fs::write(place.path().join("good.mp4"), &video).expect("a file");
    // Good ones between bad ones.
    let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
    for number in 0..20 {
        let (start, id) = (0.1 * f64::from(number), format!("good-{number:02}"));
        let line = serde_json::json!({"id": id, "video": "good.mp4", "start": start, "end": start + 0.4})
            .to_string();
        lines.insert(number as usize * 4, line);
    }
    std::fs::write(place.path().join("own.jsonl"), lines.join("\n") + "\n").expect("a list");

    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -d {MEMORY}; exec \"$@\""), "sh"]).arg(path("extract"));
    command.args("--preset tiny --gpus cpu --dataset own.jsonl --out out --streams spatial".split(' '));
    command.current_dir(place.path());
    let done = finish(command);
    done.exits(1).says(&["60 clips failed"]);
    let out = place.path().join("out");
    let stored = store(&out, "all");
    assert_eq!(ids(&stored), (0..20).map(|n| format!("good-{n:02}")).collect::<Vec<_>>(), "{done}");
    assert!(stored.clips.iter().all(|clip| clip.frames == 10));
    verified(&out);
    let text = std::fs::read_to_string(out.join("all/failures-00000.jsonl")).expect("a list of failures");
    let failures: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let listed: BTreeSet<&str> = failures.iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!((failures.len(), listed.len()), (60, 60));
    for failure in &failures {
        let (id, reason) =
            (failure["id"].as_str().expect("an id"), failure["reason"].as_str().expect("a reason"));
        assert!(reason.contains(&format!("{id}.mp4")) && reason.contains("; "), "{failure}");
    }
}
