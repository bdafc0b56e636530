//! What becomes of damaged videos: how many are stored with another number of frames than the whole video has.
//!
//! `check_damage MUTANTS SEED [FOLDER]` renders a short clip in each of sixteen containers with the `ffmpeg` program,
//! damages copies of it, and reads each as `extract` does. The same seed gives the same damage. It prints a table by
//! container and one by kind of damage, and writes `damage.json` into FOLDER (`target/damage`), together with the copies
//! that were read with another number of frames. Exit code 1 if there are any.

#![allow(clippy::print_stdout, reason = "it prints a table")]
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::json;
use signclip_common::manifest::Media;
use signclip_extract::media::frame_reader::FrameReader;

/// Ending, the encoder's arguments, and the bytes that a part of the file begins with.
const CONTAINERS: [(&str, &str, &[u8]); 16] = [
    ("mp4", "-c:v libx264 -g 20 -c:a aac", b"\0\0\0\x01"),
    ("mov", "-c:v mpeg4 -g 20 -an", b"\0\0\x01\xb6"),
    ("3gp", "-c:v libx264 -g 20 -bf 0 -an", b"\0\0\0\x01"),
    ("mkv", "-c:v libx264 -g 20 -c:a aac -cluster_time_limit 400", b"\x1f\x43\xb6\x75"),
    ("webm", "-c:v libvpx -g 20 -deadline realtime -an -cluster_time_limit 400", b"\x1f\x43\xb6\x75"),
    ("avi", "-c:v mpeg4 -g 20 -c:a mp2", b"00dc"),
    ("ts", "-c:v libx264 -g 20 -c:a aac", b"\x47\x41\0"),
    ("mpg", "-c:v mpeg2video -g 20 -bf 2 -c:a mp2", b"\0\0\x01\xba"),
    ("ogv", "-c:v libtheora -g 20 -c:a libvorbis", b"OggS"),
    ("wmv", "-c:v wmv2 -g 20 -c:a wmav2", b"\x82\0\0"),
    ("flv", "-c:v flv1 -g 20 -c:a aac", b"\0\0\0\0\x22"),
    ("gif", "-an", b"\x21\xf9\x04"),
    ("y4m", "-pix_fmt yuv420p -an", b"FRAME"),
    ("mxf", "-c:v mpeg2video -g 20 -an", b"\x06\x0e\x2b\x34"),
    ("nut", "-c:v mpeg4 -g 20 -c:a mp2", b"NK\xe4\xad\xee\xcaEi"),
    ("h264", "-c:v libx264 -g 20 -an", b"\0\0\0\x01"),
];

const KINDS: [&str; 9] = [
    "cut off",
    "cut off between parts",
    "zeros",
    "other bytes",
    "left out",
    "part left out",
    "twice",
    "part twice",
    "header",
];

const FRAMES: usize = 60;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit.max(1) as u64) as usize
    }
}

/// `bytes` damaged in the way number `kind`, and what was done.
fn damage(bytes: &[u8], part: &[u8], kind: usize, random: &mut Random) -> (Vec<u8>, String) {
    let mut damaged = bytes.to_vec();
    let parts: Vec<usize> = (1..bytes.len()).filter(|&at| bytes[at..].starts_with(part)).collect();
    // A place in the head, in the middle or at the tail; a short stretch or a long one.
    let at = match random.below(4) {
        0 => random.below(bytes.len().min(1024)),
        1 => bytes.len() - 1 - random.below(bytes.len().min(1024)),
        _ => random.below(bytes.len()),
    };
    let long = [8, 100, 2000, bytes.len() / 4][random.below(4)];
    let mut end = (at + 1 + random.below(long)).min(bytes.len());
    let mut begin = at;
    if kind % 2 == 1 && kind != 3 && parts.len() > 1 {
        let first = random.below(parts.len() - 1);
        let last = (first + 1 + random.below(3)).min(parts.len() - 1);
        (begin, end) = (parts[first], parts[last]);
    }
    match kind {
        0 | 1 => damaged.truncate(begin.max(1)),
        2 => damaged[begin..end].fill(0),
        3 => damaged[begin..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
        4 | 5 => drop(damaged.drain(begin..end)),
        6 | 7 => drop(damaged.splice(end..end, bytes[begin..end].iter().copied())),
        _ => {
            for _ in 0..=random.below(3) {
                begin = random.below(bytes.len().min(600));
                damaged[begin] ^= 1 << random.below(8);
            }
        }
    }
    (damaged, format!("{} at {begin}..{end} of {}", KINDS[kind], bytes.len()))
}

/// Source frames, frames at 25 a second, a sum over their pixels, and whether completeness is not known; or the error.
fn read(path: &Path) -> Result<(usize, usize, u64, bool), String> {
    let media = Media::Video { path: path.to_path_buf(), start: None, end: None };
    let mut stream = FrameReader::open(&media, 25.0, 25.0).map_err(|error| error.to_string())?;
    let mut sum = DefaultHasher::new();
    loop {
        let window = stream.next_window(16).map_err(|error| error.to_string())?;
        if window.is_empty() {
            let timing = stream.timing();
            return Ok((timing.source_frames, timing.frames, sum.finish(), timing.end_unknown));
        }
        window.iter().for_each(|shown| shown.frame.rgb.hash(&mut sum));
    }
}

fn render(path: &Path, arguments: &str) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-fflags", "+bitexact"])
        .args("-f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=sample_rate=44100".split(' '))
        .args(["-frames:v", &FRAMES.to_string(), "-shortest", "-flags", "+bitexact", "-threads", "1"])
        .args(arguments.split(' '))
        .arg(path)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "ffmpeg cannot write {}", path.display());
}

/// Frames that the `ffmpeg` program gives where it may not pass over anything; `None`: it refuses.
fn reference(path: &Path) -> Option<usize> {
    let output = Command::new("ffmpeg")
        .args("-v error -nostdin -err_detect explode -xerror -threads 1 -i".split(' '))
        .arg(path)
        .args("-map 0:v:0 -vsync passthrough -f framecrc -".split(' '))
        .output()
        .ok()?;
    let lines = String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')).count();
    output.status.success().then_some(lines)
}

/// How many of each outcome.
#[derive(Default, Clone, Copy)]
struct Counts {
    refused: usize,
    same: usize,
    /// The same number of frames, other pixels.
    pixels: usize,
    /// The same number of frames, shown at other times.
    times: usize,
    other: usize,
    /// The same, and the summary and the store say that completeness is not known.
    told: usize,
    /// Copies that the `ffmpeg` program gives with another number of frames.
    program: usize,
}

impl Counts {
    fn line(&self) -> String {
        let Self { refused, same, pixels, times, other, told, program } = self;
        format!("{refused:8} {same:8} {pixels:8} {times:8} {other:8} {told:8} {program:8}")
    }

    fn json(&self) -> serde_json::Value {
        let Self { refused, same, pixels, times, other, told, program } = self;
        json!({"refused": refused, "same": same, "other_pixels": pixels, "other_times": times,
            "other_number": other, "other_number_told": told, "other_number_ffmpeg": program})
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, default| arguments.get(index).map_or(Ok(default), |text| text.parse::<usize>());
    let (Ok(mutants), Ok(seed)) = (number(0, 200), number(1, 1)) else {
        println!("usage: check_damage [MUTANTS] [SEED] [FOLDER] [CONTAINER,CONTAINER]");
        return ExitCode::from(2);
    };
    let folder = PathBuf::from(arguments.get(2).map_or("target/damage", |text| text.as_str()));
    let compare = std::env::var_os("SIGNCLIP_COMPARE").is_none_or(|value| value != "0");
    let only: Option<Vec<&str>> = arguments.get(3).map(|text| text.split(',').collect());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder");
    let (mut by_container, mut by_kind) = (BTreeMap::new(), vec![Counts::default(); KINDS.len()]);
    let (mut cases, mut slowest) = (Vec::new(), Duration::ZERO);
    for (name, how, part) in CONTAINERS {
        if only.as_ref().is_some_and(|only| !only.contains(&name)) {
            continue;
        }
        let path = folder.join(format!("whole.{name}"));
        render(&path, how);
        let whole = read(&path).unwrap_or_else(|error| panic!("the whole {name}: {error}"));
        assert_eq!(whole.0, FRAMES, "frames of the whole {name}");
        let bytes = std::fs::read(&path).expect("the whole clip");
        let mut counts = Counts::default();
        let mut random = Random(seed as u64);
        for mutant in 0..mutants {
            let kind = mutant % KINDS.len();
            let (damaged, what) = damage(&bytes, part, kind, &mut random);
            if damaged == bytes {
                continue;
            }
            let copy = folder.join(format!("{mutant:04}.{name}"));
            std::fs::write(&copy, &damaged).expect("a copy");
            let begun = Instant::now();
            let got = read(&copy);
            slowest = slowest.max(begun.elapsed());
            let program = usize::from(compare && reference(&copy).is_some_and(|frames| frames != FRAMES));
            let mut keep = false;
            for counts in [&mut counts, &mut by_kind[kind]] {
                counts.program += program;
                match &got {
                    Err(_) => counts.refused += 1,
                    Ok(got) if got.0 != whole.0 => {
                        *if got.3 { &mut counts.told } else { &mut counts.other } += 1;
                        keep = true;
                    }
                    Ok(got) if got.1 != whole.1 => {
                        counts.times += 1;
                        keep = true;
                    }
                    Ok(got) if got.2 != whole.2 => counts.pixels += 1,
                    Ok(_) => counts.same += 1,
                }
            }
            let outcome = match got {
                Ok((source, shown, _, told)) => {
                    json!({"source_frames": source, "frames": shown, "end_unknown": told})
                }
                Err(error) => json!({"error": error.replace(&folder.display().to_string(), "")}),
            };
            if keep {
                println!("{name} {mutant}: {what}: {outcome}");
            } else {
                let _ = std::fs::remove_file(&copy);
            }
            cases.push(json!({"container": name, "mutant": mutant, "damage": what, "outcome": outcome}));
        }
        by_container.insert(name, counts);
    }
    let columns = "refused     same   pixels    times   NUMBER     told   ffmpeg";
    println!("\n{:24}  {columns}", "container");
    for (name, counts) in &by_container {
        println!("{name:24} {}", counts.line());
    }
    println!("\n{:24}  {columns}", "damage");
    for (name, counts) in KINDS.iter().zip(&by_kind) {
        println!("{name:24} {}", counts.line());
    }
    println!(
        "\npixels, times: same number of source frames, other pictures or another number at 25 a second."
    );
    println!(
        "NUMBER: read with another number of source frames; told: where the store says that nobody knows. ffmpeg: the same for that program (-xerror)."
    );
    println!("slowest: {:.2} s", slowest.as_secs_f64());
    let containers: BTreeMap<_, _> =
        by_container.iter().map(|(name, counts)| (name, counts.json())).collect();
    let kinds: BTreeMap<_, _> =
        KINDS.iter().zip(&by_kind).map(|(name, counts)| (name, counts.json())).collect();
    let report =
        json!({"mutants": mutants, "seed": seed, "containers": containers, "kinds": kinds, "cases": cases});
    std::fs::write(folder.join("damage.json"), format!("{report:#}\n")).expect("the report");
    match by_container.values().map(|counts| counts.other).sum::<usize>() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
