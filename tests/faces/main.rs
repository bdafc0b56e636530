//! The face detector with its trained weights on real clips: whether faces are found, whether the signer's is followed
//! without jumps, and how far the mouth lies from where 68 landmarks put it.
//!
//! Clips and weights come from `SIGNCLIP_TEST_DATA`, by default `../shared/data` beside the workspace; without them the
//! tests say that they skip. `SIGNCLIP_FACES=all` (as `just faces` sets it) takes all clips instead of a few.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

use signclip_common::manifest::Media;
use signclip_common::weights::Weights;
use signclip_extract::media::frame::Frame;
use signclip_extract::media::frame_reader::FrameReader;
use signclip_extract::run::networks::Networks;
use signclip_extract::run::queue::{Queue, queue};
use signclip_extract::run::stages::Stages;
use signclip_extract::streams::clip_stream::Numbered;
use signclip_extract::streams::mouthing::crop::{Layout, Points, align, read_landmarks};
use signclip_extract::streams::mouthing::face_points::{Detected, FacePoints, Found};
use signclip_extract::streams::mouthing::faces::retina_face::{RetinaFace, RetinaFaceConfig, THRESHOLD};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind};

fn data() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("SIGNCLIP_TEST_DATA").map_or_else(default, PathBuf::from);
    if !folder.join("weights/mobilenet0.25_Final.pth").is_file() {
        println!("skipped: no weights/mobilenet0.25_Final.pth in {}", folder.display());
        return None;
    }
    Some(folder)
}

fn detector(data: &Path, kind: Kind) -> RetinaFace {
    let path = data.join("weights/mobilenet0.25_Final.pth");
    let weights = Weights::open(&path, Device::Cpu, kind).unwrap_or_else(|e| panic!("{e}"));
    let built = weights.build(&[], |root| RetinaFace::new(root, &RetinaFaceConfig::mobilenet025()));
    built.unwrap_or_else(|e| panic!("{e}"))
}

/// What `extract --landmark-source retinaface5` finds in one clip.
struct Seen {
    name: String,
    /// The signer's face in each frame, and the number of its source frame.
    found: Vec<Found>,
    sources: Vec<usize>,
}

fn watch(queue: &Queue, path: &Path) -> Seen {
    let media = Media::Video { path: path.to_path_buf(), start: None, end: None };
    let mut stream = FrameReader::open(&media, 25.0, 25.0).unwrap_or_else(|e| panic!("{e}"));
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut seen = Seen { name, found: Vec::new(), sources: Vec::new() };
    let config = RetinaFaceConfig::mobilenet025();
    let mut points = FacePoints::Detected(Box::new(Detected::new(queue.clone(), &config, None, 1)));
    loop {
        let window = stream.next_window(16).unwrap_or_else(|e| panic!("{e}"));
        if window.is_empty() {
            return seen;
        }
        let frames: Vec<Numbered> = window
            .into_iter()
            .zip(seen.found.len()..)
            .map(|(shown, number)| Numbered { frame: Arc::new(shown.frame), number, source: shown.source })
            .collect();
        seen.found.extend(points.window(&frames).unwrap_or_else(|e| panic!("{e}")));
        seen.sources.extend(frames.iter().map(|frame| frame.source));
    }
}

impl Seen {
    fn covered(&self) -> usize {
        self.found.iter().filter(|found| found.points.is_some()).count()
    }

    /// Largest movement of the face's centre between neighbouring frames, in its widths.
    fn jump(&self) -> f32 {
        let pairs = self.found.windows(2).filter_map(|pair| Some((pair[0].bounds?, pair[1].bounds?)));
        let jumps = pairs.map(|(a, b)| {
            let [dx, dy] = [0, 1].map(|axis| (b[axis] + b[axis + 2] - a[axis] - a[axis + 2]) / 2.0);
            dx.hypot(dy) / (a[2] - a[0])
        });
        jumps.fold(0.0, f32::max)
    }

    /// Mean distance, in pixels of the 96×96 crop, of the mouth's centre by the detector's five points from that by
    /// the 68 landmarks of `file`.
    fn mouth_gap(&self, file: &Path) -> Option<f64> {
        let rows = read_landmarks(file).unwrap_or_else(|e| panic!("{e}"));
        let all: Vec<_> = self.sources.iter().map(|&source| rows[source]).collect();
        let five: Vec<Option<Points<5>>> =
            self.found.iter().map(|found| found.points.clone()?.try_into().ok()).collect();
        let (all, five) = (align(Layout::ibug68(), &all)?, align(Layout::detector5(), &five)?);
        let gaps = all.iter().zip(&five).map(|(all, five)| {
            let there = all.transform.apply(five.transform.inverse().apply(five.mouth));
            (there[0] - all.mouth[0]).hypot(there[1] - all.mouth[1])
        });
        Some(gaps.sum::<f64>() / all.len() as f64)
    }
}

fn videos(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let video = |path: &PathBuf| path.extension().is_some_and(|e| e == "mp4" || e == "mpg");
    let mut videos: Vec<PathBuf> = entries.filter(video).collect();
    videos.sort();
    videos
}

/// Whether all clips are asked for.
fn all() -> bool {
    std::env::var_os("SIGNCLIP_FACES").is_some_and(|value| value == "all")
}

/// So many clips of each folder, or all.
fn clips<const N: usize>(data: &Path, folders: [(&str, usize); N]) -> Vec<PathBuf> {
    let taken = |(folder, few)| {
        let videos = videos(&data.join(folder));
        let count = if all() { videos.len() } else { few };
        videos.into_iter().take(count)
    };
    folders.into_iter().flat_map(taken).collect()
}

#[test]
fn faces_are_found_and_followed() {
    let Some(data) = data() else { return };
    let networks = Networks { detector: Some(detector(&data, Kind::Float)), ..Networks::default() };
    let (queue, requests) = queue(1, &Arc::new(Stages::new(1, 1)));
    std::thread::spawn(move || networks.serve(&requests));
    let clips = clips(&data, [("sign/slovak_sentences", 2), ("faces/grid", 1), ("faces/talking", 0)]);
    let (mut frames, mut covered, mut gaps) = (0, 0, Vec::new());
    for clip in &clips {
        let seen = watch(&queue, clip);
        let gap = seen.mouth_gap(&data.join("landmarks").join(format!("{}.npy", seen.name)));
        println!(
            "{:<20} {:>4} frames, face in {:>5.1} %, largest jump {:.2} widths, mouth {:.2} px from 68 landmarks",
            seen.name,
            seen.found.len(),
            100.0 * seen.covered() as f64 / seen.found.len() as f64,
            seen.jump(),
            gap.unwrap_or(f64::NAN),
        );
        assert!(seen.jump() <= 0.5, "{}: the face jumps", seen.name);
        frames += seen.found.len();
        covered += seen.covered();
        gaps.extend(gap);
    }
    let (share, gap) = (covered as f64 / frames as f64, gaps.iter().sum::<f64>() / gaps.len() as f64);
    println!(
        "{} clips, {frames} frames: face in {:.2} %, mouth {gap:.2} px from 68 landmarks on average",
        clips.len(),
        100.0 * share
    );
    assert!(share >= 0.99, "faces are missed");
    assert!(gap <= 4.0, "the mouth is elsewhere");
}

#[test]
fn no_face_where_there_is_none() {
    let Some(data) = data() else { return };
    let net = detector(&data, Kind::Float);
    let media = Media::Frames(data.join("faces/negative"));
    let mut stream = FrameReader::open(&media, 25.0, 25.0).unwrap_or_else(|e| panic!("{e}"));
    let pictures = stream.next_window(1000).unwrap_or_else(|e| panic!("{e}"));
    assert!(!pictures.is_empty());
    for shown in &pictures {
        let faces = &net.detect(&[&shown.frame], THRESHOLD).unwrap_or_else(|e| panic!("{e}"))[0];
        println!("{}x{} pixels without a face: {} found", shown.frame.width, shown.frame.height, faces.len());
        assert!(faces.is_empty(), "{faces:?}");
    }
}

/// Frames together give the faces that each gives alone.
#[test]
fn a_batch_gives_what_each_frame_gives() {
    let Some(data) = data() else { return };
    let Some(path) = videos(&data.join("faces/grid")).into_iter().next() else { return };
    let net = detector(&data, Kind::Float);
    let media = Media::Video { path, start: None, end: None };
    let mut stream = FrameReader::open(&media, 25.0, 25.0).unwrap_or_else(|e| panic!("{e}"));
    let window = stream.next_window(5).unwrap_or_else(|e| panic!("{e}"));
    let mut frames: Vec<&Frame> = window.iter().map(|shown| &shown.frame).collect();
    // One of another size between them.
    let small = frames[2].crop(20, 0, 200, 220);
    frames[2] = &small;
    let together = net.detect(&frames, THRESHOLD).unwrap_or_else(|e| panic!("{e}"));
    for (frame, together) in frames.iter().zip(&together) {
        let alone = &net.detect(&[frame], THRESHOLD).unwrap_or_else(|e| panic!("{e}"))[0];
        assert_eq!(alone.len(), together.len());
        for (a, b) in alone.iter().zip(together) {
            let gap = a.bounds.iter().zip(&b.bounds).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 0.01, "{gap} pixels");
        }
    }
}

/// `--face-dtype f16` finds the same faces, with boxes and points within fractions of a pixel of those of float32.
#[test]
fn half_precision_finds_the_same_faces() {
    let Some(data) = data() else { return };
    let (exact, half) = (detector(&data, Kind::Float), detector(&data, Kind::Half));
    let frames = if all() { 8 } else { 2 };
    let gap = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let (mut boxes, mut points) = (Vec::new(), Vec::new());
    let folders =
        [("sign/slovak_sentences", 1), ("faces/grid", 1), ("sign/how2sign", 1), ("faces/talking", 0)];
    for path in clips(&data, folders) {
        let media = Media::Video { path, start: None, end: None };
        let mut stream = FrameReader::open(&media, 25.0, 25.0).unwrap_or_else(|e| panic!("{e}"));
        let window = stream.next_window(frames).unwrap_or_else(|e| panic!("{e}"));
        let frames: Vec<&Frame> = window.iter().map(|shown| &shown.frame).collect();
        let found = |net: &RetinaFace| net.detect(&frames, THRESHOLD).unwrap_or_else(|e| panic!("{e}"));
        for (exact, half) in found(&exact).iter().zip(&found(&half)) {
            assert_eq!(exact.len(), half.len(), "{exact:?} {half:?}");
            for (a, b) in exact.iter().zip(half) {
                boxes.push(gap(&a.bounds, &b.bounds));
                points.push(gap(a.points.as_flattened(), b.points.as_flattened()));
            }
        }
    }
    for (what, mut gaps) in [("boxes", boxes), ("points", points)] {
        gaps.sort_by(f32::total_cmp);
        let (most, middle) = (gaps[gaps.len() - 1], gaps[gaps.len() / 2]);
        println!("{what} of {} faces in float16: {middle:.3} pixels off, at most {most:.3}", gaps.len());
        assert!(most < 0.5, "{what}");
    }
}
