//! Frames in which the signer's mouth is not found: cuts, hidden faces, mouths outside of the picture, and pictures whose
//! size changes.

use crate::corpus::{empty, files, payloads, phoenix, store, verified};
use crate::mouthing::landmarks;
use crate::program::{Done, extract, run, words};
use crate::real_data::{detector_weights, folder};
use serde_json::json;
use signclip_common::store::Store;
use std::path::{Path, PathBuf};

// --- Files that people report ---------------------------------------------------------------------------

/// Extracts these files of `data/field` into `out`, with the trained detector; `None` with a message where they are
/// absent.
fn field(place: &Path, names: &[&str], more: &str) -> Option<Done> {
    let data = folder()?;
    let paths: Vec<PathBuf> = names.iter().map(|name| data.join("field").join(name)).collect();
    if let Some(absent) = paths.iter().find(|path| !path.is_file()) {
        println!("skipped: no {}", absent.display());
        return None;
    }
    detector_weights(place, &data);
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let out = if more.contains("--out") { "" } else { "--out out" };
    let line = format!("--videos {} --streams mouthing {out} {more}", paths.join(" "));
    Some(extract(place, &line))
}

/// Frames, coverage and missed frames of a clip.
fn facts<'s>(store: &'s Store, id: &str) -> (usize, f64, &'s [[usize; 2]]) {
    let clip = store.clips.iter().find(|clip| clip.id == id).unwrap_or_else(|| panic!("no clip {id}"));
    (clip.frames, clip.facts.face_coverage.expect("looked for"), &clip.facts.missed)
}

/// Rows of the mouthing stream that are all zeros.
fn zeros(store: &Store, id: &str) -> Vec<usize> {
    let clip = store.clips.iter().position(|clip| clip.id == id).unwrap_or_else(|| panic!("no clip {id}"));
    let rows = store.features(clip, "mouthing").expect("a mouthing stream");
    let zero = |&row: &usize| rows.part(row, 1).to_f32().iter().all(|value| *value == 0.0);
    (0..rows.rows).filter(zero).collect()
}

#[test]
fn the_signer_in_files_that_people_report() {
    let place = empty();
    let Some(done) = field(place.path(), &["shots.mp4", "hidden.mp4", "webrtc.webm"], "--preview sheets")
    else {
        return;
    };
    done.exits(0);
    let out = store(&place.path().join("out"), "all");
    // Three shots of one take; sizes that change in a browser's recording.
    assert_eq!(facts(&out, "shots"), (95, 1.0, &[][..]));
    assert_eq!(facts(&out, "webrtc"), (90, 1.0, &[][..]));
    assert_eq!(facts(&out, "hidden"), (95, 65.0 / 95.0, &[[30, 59]][..]));
    verified(&place.path().join("out"));
}

#[test]
fn a_mouth_below_the_edge_in_a_file_that_people_report() {
    let place = empty();
    let Some(done) = field(place.path(), &["edge.mp4"], "") else { return };
    done.exits(0).says(&["edge: 39 frames", "mouth lies outside of the picture", "1 clip without any face"]);
    let out = store(&place.path().join("out"), "all");
    let (frames, coverage, missed) = facts(&out, "edge");
    assert_eq!((frames, coverage, missed), (40, 0.0, &[[0, 39]][..]));
    assert_eq!(zeros(&out, "edge").len(), 40);
    let done = field(place.path(), &["edge.mp4"], "--out strict --require-face").expect("it is there");
    done.fails("edge", &["no mouth in any frame", "outside of the picture", "--preview"]);
}

// --- Pictures of our own --------------------------------------------------------------------------------

const FRAMES: usize = 100;

/// A face of 68 points in pictures of 210×260 pixels that moves with time: jaw and mouth, brows, eyes and nose are about
/// where they belong.
fn face(frame: usize, point: usize) -> [f32; 2] {
    let (x, y) = (105.0 + (frame as f32 * 0.3).sin() * 4.0, 90.0 + frame as f32 * 0.1);
    let turn = point as f32 * 2.4;
    let (dx, dy) = match point {
        0..17 => (turn.sin() * 30.0, 10.0 + turn.cos().abs() * 30.0),
        17..27 => ((point as f32 - 21.5) * 5.0, -20.0),
        27..36 => ((point as f32 - 31.0) * 1.5, 4.0),
        36..42 => (-14.0 + turn.sin() * 4.0, -10.0 + turn.cos() * 2.0),
        42..48 => (14.0 + turn.sin() * 4.0, -10.0 + turn.cos() * 2.0),
        _ => (turn.sin() * 10.0, 24.0 + turn.cos() * 4.0),
    };
    [x + dx, y + dy]
}

/// A clip `clip` of pictures in a folder, each of them `scale` times as large as before, and its landmarks in `marks`;
/// NaN where there is no face.
fn clip(place: &Path, scale: impl Fn(usize) -> usize, face: impl Fn(usize, usize) -> Option<[f32; 2]>) {
    let source = files(&files(&phoenix().join("features/fullFrame-210x260px/test"))[0]);
    let folder = place.join("clip");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    for frame in 0..FRAMES {
        let from = &source[frame % source.len().min(20)];
        enlarged(from, &folder.join(format!("{frame:04}.png")), scale(frame));
    }
    let value = |i: usize| {
        let (frame, point) = (i / 136, i % 136 / 2);
        face(frame, point).map_or(f32::NAN, |place| {
            // The middle of a pixel of the larger picture, which is several of them.
            let scale = scale(frame) as f32;
            place[i % 2] * scale + (scale - 1.0) / 2.0
        })
    };
    landmarks(&place.join("marks/clip.npy"), FRAMES, 68, value);
    std::fs::write(place.join("own.jsonl"), format!("{}\n", json!({"id": "clip", "frames": "clip"})))
        .expect("a list");
}

/// A picture with each pixel repeated.
fn enlarged(from: &Path, to: &Path, scale: usize) {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(from).expect("a picture")));
    let mut reader = decoder.read_info().expect("a PNG file");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("pixels");
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let (width, height) = (info.width as usize, info.height as usize);
    let mut large = Vec::new();
    for row in (0..height * scale).map(|y| y / scale) {
        for column in (0..width * scale).map(|x| x / scale) {
            large.extend_from_slice(&pixels[(row * width + column) * 3..][..3]);
        }
    }
    let file = std::fs::File::create(to).expect("a file");
    let mut encoder = png::Encoder::new(file, (width * scale) as u32, (height * scale) as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&large).expect("pixels");
}

fn marked(place: &Path, more: &str) -> Done {
    extract(place, &format!("--dataset own.jsonl --streams mouthing --landmarks marks {more}"))
}

#[test]
fn long_gaps_are_named_and_may_be_zeros() {
    let place = empty();
    let gaps = [[20, 80], [85, 89], [97, 99]];
    let missed = |frame: usize| gaps.iter().any(|[first, last]| (*first..=*last).contains(&frame));
    clip(place.path(), |_| 1, |frame, point| (!missed(frame)).then(|| face(frame, point)));
    let named = "clip: 0.8-3.2 s";
    let done = marked(place.path(), "--out out --preview sheets");
    done.exits(0).says(&["no face for more than 2 s", named, "--max-gap SECONDS"]);
    let out = store(&place.path().join("out"), "all");
    assert_eq!(facts(&out, "clip"), (FRAMES, 0.31, &gaps[..]));
    assert!(zeros(&out, "clip").is_empty(), "interpolated");
    assert!(place.path().join("sheets/all/clip.png").is_file());
    let json = marked(place.path(), "--json --out json").json();
    assert_eq!(json["all"]["long_gaps"]["clip"], json!([[0.8, 3.24]]));

    // Another store: a run that continues otherwise is refused.
    marked(place.path(), "--out out --max-gap 2").refuses(&[&["store.json", "max_gap", "null", "2.0"]]);
    marked(place.path(), "--out zeros --max-gap 2")
        .exits(0)
        .says(&[named, "zeros where it is longer than 2 s"]);
    let cut = store(&place.path().join("zeros"), "all");
    assert_eq!(zeros(&cut, "clip"), (20..=80).collect::<Vec<_>>());
    assert_eq!(cut.info.streams["mouthing"].config["max_gap"], 2.0);
    verified(&place.path().join("zeros"));
    // As long as a gap is not longer.
    marked(place.path(), "--out same --max-gap 2.44").exits(0);
    assert!(payloads(&store(&place.path().join("same"), "all")) == payloads(&out));
    marked(place.path(), "--out all --max-gap 0").exits(0);
    let all = store(&place.path().join("all"), "all");
    assert_eq!(zeros(&all, "clip"), (0..FRAMES).filter(|&frame| missed(frame)).collect::<Vec<_>>());

    let like = |more: &str| {
        let line = "--gpus cpu --dataset own.jsonl --landmarks marks --like zeros --out like";
        run(place.path(), "extract", words(line).chain(words(more)))
    };
    like("").exits(0);
    assert!(payloads(&store(&place.path().join("like"), "all")) == payloads(&cut));
    for (flags, said) in
        [("-1", "0 or more seconds"), ("nan", "0 or more seconds"), ("x", "not a number of seconds")]
    {
        marked(place.path(), &format!("--out x --max-gap {flags}")).exits(2).says(&["--max-gap", said]);
    }
    like("--max-gap 3").exits(2).says(&["--like", "--max-gap"]);
    let done = extract(place.path(), "--videos x.mp4 --streams spatial --max-gap 3 --dry-run");
    done.says(&["--max-gap has no effect"]);
}

/// Points may lie outside of the picture; a mouth whose middle does cannot be read.
#[test]
fn mouths_outside_of_the_picture() {
    let place = empty();
    // The middle of the mouth is 24 pixels below that of the face, 114 to 124 in a picture of 260.
    let below = |by: fn(usize) -> f32| {
        move |frame: usize, point: usize| Some([face(frame, point)[0], face(frame, point)[1] + by(frame)])
    };
    clip(place.path(), |_| 1, below(|_| 150.0));
    let done = marked(place.path(), "--out out --preview sheets");
    done.exits(0).says(&[
        "clip: 100 frames",
        "mouth lies outside of the picture",
        "0.0 %",
        "1 clip without any face",
    ]);
    let out = store(&place.path().join("out"), "all");
    assert_eq!(facts(&out, "clip"), (FRAMES, 0.0, &[[0, FRAMES - 1]][..]));
    assert_eq!(zeros(&out, "clip").len(), FRAMES);
    marked(place.path(), "--out strict --require-face").fails("clip", &["no mouth in any frame", "outside"]);

    // In some frames, on any side: as if there were no face.
    clip(
        place.path(),
        |_| 1,
        |frame, point| {
            let [x, y] = face(frame, point);
            Some(match frame {
                10..20 => [x, y + 150.0],
                30..40 => [x - 115.0, y],
                50..60 => [x + 115.0, y],
                70..80 => [x, y - 140.0],
                _ => [x, y],
            })
        },
    );
    marked(place.path(), "--out some").exits(0).says(&["clip: 40 frames"]);
    let some = store(&place.path().join("some"), "all");
    assert_eq!(facts(&some, "clip"), (FRAMES, 0.6, &[[10, 19], [30, 39], [50, 59], [70, 79]][..]));
    assert_eq!(some.clips[0].facts.mouths_outside, 40);
    let outside = |frame: usize| frame < 80 && frame / 10 % 2 == 1;
    clip(place.path(), |_| 1, |frame, point| (!outside(frame)).then(|| face(frame, point)));
    marked(place.path(), "--out none").exits(0);
    assert!(payloads(&store(&place.path().join("none"), "all")) == payloads(&some), "taken as missed");

    // Half outside: the middle of the mouth decides.
    clip(place.path(), |_| 1, below(|frame| 260.0 - 114.0 - 5.0 - frame as f32 * 0.1));
    marked(place.path(), "--out half").exits(0);
    assert_eq!(facts(&store(&place.path().join("half"), "all"), "clip"), (FRAMES, 1.0, &[][..]));
    // Landmarks of a larger video are refused as such.
    clip(place.path(), |_| 1, |frame, point| Some(face(frame, point).map(|value| value * 3.0)));
    marked(place.path(), "--out large").fails("clip", &["most points are outside", "not of a resized"]);
}

/// The same clip with some pictures twice as large, a gap and the last frames among these, gives about the same mouths.
#[test]
fn pictures_whose_size_changes() {
    let place = empty();
    let points = |frame: usize, point: usize| (!(35..55).contains(&frame)).then(|| face(frame, point));
    let rows = |out: &str, scale: &dyn Fn(usize) -> usize| -> Vec<Vec<f32>> {
        clip(place.path(), scale, points);
        marked(place.path(), &format!("--out {out}")).exits(0);
        let store = store(&place.path().join(out), "all");
        let rows = store.features(0, "mouthing").expect("rows");
        (0..rows.rows).map(|row| rows.part(row, 1).to_f32()).collect()
    };
    let same = rows("same", &|_| 1);
    let mixed = rows("mixed", &|frame| if matches!(frame, 20..45 | 70..80 | 95..) { 2 } else { 1 });
    let norm = |a: &[f32]| a.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let worst = same.iter().zip(&mixed).map(|(same, mixed)| {
        let gap: Vec<f32> = same.iter().zip(mixed).map(|(a, b)| a - b).collect();
        norm(&gap) / norm(same)
    });
    let worst = worst.fold(0.0, f64::max);
    println!("rows differ by {worst:.3} of their length at the most");
    assert!(worst < 0.1, "{worst}");
}
