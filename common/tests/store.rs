//! The feature store: what is written is read back, kills and full disks lose nothing that was finished, damage is
//! found and named.

#![allow(unsafe_code, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods)]

mod numpy;

use half::f16;
use signclip_common::Result;
use signclip_common::manifest::TextRules;
use signclip_common::store::{
    ClipFacts, ClipRecord, FORMAT, Failure, RowRule, Store, StoreDtype, StoreInfo, StoreWriter, StreamInfo,
    verify,
};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const STREAMS: [(&str, usize); 2] = [("mouthing", 3), ("spatial", 5)];

fn info(dtype: StoreDtype) -> StoreInfo {
    let stream = |(name, dim): (&str, usize)| {
        let stream = StreamInfo {
            dim,
            rows: RowRule::EACH_FRAME,
            encoder: format!("{name} encoder"),
            compute: "f32".into(),
            weights: BTreeMap::from([(format!("{name}.safetensors"), "00ff".into())]),
            config: serde_json::json!({ "scales": [1, 2], "share": 0.1 }),
        };
        (name.to_owned(), stream)
    };
    StoreInfo {
        format: FORMAT,
        dataset: "mine".into(),
        split: "train".into(),
        language: Some("German".into()),
        text: TextRules { lowercase: true, final_dot: true },
        dtype,
        fps: 25.0,
        streams: STREAMS.into_iter().map(stream).collect(),
        config: serde_json::json!({ "face": "retinaface" }),
        tool: "signclip 0.1.0".into(),
    }
}

fn facts(text: &str) -> ClipFacts {
    ClipFacts {
        text: Some(text.to_owned()),
        source_fps: 29.97,
        source_frames: 9,
        face_coverage: Some(0.1),
        source: "a/b.mp4".into(),
        ..ClipFacts::default()
    }
}

/// Clips of 1 to 9 frames whose texts end in letters of two bytes.
fn clips(n: usize) -> Vec<(String, usize)> {
    (0..n).map(|i| (format!("-clip_{i} ä"), 1 + i * 5 % 9)).collect()
}

fn values(id: &str, stream: &str, frames: usize, dim: usize) -> Vec<f32> {
    let seed = id.bytes().chain(stream.bytes()).fold(7u32, |a, b| a.wrapping_mul(31).wrapping_add(b.into()));
    let value = |i| (seed.wrapping_add(i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e5 - 80.0;
    (0..frames * dim).map(value).collect()
}

fn put(writer: &mut StoreWriter, id: &str, frames: usize) -> Result<ClipRecord> {
    let mut clip = writer.begin()?;
    for (stream, dim) in STREAMS {
        // Window by window, of two frames.
        for window in values(id, stream, frames, dim).chunks(2 * dim) {
            clip.append(stream, window)?;
        }
    }
    clip.finish(id, frames, facts("schöner ÄÖÜ"))
}

fn write(folder: &Path, rank: u32, clips: &[(String, usize)]) -> Result<()> {
    let mut writer = StoreWriter::open(folder, info(StoreDtype::F16), rank)?;
    for (id, frames) in clips {
        if !writer.is_done(id) {
            put(&mut writer, id, *frames)?;
        }
    }
    Ok(())
}

/// Every file of a folder but the locks, by name.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with(".lock") {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// One line with these words in it.
#[track_caller]
fn refused<T>(result: Result<T>, words: &[&str]) {
    let message = result.err().expect("an error").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn written_is_read_back() {
    for dtype in [StoreDtype::F16, StoreDtype::F32] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = StoreWriter::open(folder.path(), info(dtype), 0).unwrap();
        let clips = clips(7);
        let records: Vec<ClipRecord> =
            clips.iter().map(|(id, n)| put(&mut writer, id, *n).unwrap()).collect();
        // While the writer is still open.
        let store = Store::open(folder.path()).unwrap();
        assert_eq!((&store.clips, &store.info), (&records, &info(dtype)));
        for (clip, (id, frames)) in clips.iter().enumerate() {
            for (stream, dim) in STREAMS {
                let features = store.features(clip, stream).unwrap();
                assert_eq!((features.rows, features.dim), (*frames, dim));
                let wanted = values(id, stream, *frames, dim);
                let stored = |x: f32| if dtype == StoreDtype::F16 { f16::from_f32(x).to_f32() } else { x };
                assert_eq!(features.to_f32(), wanted.into_iter().map(stored).collect::<Vec<_>>());
            }
            assert!(store.features(clip, "motion").is_none());
        }
        let rows: u64 = clips.iter().map(|(_, n)| *n as u64).sum();
        for (stream, dim) in STREAMS {
            let bytes = fs::read(path(folder.path(), &format!("{stream}-00000-00000.npy"))).unwrap();
            let mut rest = &bytes[..];
            let header = npyz::NpyHeader::from_reader(&mut rest).unwrap();
            assert_eq!(header.shape(), [rows, dim as u64]);
            assert_eq!(header.order(), npyz::Order::C);
            assert_eq!((bytes.len() - rest.len()) % 64, 0);
            assert_eq!(rest.len(), rows as usize * dim * dtype.bytes());
        }
        let report = verify(folder.path(), |_| ()).unwrap();
        assert_eq!((report.clips, report.frames as u64, report.problems), (7, rows, Vec::<String>::new()));
    }
}

#[test]
fn halves_round_to_nearest_even() {
    let table = [
        (1.0 + f32::powi(2.0, -11), 1.0),
        (1.0 + 3.0 * f32::powi(2.0, -11), 1.0 + f32::powi(2.0, -9)),
        (2049.0, 2048.0),
        (2051.0, 2052.0),
        (65_519.0, 65_504.0),
        (f32::powi(2.0, -25), 0.0),
        (-3.0 * f32::powi(2.0, -25), -f32::powi(2.0, -23)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut one = info(StoreDtype::F16);
    one.streams.retain(|name, stream| {
        stream.dim = 1;
        name == "spatial"
    });
    let mut writer = StoreWriter::open(folder.path(), one, 0).unwrap();
    let mut clip = writer.begin().unwrap();
    clip.append("spatial", &table.map(|(x, _)| x)).unwrap();
    clip.finish("a", table.len(), facts("")).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.features(0, "spatial").unwrap().to_f32(), table.map(|(_, y)| y));
}

#[test]
fn resumes_after_a_kill_at_every_step() {
    let clips = clips(6);
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 0, &clips).unwrap();
    let wanted = content(whole.path());
    let line = String::from_utf8(wanted["clips-00000.jsonl"].clone()).unwrap();
    let fourth = line.lines().nth(3).unwrap().to_owned() + "\n";
    let umlaut = fourth.find('ä').unwrap() + 1;

    type Kill<'k> = (&'k str, usize, Box<dyn Fn(&Path) + 'k>);
    let shard = |folder: &Path, stream: &str, seq| path(folder, &format!("{stream}-00000-0000{seq}.npy"));
    let index = |folder: &Path| path(folder, "clips-00000.jsonl");
    let kills: Vec<Kill> = vec![
        ("nothing written", 0, Box::new(|_| ())),
        (
            "only the folder and the description",
            0,
            Box::new(|f| {
                for (stream, _) in STREAMS {
                    fs::remove_file(shard(f, stream, 0)).unwrap();
                }
                fs::remove_file(index(f)).unwrap();
            }),
        ),
        ("a fresh shard without a byte", 0, Box::new(|f| fs::write(shard(f, "spatial", 0), b"").unwrap())),
        (
            "a fresh shard with half a header",
            0,
            Box::new(|f| edit(&shard(f, "spatial", 0), |b| b.truncate(50))),
        ),
        ("payload of one stream", 3, Box::new(|f| append(&shard(f, "mouthing", 0), &[7; 11]))),
        (
            "payload of both",
            3,
            Box::new(|f| {
                append(&shard(f, "mouthing", 0), &[7; 600]);
                append(&shard(f, "spatial", 0), &[7; 1000]);
            }),
        ),
        ("half an index line", 3, Box::new(|f| append(&index(f), &fourth.as_bytes()[..40]))),
        ("half a letter of an index line", 3, Box::new(|f| append(&index(f), &fourth.as_bytes()[..umlaut]))),
        ("an index line without its end", 3, Box::new(|f| append(&index(f), fourth.trim_end().as_bytes()))),
        (
            "index line written, row counts old",
            4,
            Box::new(|f| {
                for (stream, _) in STREAMS {
                    edit(&shard(f, stream, 0), |b| {
                        let three = String::from_utf8_lossy(&b[10..127]).replace("(16, ", "(9, ") + " ";
                        b[10..127].copy_from_slice(three.as_bytes());
                    });
                }
            }),
        ),
        ("row count half written", 4, Box::new(|f| edit(&shard(f, "spatial", 0), |b| b[60..128].fill(0)))),
        (
            "shards beyond",
            3,
            Box::new(|f| {
                fs::write(shard(f, "spatial", 1), b"").unwrap();
                fs::write(shard(f, "spatial", 2), [1; 300]).unwrap();
                fs::write(shard(f, "mouthing", 1), [1; 70]).unwrap();
            }),
        ),
    ];
    for (what, done, kill) in kills {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, &clips[..done]).unwrap();
        kill(folder.path());
        let writer = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).expect(what);
        assert_eq!(writer.len(), done, "{what}");
        assert!(clips.iter().enumerate().all(|(i, (id, _))| writer.is_done(id) == (i < done)), "{what}");
        drop(writer);
        write(folder.path(), 0, &clips).expect(what);
        assert!(content(folder.path()) == wanted, "{what}");
        assert_eq!(verify(folder.path(), |_| ()).unwrap().problems, Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_reader_beside_a_run_sees_whole_lines_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0, &clips(3)).unwrap();
    append(&path(folder.path(), "clips-00000.jsonl"), "{\"id\":\"\u{e4}".as_bytes().split_last().unwrap().1);
    assert_eq!(Store::open(folder.path()).unwrap().clips.len(), 3);
}

#[test]
fn other_settings_are_refused() {
    type Change = fn(&mut StoreInfo);
    let table: [(Change, [&str; 3]); 8] = [
        (|i| i.dtype = StoreDtype::F32, ["dtype", "<f2", "<f4"]),
        (|i| i.fps = 30.0, ["fps", "25.0", "30.0"]),
        (|i| i.language = None, ["language", "German", "null"]),
        (|i| i.text.final_dot = false, ["text.final_dot", "true", "false"]),
        (|i| _ = i.streams.remove("mouthing"), ["streams.mouthing", "mouthing encoder", "null"]),
        (
            |i| {
                _ = i
                    .streams
                    .get_mut("spatial")
                    .unwrap()
                    .weights
                    .insert("spatial.safetensors".into(), "11".into())
            },
            ["streams.spatial.weights.spatial.safetensors", "00ff", "11"],
        ),
        (
            |i| i.streams.get_mut("spatial").unwrap().config["share"] = 0.2.into(),
            ["streams.spatial.config.share", "0.1", "0.2"],
        ),
        (|i| i.config["require_face"] = true.into(), ["config.require_face", "null", "true"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0, &clips(1)).unwrap();
    let before = content(folder.path());
    for (change, words) in table {
        let mut other = info(StoreDtype::F16);
        change(&mut other);
        refused(StoreWriter::open(folder.path(), other, 0), &[&["store.json"][..], &words].concat());
    }
    let mut newer = info(StoreDtype::F16);
    newer.tool = "signclip 0.2.0".into();
    StoreWriter::open(folder.path(), newer, 0).unwrap();
    assert!(content(folder.path()) == before);

    fs::remove_file(path(folder.path(), "store.json")).unwrap();
    let open = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0);
    refused(open, &["store.json", "clips-00000.jsonl"]);
}

#[test]
fn of_several_first_runs_one_describes_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let results: Vec<Result<u32>> = std::thread::scope(|scope| {
        let open = |rank: u32| {
            let folder = folder.path();
            scope.spawn(move || {
                let mut info = info(StoreDtype::F16);
                info.fps += f64::from(rank % 2);
                StoreWriter::open(folder, info, rank).map(|_| rank % 2)
            })
        };
        let threads: Vec<_> = (0..8).map(open).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let won: Vec<u32> = results.iter().flatten().copied().collect();
    assert_eq!(won.len(), 4);
    assert!(won.iter().all(|w| *w == won[0]));
    results.into_iter().filter(|r| r.is_err()).for_each(|r| refused(r, &["fps", "25.0", "26.0"]));
    assert!(content(folder.path()).keys().all(|name| !name.ends_with(".tmp")));
}

#[test]
fn a_second_writer_of_a_rank_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = StoreWriter::open(folder.path(), info(StoreDtype::F16), 3).unwrap();
    refused(StoreWriter::open(folder.path(), info(StoreDtype::F16), 3), &["rank 3", "another process"]);
    StoreWriter::open(folder.path(), info(StoreDtype::F16), 4).unwrap();
    drop(first);
    StoreWriter::open(folder.path(), info(StoreDtype::F16), 3).unwrap();
}

#[test]
fn unsound_clips_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0, &clips(2)).unwrap();
    let before = content(folder.path());
    let mut writer = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).unwrap();
    // (id, values of mouthing, values of spatial, source fps, words of the error)
    type Case<'c> = (&'c str, &'c [f32], &'c [f32], f64, &'c [&'c str]);
    let table: [Case; 9] = [
        ("unequal", &[1.0; 6], &[1.0; 5], 25.0, &["\"unequal\": 1 frames", "mouthing 2", "spatial 1"]),
        ("one stream", &[1.0; 6], &[], 25.0, &["mouthing 2", "spatial 0"]),
        ("empty", &[], &[], 25.0, &["\"empty\"", "mouthing 0"]),
        ("part of a row", &[1.0; 4], &[1.0; 5], 25.0, &["mouthing", "4 values", "rows of 3"]),
        ("not a number", &[1.0; 3], &[f32::NAN; 5], 25.0, &["spatial", "row 0", "NaN"]),
        ("infinite", &[1.0; 3], &[f32::NEG_INFINITY; 5], 25.0, &["spatial", "-inf"]),
        ("too large", &[1.0, 2.0, 3.0, 65_520.0, 1.0, 2.0], &[1.0; 10], 25.0, &["mouthing", "row 1", "f32"]),
        ("bad fact", &[1.0; 3], &[1.0; 5], f64::NAN, &["\"bad fact\"", "source_fps"]),
        ("-clip_1 ä", &[1.0; 3], &[1.0; 5], 25.0, &["\"-clip_1 ä\"", "already"]),
    ];
    for (id, mouthing, spatial, source_fps, words) in table {
        let mut clip = writer.begin().unwrap();
        let appended = clip.append("mouthing", mouthing).and_then(|()| clip.append("spatial", spatial));
        let facts = ClipFacts { source_fps, ..facts("") };
        refused(appended.and_then(|()| clip.finish(id, spatial.len() / 5, facts)), words);
        assert!(content(folder.path()) == before, "{id}");
    }
    refused(writer.begin().unwrap().append("motion", &[1.0]), &["motion"]);
    // A clip that fits is stored as if nothing had happened.
    put(&mut writer, "good", 4).unwrap();
    assert_eq!(verify(folder.path(), |_| ()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn unsound_descriptions_are_refused() {
    type Change = fn(&mut StoreInfo);
    let table: [Change; 7] = [
        |i| i.fps = f64::NAN,
        |i| i.format = 1,
        |i| i.streams.get_mut("spatial").unwrap().rows.stride = 0,
        |i| i.format = FORMAT + 1,
        |i| i.streams.get_mut("spatial").unwrap().dim = 0,
        |i| i.streams.get_mut("spatial").unwrap().dim = usize::MAX,
        |i| _ = i.streams.insert("../x".into(), i.streams["spatial"].clone()),
    ];
    for change in table {
        let folder = tempfile::tempdir().unwrap();
        let mut odd = info(StoreDtype::F16);
        change(&mut odd);
        refused(StoreWriter::open(folder.path(), odd, 0), &["store.json"]);
        assert!(content(folder.path()).is_empty());
    }
    let folder = tempfile::tempdir().unwrap();
    refused(Store::open(folder.path()), &["no feature store", "extract"]);
    for (bytes, words) in [
        (&b"\xff\xfe"[..], ["store.json", "UTF-8"]),
        (b"{\n \"format\": 1,\n \"a\\nb\": 2 }", ["store.json", "line 3"]),
        (b"", ["store.json", "line 1"]),
    ] {
        fs::write(path(folder.path(), "store.json"), bytes).unwrap();
        refused(Store::open(folder.path()), &words);
    }
}

#[test]
fn damage_is_found_and_named() {
    type Damage = fn(&Path);
    let spatial = "spatial-00000-00000.npy";
    let table: [(&str, Damage, &[&str]); 13] = [
        (
            "flipped byte",
            |f| edit(&path(f, "spatial-00000-00000.npy"), |b| b[150] ^= 1),
            &["-clip_1 ä", spatial],
        ),
        (
            "last byte",
            |f| edit(&path(f, "mouthing-00000-00000.npy"), |b| *b.last_mut().unwrap() ^= 0x80),
            &["-clip_4 ä", "mouthing-00000-00000.npy"],
        ),
        (
            "shortened",
            |f| edit(&path(f, "spatial-00000-00000.npy"), |b| _ = b.pop()),
            &["-clip_4 ä", spatial, "rows"],
        ),
        ("missing shard", |f| fs::remove_file(path(f, "spatial-00000-00000.npy")).unwrap(), &[spatial]),
        ("header", |f| edit(&path(f, "spatial-00000-00000.npy"), |b| b[20] = b'>'), &[spatial, "header"]),
        ("magic", |f| edit(&path(f, "spatial-00000-00000.npy"), |b| b[0] = 0), &[spatial, "header"]),
        (
            "empty shard",
            |f| fs::write(path(f, "spatial-00000-00000.npy"), b"").unwrap(),
            &[spatial, "header"],
        ),
        (
            "offset",
            |f| replace(&path(f, "clips-00000.jsonl"), "\"offset\":1,", "\"offset\":0,"),
            &["-clip_1 ä"],
        ),
        (
            "frames",
            |f| replace(&path(f, "clips-00000.jsonl"), "\"frames\":6", "\"frames\":5"),
            &["-clip_1 ä"],
        ),
        (
            "huge offset",
            |f| replace(&path(f, "clips-00000.jsonl"), "\"offset\":1,", "\"offset\":18446744073709551615,"),
            &["-clip_1 ä", "rows"],
        ),
        (
            "unknown field",
            |f| replace(&path(f, "clips-00000.jsonl"), "\"offset\":1,", "\"offset\":1,\"x\\ny\":2,"),
            &["clips-00000.jsonl, line 2"],
        ),
        (
            "garbage line",
            |f| replace(&path(f, "clips-00000.jsonl"), "}\n{", "}\n\u{0}\n{"),
            &["clips-00000.jsonl, line 2"],
        ),
        (
            "the same id in two ranks",
            |f| {
                for name in ["clips", "spatial", "mouthing"] {
                    let (ext, seq) = if name == "clips" { ("jsonl", "") } else { ("npy", "-00000") };
                    let from = path(f, &format!("{name}-00000{seq}.{ext}"));
                    fs::copy(from, path(f, &format!("{name}-00001{seq}.{ext}"))).unwrap();
                }
            },
            &["-clip_0 ä", "clips-00000.jsonl", "clips-00001.jsonl"],
        ),
    ];
    for (what, damage, words) in table {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, &clips(5)).unwrap();
        damage(folder.path());
        let found = match verify(folder.path(), |_| ()) {
            Ok(report) => report.problems.join(" | "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found.lines().count(), 1, "{what}: {found}");
        words.iter().for_each(|w| assert!(found.contains(w), "{what}: {w:?} is not in: {found}"));
    }
    // A damaged index must not make the writer cut indexed rows off.
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0, &clips(5)).unwrap();
    replace(&path(folder.path(), "clips-00000.jsonl"), "\"offset\":1,", "\"offset\":18446744073709551615,");
    let before = content(folder.path());
    refused(
        StoreWriter::open(folder.path(), info(StoreDtype::F16), 0),
        &["mouthing-00000-00000.npy", "length"],
    );
    assert!(content(folder.path()) == before);
}

#[test]
fn ranks_share_a_folder_and_may_change_in_number() {
    let folder = tempfile::tempdir().unwrap();
    let all = clips(9);
    let (left, right) = all.split_at(4);
    write(folder.path(), 0, left).unwrap();
    write(folder.path(), 1, right).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(
        store.clips.iter().map(|c| c.id.clone()).collect::<Vec<_>>(),
        all.iter().map(|c| c.0.clone()).collect::<Vec<_>>()
    );
    for (clip, (id, frames)) in all.iter().enumerate() {
        let wanted: Vec<f32> =
            values(id, "spatial", *frames, 5).into_iter().map(|x| f16::from_f32(x).to_f32()).collect();
        assert_eq!(store.features(clip, "spatial").unwrap().to_f32(), wanted);
    }
    assert!(store.shard_of(8, "spatial").ends_with("spatial-00001-00000.npy"));
    // One rank alone asked for everything: what the others finished stays finished.
    let more = clips(11);
    write(folder.path(), 0, &more).unwrap();
    assert_eq!(Store::open(folder.path()).unwrap().clips.len(), 11);
    assert_eq!(verify(folder.path(), |_| ()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_shard_that_cannot_be_begun_leaves_the_last_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = info(StoreDtype::F16);
    one.streams.retain(|name, stream| {
        stream.dim = 1;
        name == "spatial"
    });
    let long = vec![0.5; 262_144];
    let put = |writer: &mut StoreWriter, id: &str, rows: &[f32]| {
        let mut clip = writer.begin()?;
        clip.append("spatial", rows)?;
        clip.finish(id, rows.len(), facts(""))
    };
    let mut writer = StoreWriter::open(folder.path(), one.clone(), 0).unwrap();
    put(&mut writer, "long", &long).unwrap();
    let next = path(folder.path(), "spatial-00000-00001.npy");
    fs::create_dir(&next).unwrap();
    for _ in 0..2 {
        refused(put(&mut writer, "next", &[0.25; 7]), &["spatial-00000-00001.npy"]);
    }
    fs::remove_dir(&next).unwrap();
    assert_eq!(put(&mut writer, "next", &[0.25; 7]).unwrap().shard, 1);
    drop(writer);
    // Resumed in the second shard.
    let mut writer = StoreWriter::open(folder.path(), one, 0).unwrap();
    assert_eq!(put(&mut writer, "last", &[0.125; 3]).unwrap().streams["spatial"].offset, 7);
    assert_eq!(verify(folder.path(), |_| ()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn failures_are_replaced_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let writer = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).unwrap();
    let file = path(folder.path(), "failures-00000.jsonl");
    let failure = |id: &str| Failure { id: id.into(), stage: "decode".into(), reason: "a\nb".into() };
    for ids in [&["a", "b"][..], &["b"], &[], &[]] {
        let failures: Vec<Failure> = ids.iter().map(|id| failure(id)).collect();
        writer.write_failures(&failures).unwrap();
        let text = fs::read_to_string(&file).unwrap_or_default();
        let read: Vec<Failure> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((read, file.exists()), (failures, !ids.is_empty()));
    }
}

#[test]
fn mutations_never_crash() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 0, &clips(3)).unwrap();
    let good = content(whole.path());
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut untouched = 0;
    for round in 0..300 {
        for (name, bytes) in &good {
            fs::write(path(folder.path(), name), bytes).unwrap();
        }
        let (name, bytes) = good.iter().nth(round % good.len()).unwrap();
        let mut bytes = bytes.clone();
        // Of a shard, mostly the header.
        let at = random(if round % 2 == 0 { bytes.len().min(128) } else { bytes.len() });
        match random(5) {
            0 => bytes[at] ^= 1 << random(8),
            1 => bytes[at] = b"0123456789{}[],\":-\n"[random(19)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, b'9'),
            _ => _ = bytes.remove(at),
        }
        let changed = bytes != good[name];
        fs::write(path(folder.path(), name), bytes).unwrap();
        match verify(folder.path(), |_| ()) {
            Ok(report) => untouched += usize::from(report.problems.is_empty() && report.clips == 3),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        }
        // Whatever it is, the writer either refuses it or continues a store that can be read.
        if name.ends_with(".npy") && changed && write(folder.path(), 0, &clips(4)).is_ok() {
            assert_eq!(Store::open(folder.path()).unwrap().clips.len(), 4);
        }
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
    }
    // Texts, names and settings may change unnoticed, and bytes of a header's row count that make it smaller.
    assert!(untouched < 150, "{untouched}");
}

/// The child half of [`a_full_disk_loses_only_clips_in_flight`]: writes with a limit on file sizes until it fails.
#[test]
fn child_writes_until_the_limit() {
    let Some(folder) = std::env::var_os("STORE_TEST_FOLDER") else { return };
    let folder = PathBuf::from(folder);
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (limit, factor) = (number("STORE_TEST_LIMIT"), number("STORE_TEST_FACTOR") as usize);
    let clips: Vec<_> = clips(20).into_iter().map(|(id, n)| (id, n * factor)).collect();
    // SAFETY: plain system calls; this process has only this test.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let error = write(&folder, 0, &clips).expect_err("no error at the limit");
    println!("error: {error}");
}

#[test]
fn a_full_disk_loses_only_clips_in_flight() {
    // An index line takes some 400 bytes, a clip's spatial rows some 50 times `factor`.
    let [index, json, payload] = ["clips-00000.jsonl", "store.json", "spatial-00000-00000.npy"];
    for (limit, factor, by) in
        [(100, 1, json), (900, 1, index), (2003, 1, index), (4000, 1, index), (9001, 40, payload)]
    {
        let clips: Vec<_> = clips(20).into_iter().map(|(id, n)| (id, n * factor)).collect();
        let whole = tempfile::tempdir().unwrap();
        write(whole.path(), 0, &clips).unwrap();
        let wanted = content(whole.path());
        let folder = tempfile::tempdir().unwrap();
        if by != json {
            StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).unwrap();
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_the_limit", "--nocapture"])
            .env("STORE_TEST_FOLDER", folder.path())
            .env("STORE_TEST_LIMIT", limit.to_string())
            .env("STORE_TEST_FACTOR", factor.to_string())
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        let output = String::from_utf8(child.stdout).unwrap();
        let error = output.lines().find(|line| line.contains("error: ")).unwrap();
        assert!(error.contains(by), "{error}");
        if by != json {
            let report = verify(folder.path(), |_| ()).unwrap();
            assert_eq!(report.problems, Vec::<String>::new());
            assert!((1..20).contains(&report.clips), "{limit}: {} clips", report.clips);
        }
        write(folder.path(), 0, &clips).unwrap();
        assert!(content(folder.path()) == wanted, "{limit}");
    }
}

#[test]
fn a_clip_given_up_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).unwrap();
    put(&mut writer, "first", 3).unwrap();
    let before = content(folder.path());
    let mut clip = writer.begin().unwrap();
    clip.append("spatial", &[1.0; 50]).unwrap();
    drop(clip);
    assert!(content(folder.path()) == before);
}

#[test]
fn a_large_store_opens_fast() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).unwrap();
    put(&mut writer, "first", 1).unwrap();
    drop(writer);
    let index = path(folder.path(), "clips-00000.jsonl");
    let first = fs::read_to_string(&index).unwrap();
    let lines = (0..35_000).map(|i| first.replacen("first", &format!("{i}-1-rgb_front"), 1));
    fs::write(&index, lines.collect::<String>()).unwrap();
    let open = || {
        let start = std::time::Instant::now();
        assert_eq!(Store::open(folder.path()).unwrap().clips.len(), 35_000);
        start.elapsed()
    };
    // The best of three: the machine may be busy with other tests.
    let took = (0..3).map(|_| open()).min().unwrap();
    println!("35,000 clips opened in {took:?}");
    // A quarter of a second on a quiet machine; the bound is for one that is busy.
    assert!(cfg!(debug_assertions) || took.as_secs_f64() < 3.0, "{took:?}");
}

#[test]
fn numpy_opens_a_store_in_the_making() {
    let Some(python) = numpy::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::open(folder.path(), info(StoreDtype::F16), 0).unwrap();
    for (id, frames) in clips(4) {
        put(&mut writer, &id, frames).unwrap();
    }
    let mut clip = writer.begin().unwrap();
    clip.append("spatial", &[1.0; 50]).unwrap();
    let script = "import numpy, sys\nfor s in ('mouthing', 'spatial'):\n    \
                  a = numpy.load(f'{sys.argv[1]}/{s}-00000-00000.npy', mmap_mode='r')\n    \
                  print(a.dtype.str, a.shape, a.offset % 64)";
    assert_eq!(numpy::run(&python, script, folder.path()), "<f2 (16, 3) 0\n<f2 (16, 5) 0\n");

    assert_eq!(
        numpy::run(&python, &numpy::example(), folder.path()),
        "-clip_0 ä {'mouthing': (1, 3), 'spatial': (1, 5)} schöner ÄÖÜ\n"
    );
}
