//! Real annotation files and real clips, where they are: `SIGNCLIP_TEST_DATA`, by default `../shared/data` beside the
//! workspace. Full-size networks with computed weights, read back by plain `numpy.load`.

use crate::corpus::{empty, ids, store, verified};
use crate::program::{extract, finish, run, words};
use serde_json::json;
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::store::{Features, Store};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with real data, or `None` with a message.
pub(crate) fn folder() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("SIGNCLIP_TEST_DATA").map_or_else(default, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no real data in {}", folder.display());
        return None;
    }
    Some(folder.canonicalize().expect("a folder that is there"))
}

#[test]
fn official_annotations() {
    let Some(data) = folder() else { return };
    let place = empty();
    let plan = |dataset: &str, root: &str, more: &str| {
        let root = data.join("annotations").join(root);
        let line = format!("--dataset {dataset} --root {} --dry-run --json {more}", root.display());
        extract(place.path(), &line).exits(0).json()["splits"].clone()
    };
    let phoenix = plan("phoenix", "phoenix14t", "");
    for (split, clips, vocabulary) in [("train", 7096, 2887), ("dev", 519, 951), ("test", 642, 1001)] {
        assert_eq!(phoenix[split]["clips"], clips, "{split}");
        assert_eq!(phoenix[split]["vocabulary"], vocabulary, "{split}");
        assert_eq!(phoenix[split]["missing_media"], clips, "{split}");
    }
    let how2sign = plan("how2sign", "how2sign", "--split val,test");
    assert_eq!(how2sign["dev"]["clips"], 1741);
    assert_eq!(how2sign["test"]["clips"], 2357);
}

/// The row of the golden case `clip_vit_l14` for image `number`, where the golden cases are.
fn golden(number: usize) -> Option<Vec<f32>> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let folder = std::env::var_os("SIGNCLIP_GOLDEN").map_or_else(default, PathBuf::from);
    let path = folder.join("clip_vit_l14.safetensors");
    if !path.is_file() {
        println!("not compared: no golden case {}", path.display());
        return None;
    }
    let file = SafetensorsFile::open(&path).unwrap_or_else(|e| panic!("{e}"));
    let rows = file.tensor("s2").expect("an array s2").unwrap_or_else(|e| panic!("{e}"));
    Some(Vec::try_from(rows.get(number as i64)).expect("float32"))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn clip<'s>(store: &'s Store, id: &str) -> Features<'s> {
    let clip = store.clips.iter().position(|c| c.id == id).unwrap_or_else(|| panic!("no clip {id}"));
    store.features(clip, "spatial").expect("a spatial stream")
}

/// Real PHOENIX14T pictures through the official layout, in float32 from end to end.
#[test]
fn phoenix_mini_at_full_size() {
    let Some(data) = folder() else { return };
    let place = empty();
    let root = data.join("sign/phoenix_mini").display().to_string();
    let line = format!(
        "--dataset phoenix --root {root} --split dev --preset synthetic --dtype f32 --store-dtype f32 --gpus cpu --out out"
    );
    run(place.path(), "extract", words(&line)).exits(0).says(&["UNTRAINED"]);
    let dev = store(&place.path().join("out"), "dev");
    let features = clip(&dev, "25October_2010_Monday_tagesschau-17");
    assert_eq!((features.rows, features.dim), (2, 2048));
    if let Some(want) = golden(2) {
        let got = features.part(0, 1).to_f32();
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("phoenix_mini, first picture: max |difference| {worst:.1e}; allowed 3.0e-4");
        assert!(worst <= 3e-4, "{worst}");
    }
}

const HOW2SIGN: &str = "sign/how2sign/_fZbAxSSbX4_0-5-rgb_front.mp4";
const SLOVAK: &str = "sign/slovak_sentences/000.mp4";

/// A weights folder with the trained face detector in it, and nothing else.
pub(crate) fn detector_weights(place: &Path, data: &Path) {
    let folder = place.join("weights/retinaface");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = "mobilenet0.25_Final.pth";
    std::fs::copy(data.join("weights").join(file), folder.join(file)).expect("a copy");
}

/// Whole real clips through full-size encoders, in the compute type that is chosen by itself (a frame takes a second
/// or two on a processor), with the trained face detector. One rate is the store's, the other is resampled, which the
/// store says.
#[test]
fn real_clips_at_full_size() {
    let Some(data) = folder() else { return };
    let place = empty();
    let clips = [("24 fps", HOW2SIGN), ("25 fps", SLOVAK)]
        .map(|(id, file)| json!({ "id": id, "video": data.join(file), "text": "He is deaf." }));
    std::fs::write(place.path().join("own.jsonl"), clips.map(|c| format!("{c}\n")).concat()).expect("a list");
    detector_weights(place.path(), &data);
    let line = "--dataset own.jsonl --preset synthetic --gpus cpu --out out --detector mobilenet0.25 \
        --landmark-source retinaface5";
    run(place.path(), "extract", words(line)).exits(0).says(&["computed weights", "mobilenet0.25_Final.pth"]);
    let out = place.path().join("out");
    verified(&out);
    let all = store(&out, "all");
    assert_eq!(ids(&all), ["24 fps", "25 fps"]);
    for clip in &all.clips {
        let facts = &clip.facts;
        let found = (clip.frames, facts.source_frames, facts.source_fps.round(), facts.resampled);
        let wanted = if clip.id == "24 fps" { (49, 47, 24.0, true) } else { (95, 95, 25.0, false) };
        assert_eq!(found, wanted, "{}", clip.id);
        assert_eq!(facts.face_coverage, Some(1.0), "{}", clip.id);
    }
    assert_eq!(all.info.streams["mouthing"].dim, 1024);
    if let Some(want) = golden(1) {
        // Frame 20 at 24 fps (0.833 s) is the nearest to 21/25 s.
        let cosine = cosine(&clip(&all, "24 fps").part(21, 1).to_f32(), &want);
        println!("how2sign, frame 20 of the source: cosine {cosine:.6}; at least 0.9995");
        assert!(cosine >= 0.9995, "{cosine}");
    }
    numpy_reads(&all, "spatial");
}

/// Every shard opens with plain `numpy.load`, mapped, and its first row is what the store's reader gives.
pub(crate) fn numpy_reads(store: &Store, stream: &str) {
    let Some(python) = python() else { return };
    let rows: usize = store.clips.iter().map(|c| c.streams[stream].rows).sum();
    let first = store.clips.iter().position(|c| c.streams[stream].offset == 0).expect("a first clip");
    let row = store.features(first, stream).expect("rows").part(0, 1).to_f32();
    let script = "import sys, numpy\n\
        x = numpy.load(sys.argv[1], mmap_mode='r')\n\
        print(x.shape, x.dtype.str, bool(numpy.isfinite(x).all()), x.flags.c_contiguous)\n\
        print(*map(float, x[0]))\n";
    let mut command = Command::new(python);
    command.args(["-c", script]).arg(store.shard_of(first, stream));
    let done = finish(command);
    let dim = store.info.streams[stream].dim;
    done.exits(0).says(&[&format!("({rows}, {dim}) <f2 True True")]);
    let values = done.stdout.lines().nth(1).unwrap_or_default().split(' ');
    let values: Vec<f32> =
        values.map(|v| v.parse().unwrap_or_else(|e| panic!("{v:?}: {e}\n{done}"))).collect();
    assert_eq!(values, row);
}

/// A Python with numpy: `SIGNCLIP_PYTHON`, else the first on the path that has it, or `None` with a message.
fn python() -> Option<PathBuf> {
    let own = std::env::var_os("SIGNCLIP_PYTHON").map(PathBuf::from);
    let candidates = own.into_iter().chain(["python3".into(), "/usr/bin/python3".into()]);
    let has_numpy = |python: &PathBuf| {
        let output = Command::new(python).args(["-c", "import numpy"]).output();
        output.is_ok_and(|o| o.status.success())
    };
    let found = candidates.into_iter().find(has_numpy);
    if found.is_none() {
        println!("not opened with numpy.load: no Python with numpy (SIGNCLIP_PYTHON names one)");
    }
    found
}
