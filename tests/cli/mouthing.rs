//! The mouthing stream: landmark files, clips without a face, official checkpoints, contact sheets.

use crate::corpus::{copy, empty, extract_phoenix, features, files, how2sign, ids, payloads, phoenix, store};
use crate::program::{Done, extract, run, words};
use crate::real_data::{detector_weights, folder};
use npyz::WriterBuilder;
use serde_json::json;
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::store::Store;
use std::path::{Path, PathBuf};

/// Landmarks `[frames, points, 2]` as a NumPy file.
pub(crate) fn landmarks(path: &Path, frames: usize, points: usize, value: impl Fn(usize) -> f32) {
    let mut bytes = Vec::new();
    let shape = [frames as u64, points as u64, 2];
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(&mut bytes)
        .begin_nd()
        .expect("a header");
    writer.extend((0..frames * points * 2).map(value)).expect("values");
    writer.finish().expect("an end");
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    std::fs::write(path, bytes).expect("written");
}

/// Ids of the test split and their numbers of frames.
fn test_clips() -> Vec<(String, usize)> {
    store(features(), "test").clips.iter().map(|clip| (clip.id.clone(), clip.frames)).collect()
}

/// `extract` on the test split with landmarks from the folder `marks`.
fn with_marks(place: &Path, more: &str) -> Done {
    let root = phoenix().display();
    let out = if more.contains("--out") { "" } else { "--out out" };
    extract(place, &format!("--dataset phoenix --root {root} --split test --landmarks marks {out} {more}"))
}

#[test]
fn both_streams_have_the_same_frames() {
    let store = store(features(), "train");
    let (spatial, mouthing) = (&store.info.streams["spatial"], &store.info.streams["mouthing"]);
    assert_eq!((spatial.dim, mouthing.dim), (512, 128));
    for (index, clip) in store.clips.iter().enumerate() {
        let rows = |stream| store.features(index, stream).expect("a stream");
        assert_eq!(rows("spatial").rows, clip.frames);
        assert_eq!(rows("mouthing").rows, clip.frames);
        let values = rows("mouthing").to_f32();
        assert!(values.iter().all(|x| x.is_finite()) && values.iter().any(|x| *x != 0.0), "{}", clip.id);
        assert_eq!(clip.facts.face_coverage, Some(1.0), "{}", clip.id);
    }
}

#[test]
fn streams_one_by_one_are_those_of_both() {
    let both = payloads(&store(features(), "test"));
    let place = empty();
    let alone = |stream: &str| {
        let out = place.path().join(stream);
        extract_phoenix(&out, &format!("--split test --streams {stream}")).exits(0);
        let store = store(&out, "test");
        assert_eq!(store.info.streams.keys().collect::<Vec<_>>(), [stream]);
        payloads(&store)
    };
    let (mouthing, spatial) = (alone("mouthing"), alone("spatial"));
    for (id, bytes) in both {
        assert_eq!([mouthing[&id].as_slice(), &spatial[&id]].concat(), bytes, "{id}");
    }
}

#[test]
fn landmark_files_that_do_not_fit() {
    let place = empty();
    let clips = test_clips();
    let [(first, frames), (second, _)] = &clips[..] else { panic!("two test clips") };
    let write = |id: &str, frames, points, value: &dyn Fn(usize) -> f32| {
        let path = place.path().join("marks").join(format!("{id}.npy"));
        landmarks(&path, frames, points, value);
    };
    let ramp = |i: usize| 20.0 + (i * 37 % 101) as f32;
    write(first, frames + 2, 68, &ramp);
    write(second, 3, 5, &ramp);
    let done = with_marks(place.path(), "");
    done.fails(first, &["landmarks of", &format!("for a clip of {frames}")]);
    done.fails(second, &["marks", "[3, 5, 2] instead of [frames, 68, 2]"]);
    std::fs::remove_file(place.path().join("marks").join(format!("{second}.npy"))).expect("removed");
    with_marks(place.path(), "").fails(second, &["no landmarks of clip", "marks/test/"]);
    std::fs::write(place.path().join("marks").join(format!("{second}.npy")), b"x").expect("written");
    with_marks(place.path(), "").fails(second, &["header", "not a NumPy file"]);
    // Mended, the same command stores them.
    std::fs::remove_dir_all(place.path().join("marks")).expect("removed");
    copy(&phoenix().join("landmarks"), &place.path().join("marks"));
    with_marks(place.path(), "").exits(0);
    assert_eq!(payloads(&store(&place.path().join("out"), "test")), payloads(&store(features(), "test")));
    let done = extract(place.path(), "--videos x.mp4 --landmarks nosuch --out o");
    done.exits(2).says(&["nosuch", "no such folder"]);
    let done = extract(place.path(), "--videos x.mp4 --landmarks marks --landmark-source fan --out o");
    done.exits(2).says(&["--landmarks names files", "one of the two"]);
}

#[test]
fn flags_without_an_effect() {
    let place = empty();
    for (line, said) in [
        ("--streams mouthing --s2-source frame", &["--s2-source has no effect: CLIP does not run"][..]),
        (
            "--streams spatial --preview sheets --detect-every 2",
            &["--detect-every has no effect: no face", "--preview has no effect: no face"],
        ),
        (
            "--landmarks . --detector resnet50 --face-dtype f16",
            &["--detector has no effect: no face", "--face-dtype has no effect", "landmarks come from files"],
        ),
        // With preset tiny the points are the detector's.
        ("--fan 2dfan4", &["--fan has no effect", "--landmark-source"]),
        ("--root . --split train", &["--root has no effect", "--split has no effect"]),
        ("--verify --limit 3 --out .", &["--limit has no effect: --verify"]),
    ] {
        extract(
            place.path(),
            &format!("--videos x.mp4 --dry-run {line}").replace("--dry-run --verify", "--verify"),
        )
        .says(said);
    }
    let line = format!("--dataset phoenix --root {} --language French --dry-run", phoenix().display());
    extract(place.path(), &line).exits(0).says(&["--language has no effect: the data set has its own"]);
    let all = format!("--dataset phoenix --root {} --landmarks . --dry-run", phoenix().display());
    let done = extract(place.path(), &all);
    assert!(!done.exits(0).stderr.contains("no effect"), "{done}");
}

#[test]
fn missing_faces() {
    let place = empty();
    let clips = test_clips();
    let [(first, frames), (second, other)] = &clips[..] else { panic!("two test clips") };
    let marks = |id: &str| place.path().join("marks/test").join(format!("{id}.npy"));
    landmarks(&marks(first), *frames, 68, |_| f32::NAN);
    // A face in the second half only.
    let face = |i: usize| if i / 136 < other / 2 { f32::NAN } else { 60.0 + (i % 136 * 29 % 83) as f32 };
    landmarks(&marks(second), *other, 68, face);
    let done = with_marks(place.path(), "--preview sheets");
    done.exits(0).says(&["1 clip without any face", "0.0 %", first]);
    let out = store(&place.path().join("out"), "test");
    for (index, clip) in out.clips.iter().enumerate() {
        let coverage = clip.facts.face_coverage.expect("looked for");
        let zero = out.features(index, "mouthing").expect("rows").to_f32().iter().all(|x| *x == 0.0);
        if clip.id == *first {
            assert!(coverage == 0.0 && zero);
        } else {
            let wanted = (other - other / 2) as f64 / *other as f64;
            assert!((coverage - wanted).abs() < 1e-9 && !zero, "{coverage} {wanted}");
        }
    }
    for id in [first, second] {
        let sheet = std::fs::read(place.path().join(format!("sheets/test/{id}.png"))).expect("a sheet");
        assert!(sheet.starts_with(b"\x89PNG"), "{id}");
        // It says where its pictures are.
        assert!(sheet.windows(25).any(|bytes| bytes == b"SignClip columns\0[{\"frame"), "{id}");
    }
    let json = with_marks(place.path(), "--json --out again").json();
    assert_eq!(json["test"]["face_coverage"][first], 0.0);
    let done = with_marks(place.path(), "--require-face --out strict");
    done.fails(first, &["no face in any frame", "--preview"]);
    assert_eq!(ids(&store(&place.path().join("strict"), "test")), [second]);
}

/// Without any landmarks or trained detector the programs still run through, and say what they lack.
#[test]
fn an_untrained_detector_is_said_to_be_one() {
    let place = empty();
    let root = phoenix().display();
    let line = format!("--dataset phoenix --root {root} --split test --limit 1 --out out");
    extract(place.path(), &line).exits(0).says(&["UNTRAINED", "RetinaFace"]);
}

/// Clips of another rate: landmarks for the frames of the video, or for those at 25 a second.
#[test]
fn landmarks_of_a_resampled_clip() {
    let place = empty();
    let video = files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0].clone();
    let status = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(&video)
        .args(["-t", "2", "-r", "50", "-c:v", "mpeg4"])
        .arg(place.path().join("fast.mp4"))
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no ffmpeg");
        return;
    }
    let marks = place.path().join("marks/fast.npy");
    let value = |i: usize| 30.0 + (i % 136 * 31 % 79) as f32;
    for (frames, code) in [(100, 0), (50, 0), (75, 1), (99, 1)] {
        landmarks(&marks, frames, 68, value);
        let line = format!("--videos fast.mp4 --landmarks marks --out out{frames}");
        extract(place.path(), &line).exits(code);
    }
}

/// A gap so long that its pictures are not held but decoded again gives what the same points in every frame give.
#[test]
fn a_long_gap_is_decoded_again() {
    const FRAMES: usize = 520;
    let place = empty();
    let status = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"])
        .args(["-frames:v", &FRAMES.to_string(), "-c:v", "mpeg4"])
        .arg(place.path().join("long.mp4"))
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no ffmpeg");
        return;
    }
    let face = |i: usize| 200.0 + (i % 136 * 31 % 79) as f32;
    let gap = 8..FRAMES - 9;
    let missed = |i: usize| if gap.contains(&(i / 136)) { f32::NAN } else { face(i) };
    landmarks(&place.path().join("all/long.npy"), FRAMES, 68, face);
    landmarks(&place.path().join("gap/long.npy"), FRAMES, 68, missed);
    let [all, gap] = ["all", "gap"].map(|marks| {
        let line = format!("--videos long.mp4 --streams mouthing --landmarks {marks} --out out-{marks}");
        extract(place.path(), &line).exits(0);
        payloads(&store(&place.path().join(format!("out-{marks}")), "all"))
    });
    assert!(all == gap, "the gap was filled with other pictures");
}

/// A clip of one frame, and portrait video.
#[test]
fn short_and_turned_clips() {
    let place = empty();
    let video = files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0].clone();
    let turned = place.path().join("turned.mp4");
    let status = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(&video)
        .args(["-t", "0.6", "-c", "copy", "-metadata:s:v", "rotate=90"])
        .arg(&turned)
        .status();
    let mut lines = format!("{}\n", json!({"id": "one", "video": video, "start": 0.2, "end": 0.24}));
    if status.is_ok_and(|status| status.success()) {
        lines += &format!("{}\n", json!({"id": "turned", "video": "turned.mp4"}));
    }
    std::fs::write(place.path().join("own.jsonl"), lines).expect("a list");
    extract(place.path(), "--dataset own.jsonl --out out").exits(0);
    let out = store(&place.path().join("out"), "all");
    let one = out.clips.iter().find(|clip| clip.id == "one").expect("stored");
    assert_eq!(one.frames, 1);
}

// --- Official checkpoints -------------------------------------------------------------------------------

/// The golden case `checkpoints`, if it is there.
fn checkpoints() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let folder = std::env::var_os("SIGNCLIP_GOLDEN").map_or(default, PathBuf::from).join("checkpoints");
    if !folder.is_dir() {
        println!("skipped: no golden case {}", folder.display());
        return None;
    }
    Some(folder.canonicalize().expect("a folder"))
}

#[test]
fn converted_checkpoints_hold_the_same_tensors() {
    let Some(folder) = checkpoints() else { return };
    let place = empty();
    let wanted = SafetensorsFile::open(&folder.join("avhubert_mini_expected.safetensors")).expect("a file");
    for (name, stripped) in [
        ("avhubert_mini", "model."),
        ("avhubert_mini_legacy", "model."),
        ("avhubert_mini_finetuned", "model.encoder.w2v_model."),
    ] {
        let input = folder.join(format!("{name}.pt"));
        let line = format!("convert {} {name}.safetensors --json", input.display());
        let report = run(place.path(), "extract", words(&line)).exits(0).json();
        assert_eq!(report["stripped"], stripped);
        let objects = report["dropped_objects"].to_string();
        assert!(objects.contains("argparse.Namespace"), "{objects}");
        let dropped = report["dropped_tensors"].as_object().expect("a table");
        assert_eq!(dropped.keys().any(|k| k.starts_with("model.decoder")), name.contains("fine"), "{report}");
        let got = SafetensorsFile::open(&place.path().join(format!("{name}.safetensors"))).expect("a file");
        for key in ["architecture", "source_sha256", "layers", "width"] {
            assert!(got.metadata().contains_key(&format!("signclip.{key}")), "{name}: {key}");
        }
        assert!(got.names().count() > 20);
        for tensor in got.names() {
            let [got, wanted] = [&got, &wanted].map(|f| f.tensor(tensor).expect(tensor).expect("readable"));
            let [got, wanted] = [got, wanted].map(|t| t.to_kind(tch::Kind::Double).view(-1));
            assert_eq!(got, wanted, "{name}: {tensor}");
        }
    }
}

#[test]
fn hostile_and_damaged_checkpoints_are_refused() {
    let Some(folder) = checkpoints() else { return };
    let place = empty();
    for path in files(&folder) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let asked = match name.as_str() {
            "evil_system.pt" | "evil_system_legacy.pt" | "evil_nested_in_model.pt" => "system",
            "evil_eval_proto4.pt" => "eval",
            _ if name.starts_with("bad_") => "",
            _ => continue,
        };
        let done =
            run(place.path(), "extract", words(&format!("convert {} out.safetensors", path.display())));
        done.refuses(&[&[&name, asked]]);
    }
    assert!(files(place.path()).is_empty(), "nothing may be left");
}

#[test]
fn files_that_convert_cannot_use() {
    let Some(data) = folder() else { return };
    let place = empty();
    let convert = |line: &str| run(place.path(), "extract", words(&format!("convert {line}")));
    let file = data.join("weights/mobilenet0.25_Final.pth");
    let file = file.display();
    convert("nosuch.pt out.safetensors").refuses(&[&["nosuch.pt", "check the path"]]);
    convert(&format!("{file} out.bin")).refuses(&[&["out.bin", ".safetensors"]]);
    let done = convert(&format!("{file} deep/detector.safetensors"));
    done.exits(0).says(&["RetinaFace with MobileNet-0.25", "300 tensors"]);
    let line = "deep/detector.safetensors out.safetensors";
    convert(line).refuses(&[&["detector.safetensors", "already"]]);
    // In the place of the large detector it is not what is wanted.
    let weights = place.path().join("weights/retinaface");
    std::fs::create_dir_all(&weights).expect("a folder");
    std::fs::copy(place.path().join("deep/detector.safetensors"), weights.join("Resnet50_Final.safetensors"))
        .expect("a copy");
    let root = phoenix().display();
    let line = format!("--dataset phoenix --root {root} --preset synthetic --gpus cpu --streams mouthing");
    run(place.path(), "extract", words(&line)).refuses(&[&[
        "Resnet50_Final.safetensors",
        "it holds RetinaFace with MobileNet-0.25, where RetinaFace with ResNet-50 is wanted",
    ]]);
}

/// The converted file gives the features of the original, and `doctor` knows it.
#[test]
fn a_converted_detector_is_as_good() {
    let Some(data) = folder() else { return };
    let place = empty();
    detector_weights(place.path(), &data);
    let original = "weights/retinaface/mobilenet0.25_Final.pth";
    let video = data.join("sign/asl/what_is_your_name.mp4");
    let line = |out: &str| format!("--videos {} --streams mouthing --out {out}", video.display());
    let done = extract(place.path(), &line("before"));
    done.exits(0).says(&[original]);
    run(place.path(), "extract", words(&format!("convert {original}"))).exits(0);
    std::fs::remove_file(place.path().join(original)).expect("removed");
    extract(place.path(), &line("after")).exits(0).says(&["mobilenet0.25_Final.safetensors"]);
    let [before, after] = ["before", "after"].map(|out| store(&place.path().join(out), "all"));
    assert!(payloads(&before) == payloads(&after), "the converted detector gives other features");
    assert!(before.clips[0].facts.face_coverage > Some(0.9));
    let report = run(place.path(), "extract", words("doctor --json")).exits(0).json();
    let files = report["weights"].as_array().expect("files");
    let detector = files.iter().find(|f| f["path"] == "retinaface/mobilenet0.25_Final.pth").expect("it");
    assert_eq!(detector["state"], "converted");
}

/// Looking at every third frame still finds the face everywhere.
#[test]
fn detection_now_and_then() {
    let Some(data) = folder() else { return };
    let place = empty();
    detector_weights(place.path(), &data);
    let video = data.join("sign/asl/what_is_your_name.mp4");
    let line = format!("--videos {} --streams mouthing --detect-every 3 --out out", video.display());
    extract(place.path(), &line).exits(0);
    let out = store(&place.path().join("out"), "all");
    assert!(out.clips[0].facts.face_coverage > Some(0.9));
    assert_eq!(out.info.streams["mouthing"].config["detect_every"], 3);
}

/// `--face-dtype f16` is another recipe: the store names it, `--like` takes it, and a run does not go on in another type.
#[test]
fn faces_in_half_precision() {
    let place = empty();
    let made = |flags: &str| {
        let line =
            format!("--dataset phoenix --root {} --split test --limit 1 --gpus cpu", phoenix().display());
        run(place.path(), "extract", words(&format!("{line} {flags}")))
    };
    made("--preset tiny --streams mouthing --out exact").exits(0);
    made("--preset tiny --streams mouthing --face-dtype f16 --out half").exits(0).says(&["faces in f16"]);
    made("--like half --out like").exits(0);
    let [exact, half, like] = ["exact", "half", "like"].map(|out| store(&place.path().join(out), "test"));
    let said = |store: &Store| store.info.streams["mouthing"].config.get("face_dtype").cloned();
    assert_eq!((said(&exact), said(&half)), (None, Some("f16".into())));
    assert!(half.info == like.info && payloads(&half) == payloads(&like));
    made("--preset tiny --streams mouthing --out half").refuses(&[&["store.json", "face_dtype", "f16"]]);
    made("--preset tiny --streams mouthing --face-dtype bf16 --out x")
        .exits(2)
        .says(&["--face-dtype", "f32, f16"]);
    // A trained detector sees faces, which lie elsewhere by fractions of a pixel.
    let Some(data) = folder() else { return };
    detector_weights(place.path(), &data);
    let video = data.join("sign/asl/what_is_your_name.mp4");
    let [exact, half] = ["f32", "f16"].map(|dtype| {
        let line =
            format!("--videos {} --streams mouthing --face-dtype {dtype} --out {dtype}", video.display());
        extract(place.path(), &line).exits(0);
        store(&place.path().join(dtype), "all")
    });
    assert!(exact.clips[0].facts.face_coverage > Some(0.9));
    assert_eq!(exact.clips[0].facts.face_coverage, half.clips[0].facts.face_coverage);
    assert!(payloads(&exact) != payloads(&half), "the flag changes nothing");
}
