//! Two hundred good clips with twenty among them that nobody should have to read: the run ends by itself.

use crate::corpus::{empty, files, how2sign, ids, store};
use crate::program::{command, ended, ffmpeg, words};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GOOD: usize = 200;
/// Of a run on small good clips alone, several times over.
const MOST_MIB: u64 = 1500;

/// A picture's header that promises this many pixels, and nothing of them.
fn png(width: u32, height: u32) -> Vec<u8> {
    let chunk = |kind: &[u8], content: &[u8]| {
        let body = [kind, content].concat();
        let length = (content.len() as u32).to_be_bytes();
        [&length[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let empty = [0x78, 0x9c, 3, 0, 0, 0, 0, 1];
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &empty), &chunk(b"IEND", b"")]
        .concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

/// The list of all clips, and the ids of those that fail.
fn clips(place: &Path, outside: &Path) -> Vec<String> {
    let at = |name: &str| place.join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).expect("a file");
    let good =
        std::fs::read(&files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0]).expect("a video");
    write("good.mp4", &good);
    std::fs::copy(at("good.mp4"), outside.join("secret.mp4")).expect("a copy");
    ffmpeg(place, "-i good.mp4 -an -c copy whole.mkv");
    ffmpeg(place, "-f lavfi -i testsrc2=size=64x64:rate=25 -frames:v 5 -c:v rawvideo raw.avi");
    let matroska = std::fs::read(at("whole.mkv")).expect("a video");
    let mut wide = std::fs::read(at("raw.avi")).expect("a video");
    let size = wide.windows(4).position(|window| window == b"strf").expect("a header") + 12;
    wide[size..size + 8].copy_from_slice(&[20_000u32.to_le_bytes(), 20_000u32.to_le_bytes()].concat());

    let mut hole = matroska.clone();
    let middle = hole.len() / 2;
    hole[middle - 200..middle].fill(0);
    let secret = outside.join("secret.mp4").display().to_string();
    for (name, bytes) in [
        ("concat", format!("ffconcat version 1.0\nfile '{secret}'\n").into_bytes()),
        ("itself", b"ffconcat version 1.0\nfile itself\n".to_vec()),
        (
            "hls",
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\n{secret}\n#EXT-X-ENDLIST\n")
                .into_bytes(),
        ),
        ("text", b"this is no video\n".to_vec()),
        ("empty", Vec::new()),
        ("noise", (0..50_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()),
        ("cut.mp4", good[..good.len() / 2].to_vec()),
        ("cut.mkv", matroska[..matroska.len() / 2].to_vec()),
        ("hole.mkv", hole),
        ("wide.avi", wide),
        ("wide.gif", b"GIF89a\xff\xff\xff\xff\xf7\0\0".iter().copied().chain([0; 900]).collect()),
    ] {
        write(name, &bytes);
    }
    assert!(
        Command::new("mkfifo").args([at("pipe"), outside.join("pipe")]).status().expect("mkfifo").success()
    );
    drop(UnixListener::bind(at("socket")).expect("a socket"));
    symlink("/dev/zero", at("zero")).expect("a link");
    symlink("nowhere", at("dangling")).expect("a link");
    std::fs::create_dir(at("folder")).expect("a folder");
    let sparse = std::fs::File::create(at("sparse")).expect("a file");
    sparse.set_len(100 << 30).expect("a length");
    let picture = |folder: &str| {
        std::fs::create_dir(at(folder)).expect("a folder");
        at(folder).join("0001.png")
    };
    symlink(outside.join("pipe"), picture("pipes")).expect("a link");
    symlink("/dev/zero", picture("zeros")).expect("a link");
    std::fs::write(picture("bomb"), png(60_000, 60_000)).expect("a picture");

    let videos = [
        "concat", "itself", "hls", "text", "empty", "noise", "cut.mp4", "cut.mkv", "hole.mkv", "wide.avi",
        "wide.gif", "pipe", "socket", "zero", "dangling", "folder", "sparse",
    ];
    let hostile = videos
        .map(|name| (name, "video"))
        .into_iter()
        .chain(["pipes", "zeros", "bomb"].map(|n| (n, "frames")));
    let hostile: Vec<_> = hostile.collect();
    let mut lines = Vec::new();
    for number in 0..GOOD {
        lines.push(
            json!({ "id": format!("good-{number:03}"), "video": "good.mp4", "start": 0.2, "end": 0.4 }),
        );
        if let Some((name, kind)) = hostile.get(number / 10).filter(|_| number % 10 == 5) {
            lines.push(json!({ "id": name, *kind: name }));
        }
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write("own.jsonl", text.as_bytes());
    hostile.into_iter().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn two_hundred_good_clips_and_twenty_others() {
    let (place, outside) = (empty(), empty());
    let mut hostile = clips(place.path(), outside.path());
    assert_eq!(hostile.len(), 20);
    let mut extract = command("extract");
    extract.current_dir(place.path());
    extract.args(words("--preset tiny --gpus cpu --streams spatial --dataset own.jsonl --out out"));
    let mut child = extract.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("extract starts");
    let (begun, mut most) = (Instant::now(), 0);
    let status = ended(&mut child, Duration::from_secs(180), |child| {
        let memory = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = memory
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(peak.unwrap_or(0u64) / 1024);
    });
    println!("{:.1?}, {most} MiB at most", begun.elapsed());
    assert_eq!(status.code(), Some(1));
    assert!(most < MOST_MIB, "{most} MiB");
    let out = place.path().join("out");
    let stored = store(&out, "all");
    assert_eq!(stored.clips.len(), GOOD);
    assert!(ids(&stored).iter().all(|id| id.starts_with("good-")));
    let failures = std::fs::read_to_string(out.join("all/failures-00000.jsonl")).expect("failures");
    let lines = failures.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let mut failed: Vec<String> = lines.map(|line| line["id"].as_str().expect("an id").to_owned()).collect();
    failed.sort();
    hostile.sort();
    assert_eq!(failed, hostile);
}
