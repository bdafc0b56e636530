//! Streams with rows for windows of frames, and stores of format 1, written by hand after its page.

#![allow(clippy::print_stderr)]
#![allow(clippy::disallowed_methods)]

mod numpy;

use signclip_common::manifest::TextRules;
use signclip_common::store::{
    ClipFacts, ClipRecord, FORMAT, RowRule, Store, StoreDtype, StoreInfo, StoreWriter, StreamInfo, verify,
};
use signclip_common::{Result, checksum};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// SpaMo's windows of VideoMAE.
const MOTION: RowRule = RowRule { window: 16, stride: 8 };

fn info(streams: &[(&str, usize, RowRule)]) -> StoreInfo {
    let stream = |&(name, dim, rows): &(&str, usize, RowRule)| {
        let (encoder, compute, config) = ("e".to_owned(), "f32".to_owned(), serde_json::json!({ "a": 1 }));
        (name.to_owned(), StreamInfo { dim, rows, encoder, compute, weights: BTreeMap::new(), config })
    };
    StoreInfo {
        format: FORMAT,
        dataset: "mine".into(),
        split: "train".into(),
        language: None,
        text: TextRules { lowercase: false, final_dot: false },
        dtype: StoreDtype::F32,
        fps: 25.0,
        streams: streams.iter().map(stream).collect(),
        config: serde_json::json!({}),
        tool: "a test".into(),
    }
}

fn facts() -> ClipFacts {
    ClipFacts { text: Some("ä".into()), source: "a.mp4".into(), ..ClipFacts::default() }
}

/// Row `row` of a clip of `frames` frames, told from all others.
fn row(frames: usize, row: usize, dim: usize) -> impl Iterator<Item = f32> {
    (0..dim).map(move |column| (frames * 10_000 + row * 10 + column) as f32)
}

fn put(writer: &mut StoreWriter, info: &StoreInfo, frames: usize) -> Result<ClipRecord> {
    let mut clip = writer.begin()?;
    for (name, stream) in &info.streams {
        let rows = (0..stream.rows.rows(frames)).flat_map(|number| row(frames, number, stream.dim));
        clip.append(name, &rows.collect::<Vec<f32>>())?;
    }
    clip.finish(&format!("clip{frames}"), frames, facts())
}

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().flatten();
    let named = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    named.filter(|(name, _)| !name.starts_with('.')).collect()
}

fn sound(folder: &Path) {
    assert_eq!(verify(folder, |_| ()).unwrap().problems, [""; 0]);
}

fn two_streams() -> StoreInfo {
    info(&[("motion", 2, MOTION), ("spatial", 3, RowRule::EACH_FRAME)])
}

#[test]
fn a_stream_of_windows_has_rows_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let info = two_streams();
    let mut writer = StoreWriter::open(folder.path(), info.clone(), 0).unwrap();
    let clips = [(5, 1), (16, 1), (24, 2), (40, 4)];
    for (frames, _) in clips {
        put(&mut writer, &info, frames).unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    let mut end = 0;
    for (clip, (frames, rows)) in clips.into_iter().enumerate() {
        let motion = store.features(clip, "motion").unwrap();
        assert_eq!((motion.rows, store.features(clip, "spatial").unwrap().rows), (rows, frames));
        let wanted: Vec<f32> = (0..rows).flat_map(|number| row(frames, number, 2)).collect();
        assert_eq!((motion.to_f32(), store.clips[clip].streams["motion"].offset), (wanted, end));
        end += rows;
    }
    sound(folder.path());
    // A stream without all of its rows, though there are some for each stream.
    let mut clip = writer.begin().unwrap();
    clip.append("spatial", &[0.0; 3 * 24]).unwrap();
    clip.append("motion", &[0.0; 2]).unwrap();
    let error = clip.finish("short", 24, facts()).unwrap_err().to_string();
    assert!(error.contains("\"short\": 24 frames") && error.contains("motion 1, spatial 24"), "{error}");
}

#[test]
fn a_killed_run_resumes_behind_the_rows_of_each_stream() {
    let info = two_streams();
    let write = |folder: &Path, all: &[usize]| {
        let mut writer = StoreWriter::open(folder, info.clone(), 0).unwrap();
        for frames in
            all.iter().filter(|frames| !writer.is_done(&format!("clip{frames}"))).collect::<Vec<_>>()
        {
            put(&mut writer, &info, *frames).unwrap();
        }
    };
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(whole.path(), &[24, 5, 40]);
    write(killed.path(), &[24, 5]);
    for name in ["motion", "spatial"] {
        let file = killed.path().join(format!("{name}-00000-00000.npy"));
        fs::write(&file, [fs::read(&file).unwrap(), vec![7; 37]].concat()).unwrap();
    }
    write(killed.path(), &[24, 5, 40]);
    assert!(content(killed.path()) == content(whole.path()));
    sound(killed.path());
}

#[test]
fn a_line_with_another_number_of_rows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let info = two_streams();
    put(&mut StoreWriter::open(folder.path(), info.clone(), 0).unwrap(), &info, 24).unwrap();
    let index = folder.path().join("clips-00000.jsonl");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("\"rows\":2", "\"rows\":1")).unwrap();
    let error = Store::open(folder.path()).err().expect("refused").to_string();
    let words = ["clips-00000.jsonl", "\"clip24\" has 1 rows of the stream motion", "its 24 frames make 2"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// A shard as the page describes it, with `values` as its payload.
fn shard(rows: usize, dim: usize, values: &[f32]) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let header = format!("{text:<117}\n");
    let payload = values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes(), &payload].concat()
}

fn sum(values: &[f32]) -> String {
    checksum::of(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

/// A line of format 1 for `clip<frames>`.
fn line(frames: usize, offset: usize, [mouthing, spatial]: [&[f32]; 2]) -> String {
    format!(
        "{{\"id\":\"clip{frames}\",\"shard\":0,\"offset\":{offset},\"frames\":{frames},\"sha256\":{{\"mouthing\":\"{}\",\
         \"spatial\":\"{}\"}},\"text\":\"ä\",\"signer\":null,\"gloss\":null,\"source_fps\":0.0,\"source_frames\":0,\
         \"resampled\":false,\"face_coverage\":null,\"landmarks\":null,\"source\":\"a.mp4\",\"source_bytes\":0,\
         \"source_mtime\":0}}\n",
        sum(mouthing),
        sum(spatial)
    )
}

fn values(frames: usize, dim: usize) -> Vec<f32> {
    (0..frames).flat_map(|number| row(frames, number, dim)).collect()
}

fn format_1(folder: &Path) -> StoreInfo {
    let streams = r#"{"mouthing": {"dim": 2, "encoder": "e", "compute": "f32", "weights": {}, "config": {"a": 1}},
        "spatial": {"dim": 3, "encoder": "e", "compute": "f32", "weights": {}, "config": {"a": 1}}}"#;
    let description = format!(
        r#"{{"format": 1, "dataset": "mine", "split": "train", "language": null,
        "text": {{"lowercase": false, "final_dot": false}}, "dtype": "<f4", "fps": 25.0, "streams": {streams},
        "config": {{}}, "tool": "signclip extract 0.1.0"}}"#
    );
    fs::write(folder.join("store.json"), description).unwrap();
    let [mouthing, spatial] = [2, 3].map(|dim| [values(4, dim), values(1, dim)].concat());
    let lines = [line(4, 0, [&mouthing[..8], &spatial[..12]]), line(1, 4, [&mouthing[8..], &spatial[12..]])];
    fs::write(folder.join("clips-00000.jsonl"), lines.concat()).unwrap();
    fs::write(folder.join("mouthing-00000-00000.npy"), shard(5, 2, &mouthing)).unwrap();
    fs::write(folder.join("spatial-00000-00000.npy"), shard(5, 3, &spatial)).unwrap();
    info(&[("mouthing", 2, RowRule::EACH_FRAME), ("spatial", 3, RowRule::EACH_FRAME)])
}

#[test]
fn a_store_of_format_1_is_read_and_continued_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let info = format_1(folder.path());
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((store.clips.len(), store.info.format), (2, 1));
    assert_eq!(store.features(1, "spatial").unwrap().to_f32(), values(1, 3));
    sound(folder.path());

    let before = content(folder.path());
    let mut writer = StoreWriter::open(folder.path(), info.clone(), 0).unwrap();
    assert!(writer.is_done("clip4") && content(folder.path()) == before);
    put(&mut writer, &info, 7).unwrap();
    let after = content(folder.path());
    assert_eq!(after["store.json"], before["store.json"]);
    let [mouthing, spatial] = [2, 3].map(|dim| values(7, dim));
    let wanted = [&before["clips-00000.jsonl"][..], line(7, 5, [&mouthing, &spatial]).as_bytes()].concat();
    assert_eq!(String::from_utf8_lossy(&after["clips-00000.jsonl"]), String::from_utf8_lossy(&wanted));
    sound(folder.path());
    drop(writer);

    // A clip whose bytes have changed is made again in its place.
    let file = folder.path().join("spatial-00000-00000.npy");
    let mut bytes = fs::read(&file).unwrap();
    bytes[130] ^= 1;
    fs::write(&file, bytes).unwrap();
    let mut writer = StoreWriter::open(folder.path(), info.clone(), 0).unwrap();
    assert!(writer.reopen_damaged("clip4").unwrap());
    put(&mut writer, &info, 4).unwrap();
    drop(writer);
    assert!(content(folder.path()) == after);

    let error = StoreWriter::open(folder.path(), two_streams(), 0).err().expect("refused").to_string();
    assert!(error.contains("streams.motion"), "{error}");
}

#[test]
fn rows_that_a_line_does_not_name_are_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let info = format_1(folder.path());
    let index = folder.path().join("clips-00000.jsonl");
    let text = fs::read_to_string(&index).unwrap();
    let sum = text.split("\"mouthing\":\"").nth(1).unwrap().split('"').next().unwrap();
    fs::write(&index, text.replacen(&format!("\"mouthing\":\"{sum}\","), "", 1)).unwrap();
    let before = content(folder.path());
    let error = StoreWriter::open(folder.path(), info, 0).err().expect("refused").to_string();
    assert!(
        error.contains("clips-00000.jsonl") && error.contains("no rows of the stream mouthing"),
        "{error}"
    );
    assert!(content(folder.path()) == before);
}

#[test]
fn numpy_reads_both_formats() {
    let Some(python) = numpy::python() else { return };
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    format_1(old.path());
    let info = two_streams();
    put(&mut StoreWriter::open(new.path(), info.clone(), 0).unwrap(), &info, 24).unwrap();
    let read = |folder: &Path| numpy::run(&python, &numpy::example(), folder);
    assert_eq!(read(old.path()), "clip4 {'mouthing': (4, 2), 'spatial': (4, 3)} ä\n");
    assert_eq!(read(new.path()), "clip24 {'motion': (2, 2), 'spatial': (24, 3)} ä\n");
}

/// What the wheel's Python reader has of every clip: id, stream, rows, columns, checksum of the payload.
const READER: &str = "
import hashlib, sys
sys.path.insert(0, PYTHON)
from signclip.store import Store
store = Store(sys.argv[1])
for clip in store:
    for stream in store.streams:
        rows = clip[stream]
        print(clip.id, stream, *rows.shape, hashlib.sha256(rows.tobytes()).hexdigest())
print(len(store), store[-1].frames)
";

#[test]
fn the_wheels_reader_has_every_payload() {
    let Some(python) = numpy::python() else { return };
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    format_1(old.path());
    let info = two_streams();
    let mut writer = StoreWriter::open(new.path(), info.clone(), 0).unwrap();
    for frames in [24, 5, 40] {
        put(&mut writer, &info, frames).unwrap();
    }
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python");
    let script = READER.replace("PYTHON", &format!("{:?}", modules.display().to_string()));
    // A line that is being written.
    let index = new.path().join("clips-00000.jsonl");
    let mut lines = fs::read_to_string(&index).unwrap();
    fs::write(&index, format!("{lines}{{\"id\": \"cli")).unwrap();
    let sum = |line: &str, stream: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let sum = line["streams"][stream]["sha256"].as_str().or(line["sha256"][stream].as_str());
        sum.expect("a checksum").to_owned()
    };
    let line =
        |frames: usize| lines.lines().find(|line| line.contains(&format!("\"clip{frames}\""))).unwrap();
    let mut expected = String::new();
    // Windows of 16 frames every 8: one for a clip of 16 or fewer, 1 + (24 - 16) / 8, 1 + (40 - 16) / 8.
    for (frames, windows) in [(24, 2), (40, 4), (5, 1)] {
        let sums = ["motion", "spatial"].map(|stream| sum(line(frames), stream));
        expected += &format!(
            "clip{frames} motion {windows} 2 {}\nclip{frames} spatial {frames} 3 {}\n",
            sums[0], sums[1]
        );
    }
    assert_eq!(numpy::run(&python, &script, new.path()), expected + "3 5\n");

    lines = fs::read_to_string(old.path().join("clips-00000.jsonl")).unwrap();
    let printed = numpy::run(&python, &script, old.path());
    let begin = lines.lines().next().unwrap();
    for (stream, dim) in [("mouthing", 2), ("spatial", 3)] {
        let row = format!("clip4 {stream} 4 {dim} {}\n", sum(begin, stream));
        assert!(printed.contains(&row) && printed.ends_with("2 4\n"), "{row}{printed}");
    }
}

#[test]
fn a_line_of_both_formats_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    format_1(folder.path());
    let index = folder.path().join("clips-00000.jsonl");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen("\"frames\":4", "\"frames\":4,\"streams\":{}", 1)).unwrap();
    let error = Store::open(folder.path()).err().expect("refused").to_string();
    assert!(error.contains("clips-00000.jsonl, line 1") && error.contains("format 1"), "{error}");
}
