//! Media on disk to frames, on videos made here by the `ffmpeg` program whose pictures carry their own number.

#![allow(clippy::print_stdout, reason = "a skipped test says so, and error lines are shown on failure")]
#![allow(clippy::disallowed_methods)]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod damaged;
mod pictures;
mod ranges;
mod reported;
mod videos;

use signclip_common::Result;
use signclip_common::manifest::Media;
use signclip_extract::media::frame::Frame;
use signclip_extract::media::frame_reader::{FrameReader, Timing, probe};
use signclip_extract::media::reading::{Reading, VideoConfig};
use signclip_extract::media::remark::Remark;
use tempfile::TempDir;

const BITS: usize = 12;
const SIZE: (usize, usize) = (96, 64);

/// A gray picture with its number as twelve black or white blocks in the upper half.
fn numbered(index: usize, (width, height): (usize, usize)) -> Vec<u8> {
    let mut gray = vec![128; width * height];
    for (y, row) in gray.chunks_exact_mut(width).enumerate().take(height / 2) {
        for (x, value) in row.iter_mut().enumerate() {
            let bit = (x * BITS / width).min(BITS - 1);
            *value = if index >> bit & 1 == 1 { 230 } else { 25 };
            if y == 0 {
                *value = 25;
            }
        }
    }
    gray
}

/// The number in a picture.
fn number(frame: &Frame) -> usize {
    let y = frame.height / 4;
    (0..BITS)
        .filter(|bit| {
            let x = (2 * bit + 1) * frame.width / (2 * BITS);
            frame.rgb[(y * frame.width + x) * 3 + 1] > 128
        })
        .map(|bit| 1 << bit)
        .sum()
}

fn ffmpeg<S: AsRef<OsStr>>(arguments: &[S], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-threads", "1"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the ffmpeg program is installed");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("ffmpeg runs");
    let _ = feeder.join();
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(output.status.success(), "ffmpeg {arguments:?}");
    output.stdout
}

struct Videos(TempDir);

impl Videos {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `count` numbered pictures at `rate`, encoded with further arguments.
    fn make_sized(
        &self,
        name: &str,
        rate: &str,
        count: usize,
        size: (usize, usize),
        more: &[&str],
    ) -> PathBuf {
        let path = self.path(name);
        let dimensions = format!("{}x{}", size.0, size.1);
        let mut arguments =
            vec!["-f", "rawvideo", "-pix_fmt", "gray", "-s", &dimensions, "-r", rate, "-i", "-"];
        arguments.extend(["-pix_fmt", "yuv420p"]);
        arguments.extend(more);
        let target = path.display().to_string();
        arguments.push(&target);
        let pictures: Vec<u8> = (0..count).flat_map(|index| numbered(index, size)).collect();
        ffmpeg(&arguments, &pictures);
        path
    }

    fn make(&self, name: &str, rate: &str, count: usize, more: &[&str]) -> PathBuf {
        self.make_sized(name, rate, count, SIZE, more)
    }
}

fn video(path: &Path) -> Media {
    Media::Video { path: path.to_path_buf(), start: None, end: None }
}

fn part(path: &Path, start: f64, end: f64) -> Media {
    Media::Video { path: path.to_path_buf(), start: Some(start), end: Some(end) }
}

/// All frames, read in windows of 16.
fn frames(media: &Media) -> Result<(Vec<Frame>, Timing)> {
    frames_as(media, 25.0.into())
}

fn frames_as(media: &Media, reading: Reading) -> Result<(Vec<Frame>, Timing)> {
    let mut stream = FrameReader::open(media, reading, 25.0)?;
    let mut frames = Vec::new();
    loop {
        let window = stream.next_window(16)?;
        if window.is_empty() {
            let timing = stream.timing();
            assert_eq!(timing.frames, frames.len());
            return Ok((frames, timing));
        }
        frames.extend(window.into_iter().map(|shown| shown.frame));
    }
}

fn numbers(media: &Media) -> (Vec<usize>, Timing) {
    let (frames, timing) = frames(media).expect("decodes");
    (frames.iter().map(number).collect(), timing)
}

/// The one line of an error.
fn failure(media: &Media) -> String {
    let error = match frames(media) {
        Ok((frames, _)) => panic!("{media:?} gave {} frames", frames.len()),
        Err(error) => error.to_string(),
    };
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// Source frame at constant `fps` that is nearest to each output time; the earlier one of two.
fn nearest(fps: f64, count: usize, start: f64, total: usize) -> Vec<usize> {
    (0..total)
        .map(|k| (((start + k as f64 / 25.0) * fps - 0.5 - 2e-4).ceil().max(0.0) as usize).min(count - 1))
        .collect()
}

const X264: [&str; 6] = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20"];

#[test]
fn constant_25_comes_out_frame_by_frame() {
    let videos = Videos::new();
    let cases: [(&str, &[&str]); 9] = [
        ("plain.mp4", &["-bf", "3", "-g", "30"]),
        ("plain.mkv", &["-bf", "2"]),
        ("plain.ts", &["-bf", "2"]),
        ("plain.mov", &["-bf", "2", "-movflags", "+faststart", "-output_ts_offset", "3.21"]),
        ("offset.mkv", &["-bf", "2", "-output_ts_offset", "7.013"]),
        ("raw.h264", &["-bf", "2"]),
        ("plain.mpg", &["-c:v", "mpeg1video", "-q:v", "3", "-bf", "2"]),
        ("plain.avi", &["-c:v", "mpeg4", "-q:v", "3", "-bf", "2"]),
        ("plain.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-crf", "10", "-b:v", "1M"]),
    ];
    for (name, more) in cases {
        let codec: &[&str] = if more.contains(&"-c:v") { &[] } else { &X264 };
        let path = videos.make(name, "25", 103, &[codec, more].concat());
        let (got, timing) = numbers(&video(&path));
        assert_eq!(got, (0..103).collect::<Vec<_>>(), "{name}");
        assert!(!timing.resampled && timing.source_frames == 103, "{name}: {timing:?}");
        assert!((timing.source_fps - 25.0).abs() < 0.3, "{name}: {timing:?}");
        let probe = probe(&video(&path), 25.0).expect("probe");
        assert_eq!((probe.width, probe.height), SIZE, "{name}");
    }
}

#[test]
fn other_rates_become_25() {
    let videos = Videos::new();
    for (rate, fps, count, total) in [
        ("24", 24.0, 47, 49),
        ("30000/1001", 30_000.0 / 1001.0, 300, 250),
        ("50", 50.0, 101, 51),
        ("12.5", 12.5, 40, 80),
        ("60", 60.0, 84, 35),
    ] {
        for name in ["rate.mp4", "rate.mkv"] {
            let path = videos.make(name, rate, count, &[&X264[..], &["-bf", "2"]].concat());
            let (got, timing) = numbers(&video(&path));
            let expected = nearest(fps, count, 0.0, total);
            // Matroska rounds times to milliseconds: a frame may fall to the other side of the middle.
            let near = got.iter().zip(&expected).filter(|(a, b)| a != b).count();
            assert!(got.len() == total && near * 50 <= total, "{name} at {rate}: {got:?}");
            if name == "rate.mp4" {
                assert_eq!(got, expected, "{rate}");
            }
            assert!(timing.resampled && timing.source_frames == count, "{name} at {rate}: {timing:?}");
        }
    }
}

#[test]
fn jitter_and_variable_rate() {
    let videos = Videos::new();
    let times = |expression: &str| format!("settb=1/1000,setpts={expression}");
    let more = ["-vsync", "passthrough", "-enc_time_base", "1/1000"];
    let jitter = times("N*40+mod(N*7\\,5)");
    let path = videos.make("jitter.mkv", "25", 80, &[&X264[..], &["-vf", &jitter], &more].concat());
    let (got, timing) = numbers(&video(&path));
    assert_eq!(got, (0..80).collect::<Vec<_>>());
    assert!(!timing.resampled);
    // Bursts of three frames, 10 ms apart, every 200 ms.
    let bursts = times("floor(N/3)*200+mod(N\\,3)*10");
    let path = videos.make("bursts.mkv", "25", 30, &[&X264[..], &["-vf", &bursts], &more].concat());
    let (got, _) = numbers(&video(&path));
    assert!((45..=51).contains(&got.len()), "{}", got.len());
    for (k, &index) in got.iter().enumerate().take(45) {
        let time = |i: usize| (i / 3 * 200 + i % 3 * 10).abs_diff(k * 40);
        assert_eq!(time(index), (0..30).map(time).min().expect("some"), "output {k} shows {index}");
    }
}

#[test]
fn ranges_are_frame_exact() {
    let videos = Videos::new();
    let cases: [(&str, &str, f64, &[&str]); 9] = [
        ("a.mp4", "25", 25.0, &["-bf", "3", "-g", "40", "-keyint_min", "40"]),
        ("open.mp4", "25", 25.0, &["-bf", "3", "-g", "25", "-x264-params", "open-gop=1"]),
        ("b.mp4", "24", 24.0, &["-bf", "2", "-g", "250"]),
        ("c.mkv", "25", 25.0, &["-bf", "2", "-g", "33"]),
        ("d.ts", "25", 25.0, &["-bf", "2", "-g", "50"]),
        ("e.avi", "25", 25.0, &["-c:v", "mpeg4", "-q:v", "3", "-g", "30"]),
        ("f.mpg", "25", 25.0, &["-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "20"]),
        ("g.h264", "25", 25.0, &["-bf", "2", "-g", "50"]),
        ("h.mov", "25", 25.0, &["-bf", "2", "-g", "30", "-output_ts_offset", "2.5"]),
    ];
    for (name, rate, fps, more) in cases {
        let codec: &[&str] = if more.contains(&"-c:v") { &[] } else { &X264 };
        let path = videos.make(name, rate, 300, &[codec, more].concat());
        let ranges = [
            (0.0, 0.4),
            (0.04, 1.0),
            (0.97, 2.0),
            (1.0, 2.5),
            (3.2, 3.24),
            (4.813, 7.1),
            (6.0, 8.0),
            (8.01, 11.99),
        ];
        for (start, end) in ranges {
            let (got, timing) = numbers(&part(&path, start, end));
            let total = ((end - start) * 25.0).round() as usize;
            assert_eq!(got, nearest(fps, 300, start, total), "{name} {start}..{end}");
            assert_eq!(timing.frames, total);
            if fps == 25.0 && start < 8.0 {
                assert!(!timing.resampled, "{name} {start}..{end}: {timing:?}");
            }
        }
        let open = Media::Video { path: path.clone(), start: Some(10.0), end: None };
        let seconds = 300.0 / fps - 10.0;
        assert_eq!(numbers(&open).0, nearest(fps, 300, 10.0, (seconds * 25.0).round() as usize), "{name}");
        let head = Media::Video { path: path.clone(), start: None, end: Some(2.0) };
        assert_eq!(numbers(&head).0, nearest(fps, 300, 0.0, 50), "{name}");
    }
}

#[test]
fn ranges_outside_the_video_are_refused() {
    let videos = Videos::new();
    for name in ["a.mp4", "a.ts", "a.mkv"] {
        let path = videos.make(name, "25", 100, &X264);
        assert_eq!(frames(&part(&path, 3.5, 4.08)).expect("just beyond").0.len(), 15, "{name}");
        for (start, end, word) in
            [(3.0, 4.2, "lasts 4.00 s"), (4.5, 5.0, "lasts 4.00 s"), (1.0, 1.0, "not after")]
        {
            let error = failure(&part(&path, start, end));
            assert!(error.contains(word), "{name}: {error}");
        }
        assert!(failure(&part(&path, -1.0, 2.0)).contains("is not a time"));
        assert!(failure(&part(&path, f64::NAN, 2.0)).contains("is not a time"));
    }
}

#[test]
fn rotation_is_applied_as_ffmpeg_does() {
    let videos = Videos::new();
    let path = videos.make("upright.mp4", "25", 5, &X264);
    for degrees in [90, 180, 270] {
        let turned = videos.path(&format!("turned{degrees}.mp4"));
        let rotate = format!("rotate={degrees}");
        let (from, to) = (path.display().to_string(), turned.display().to_string());
        ffmpeg(&["-i", &from, "-c", "copy", "-metadata:s:v", &rotate, &to], b"");
        let expected = ffmpeg(&["-i", &to, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], b"");
        let (got, _) = frames(&video(&turned)).expect("decodes");
        let (w, h) = if degrees == 180 { SIZE } else { (SIZE.1, SIZE.0) };
        assert_eq!((got[0].width, got[0].height), (w, h));
        let probe = probe(&video(&turned), 25.0).expect("probe");
        assert_eq!((probe.width, probe.height, probe.frames), (w, h, Some(5)));
        assert_eq!(expected.len(), 5 * w * h * 3);
        let got: Vec<u8> = got.into_iter().flat_map(|frame| frame.rgb).collect();
        let worst = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(3), "{degrees}: {worst:?}");
    }
}

#[test]
fn odd_sizes_and_changing_sizes() {
    let videos = Videos::new();
    let gray = ["-c:v", "ffv1", "-pix_fmt", "yuv444p"];
    let odd = videos.make_sized("odd.mkv", "25", 9, (99, 61), &gray);
    let (got, _) = frames(&video(&odd)).expect("decodes");
    assert!(got.iter().enumerate().all(|(i, f)| (f.width, f.height) == (99, 61) && number(f) == i));

    let one = videos.make_sized("one.ts", "25", 20, (96, 64), &X264);
    let two = videos.make_sized("two.ts", "25", 30, (160, 112), &X264);
    let both = videos.path("both.ts");
    let bytes = [one, two].iter().flat_map(|path| std::fs::read(path).expect("read")).collect::<Vec<_>>();
    std::fs::write(&both, bytes).expect("write");
    let (got, timing) = frames(&video(&both)).expect("decodes");
    let expected: Vec<usize> = (0..20).chain(0..30).collect();
    assert_eq!(got.iter().map(number).collect::<Vec<_>>(), expected);
    assert!(got[..20].iter().all(|f| f.width == 96) && got[20..].iter().all(|f| f.width == 160));
    assert!(!timing.resampled);
}

#[test]
fn folders_of_pictures() {
    let videos = Videos::new();
    let folder = videos.path("clip");
    std::fs::create_dir(&folder).expect("folder");
    let pattern = folder.join("images%04d.png").display().to_string();
    videos.make("clip/all.mkv", "25", 30, &["-c:v", "ffv1"]);
    let all = folder.join("all.mkv").display().to_string();
    ffmpeg(&["-i", &all, &pattern], b"");
    let (got, timing) = numbers(&Media::Frames(folder.clone()));
    assert_eq!(got, (0..30).collect::<Vec<_>>());
    assert_eq!(timing, Timing { source_fps: 25.0, source_frames: 30, frames: 30, ..Timing::default() });
    let probed = probe(&Media::Frames(folder.clone()), 25.0).expect("probe");
    assert_eq!((probed.frames, probed.width, probed.height), (Some(30), SIZE.0, SIZE.1));

    let mut stream = FrameReader::open(&Media::Frames(folder.clone()), 30.0, 25.0).expect("open");
    let got = stream.next_window(1000).expect("decodes");
    assert_eq!(got.iter().map(|shown| number(&shown.frame)).collect::<Vec<_>>(), nearest(30.0, 30, 0.0, 25));

    let broken = folder.join("images0007.png");
    let bytes = std::fs::read(&broken).expect("read");
    for length in [0, 20, bytes.len() / 2, bytes.len() - 8] {
        std::fs::write(&broken, &bytes[..length]).expect("write");
        let error = failure(&Media::Frames(folder.clone()));
        assert!(error.contains("images0007.png"), "{error}");
    }

    let jpegs = videos.path("jpegs");
    std::fs::create_dir(&jpegs).expect("folder");
    let pattern = jpegs.join("%d.jpg").display().to_string();
    ffmpeg(&["-i", &all, "-q:v", "2", &pattern], b"");
    assert_eq!(numbers(&Media::Frames(jpegs.clone())).0, (0..30).collect::<Vec<_>>());
    let broken = jpegs.join("11.jpg");
    let bytes = std::fs::read(&broken).expect("read");
    for length in [0, bytes.len() / 2, bytes.len() - 3] {
        std::fs::write(&broken, &bytes[..length]).expect("write");
        assert!(failure(&Media::Frames(jpegs.clone())).contains("11.jpg"));
    }
    assert!(failure(&Media::Frames(videos.path("missing"))).contains("missing"));
}

#[test]
fn truncated_files_never_give_a_partial_clip() {
    let videos = Videos::new();
    let cases: [(&str, &[&str]); 5] = [
        ("front.mp4", &["-movflags", "+faststart", "-bf", "2"]),
        ("back.mp4", &["-bf", "2"]),
        ("a.mkv", &["-bf", "2"]),
        ("a.avi", &["-c:v", "mpeg4", "-q:v", "3"]),
        ("fragments.mp4", &["-movflags", "+frag_keyframe+empty_moov", "-g", "25"]),
    ];
    for (name, more) in cases {
        let codec: &[&str] = if more.contains(&"-c:v") { &[] } else { &X264 };
        let path = videos.make(name, "25", 98, &[codec, more].concat());
        let bytes = std::fs::read(&path).expect("read");
        for share in [0.0, 0.01, 0.2, 0.5, 0.8] {
            std::fs::write(&path, &bytes[..(bytes.len() as f64 * share) as usize]).expect("write");
            let error = failure(&video(&path));
            assert!(error.contains(name), "{error}");
            println!("{share}: {error}");
        }
    }
    let path =
        videos.make("front.mp4", "25", 98, &[&X264[..], &["-movflags", "+faststart", "-g", "10"]].concat());
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() * 8 / 10]).expect("write");
    let error = failure(&video(&path));
    assert!(error.contains("truncated") && error.contains("of 3.92 s"), "{error}");
    assert_eq!(
        numbers(&part(&path, 0.4, 1.2)).0,
        (10..30).collect::<Vec<_>>(),
        "the part that is there is whole"
    );
    assert!(failure(&part(&path, 3.0, 3.5)).contains("truncated"));
}

#[test]
fn what_is_no_video() {
    let videos = Videos::new();
    let sound = videos.path("sound.m4a").display().to_string();
    ffmpeg(&["-f", "lavfi", "-i", "sine=duration=1", &sound], b"");
    assert!(failure(&video(Path::new(&sound))).contains("no video stream"));
    assert!(failure(&video(&videos.path("missing.mp4"))).contains("missing.mp4"));
    assert!(failure(&video(videos.0.path())).contains("folder"));
    for (name, content) in [
        ("noise.mp4", (0..5000u32).map(|i| ((i * i) >> 3) as u8).collect::<Vec<_>>()),
        ("empty.mp4", vec![]),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n".to_vec()),
        ("list.mp4", b"ffconcat version 1.0\nfile 'sound.m4a'\n".to_vec()),
    ] {
        std::fs::write(videos.path(name), content).expect("write");
        let error = failure(&video(&videos.path(name)));
        assert!(error.contains(name), "{error}");
        println!("{error}");
    }
    assert!(failure(&video(Path::new("a\0b.mp4"))).contains("b.mp4"));
}

#[test]
fn absurd_sizes_are_refused() {
    let videos = Videos::new();
    let path = videos.make("raw.avi", "25", 3, &["-c:v", "rawvideo"]);
    let mut bytes = std::fs::read(&path).expect("read");
    let place = bytes.windows(4).position(|w| w == b"strf").expect("header") + 12;
    bytes[place..place + 4].copy_from_slice(&20_000u32.to_le_bytes());
    bytes[place + 4..place + 8].copy_from_slice(&20_000u32.to_le_bytes());
    std::fs::write(&path, bytes).expect("write");
    println!("{}", failure(&video(&path)));
}

#[test]
fn a_single_picture_is_one_frame() {
    let videos = Videos::new();
    for name in ["one.png", "one.jpg", "one.mp4"] {
        let codec: &[&str] = if name == "one.mp4" { &X264 } else { &["-frames:v", "1"] };
        let path = videos.make(name, "25", 1, codec);
        assert_eq!(numbers(&video(&path)).0, [0], "{name}");
    }
}

/// Repeatable pseudo-random numbers.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn mutated_files_end_in_frames_or_one_line() {
    let videos = Videos::new();
    let mut state = 1;
    let (mut fine, mut refused) = (0, 0);
    for (name, more) in [
        ("a.mp4", &["-movflags", "+faststart", "-bf", "2", "-g", "12"][..]),
        ("a.mkv", &["-bf", "2"]),
        ("a.png", &["-frames:v", "1"]),
    ] {
        let codec: &[&str] = if name == "a.png" { &[] } else { &X264 };
        let path = videos.make(name, "25", 25, &[codec, more].concat());
        let bytes = std::fs::read(&path).expect("read");
        for _ in 0..100 {
            let mut copy = bytes.clone();
            for _ in 0..1 + random(&mut state) % 6 {
                let place = random(&mut state) % copy.len();
                copy[place] = random(&mut state) as u8;
            }
            if random(&mut state).is_multiple_of(5) {
                copy.truncate(random(&mut state) % bytes.len());
            }
            std::fs::write(&path, copy).expect("write");
            let started = std::time::Instant::now();
            match frames(&video(&path)) {
                Ok(_) => fine += 1,
                Err(error) => {
                    assert_eq!(error.to_string().lines().count(), 1, "{error}");
                    refused += 1;
                }
            }
            assert!(started.elapsed().as_secs() < 20, "too slow");
        }
    }
    println!("{fine} mutated files decoded, {refused} refused");
}

#[test]
fn real_clips() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("SIGNCLIP_DATA_TESTS").map_or(root, PathBuf::from).join("sign");
    if !data.is_dir() {
        println!("skipped: no clips in {} (set SIGNCLIP_DATA_TESTS)", data.display());
        return;
    }
    let clip = data.join("how2sign/_fZbAxSSbX4_0-5-rgb_front.mp4");
    let (got, timing) = frames(&video(&clip)).expect("decodes");
    assert_eq!((got.len(), got[0].width, got[0].height), (49, 1280, 720));
    assert_eq!((timing.source_frames, timing.source_fps, timing.resampled), (47, 24.0, true));
    for entry in data.join("asl").read_dir().expect("folder") {
        let path = entry.expect("entry").path();
        let (got, timing) = frames(&video(&path)).expect("decodes");
        let expected = timing.source_frames as f64 / timing.source_fps * 25.0;
        assert!((got.len() as f64 - expected).abs() < 1.5, "{}: {timing:?}", path.display());
    }
    let table = std::fs::read_to_string(data.join("slovak_sentences/sentences.tsv")).expect("table");
    for row in
        table.lines().skip(1).step_by(if std::env::var_os("SIGNCLIP_ALL_CLIPS").is_some() { 1 } else { 19 })
    {
        let fields: Vec<&str> = row.split('\t').collect();
        let path = data.join("slovak_sentences").join(Path::new(fields[1]).file_name().expect("name"));
        let (got, timing) = frames(&video(&path)).expect("decodes");
        assert_eq!(got.len().to_string(), fields[2], "{}", path.display());
        assert!(!timing.resampled, "{}: {timing:?}", path.display());
    }
}
