//! Media of the kinds that people report: pictures under other names and turned, recordings of which headers know little,
//! several video streams, long names and paths. Those of `../shared/data/field` where they are, and some made here.

use crate::corpus::{copy, empty, files, how2sign, ids, payloads, phoenix, store, verified};
use crate::mouthing::landmarks;
use crate::program::{extract, ffmpeg, run};
use crate::real_data::folder;
use serde_json::json;
use signclip_common::store::{ClipRecord, Store};
use std::path::{Path, PathBuf};

/// The reported inputs, or `None` with a message.
fn field() -> Option<PathBuf> {
    let folder = folder()?.join("field");
    if !folder.is_dir() {
        println!("skipped: no reported inputs in {}", folder.display());
        return None;
    }
    Some(folder)
}

fn list(place: &Path, lines: &[serde_json::Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(place.join("own.jsonl"), text).expect("a list");
}

fn record<'s>(store: &'s Store, id: &str) -> &'s ClipRecord {
    store.clips.iter().find(|clip| clip.id == id).unwrap_or_else(|| panic!("no clip {id}"))
}

/// A recording as browsers make them: 72 frames of 30 a second, neither duration nor rate in the header.
fn recording(place: &Path) {
    ffmpeg(
        place,
        "-f lavfi -i testsrc2=size=96x64:rate=30 -frames:v 72 -vf settb=1/1000,setpts=floor(N*1000/30)+mod(N*7\\,5) \
         -vsync passthrough -enc_time_base 1/1000 -c:v libvpx -deadline realtime -live 1 -f webm rec.webm",
    );
}

#[test]
fn the_reported_ones() {
    let Some(field) = field() else { return };
    let place = empty();
    let clip = |id: &str, kind: &str, name: &str| json!({"id": id, kind: field.join(name)});
    let mut range = clip("range", "video", "packed.avi");
    (range["start"], range["end"]) = (json!(2.0), json!(3.0));
    list(
        place.path(),
        &[
            clip("exif", "frames", "exif"),
            clip("named", "frames", "png_as_jpg"),
            clip("thumb", "frames", "thumb_cut"),
            clip("rec", "video", "rec.webm"),
            clip("two", "video", "two.mp4"),
            clip("still", "video", "still.mp4"),
            clip("packed", "video", "packed.avi"),
            range,
            clip("long", "video", "damaged/long.mkv"),
            clip("head", "video", "damaged/head_mkv.mkv"),
        ],
    );
    let done = extract(place.path(), "--dataset own.jsonl --streams spatial --out out");
    done.fails("thumb", &["0010.jpg", "truncated"]);
    done.fails("head", &["head_mkv.mkv", "byte ", "damaged"]);
    done.says(&["remark: 1 clip, e.g. two: several video streams", "--video-stream"]);
    let all = store(&place.path().join("out"), "all");
    for (id, source, frames, video_stream) in [
        ("exif", 5, 5, None),
        ("named", 3, 3, None),
        ("rec", 120, 100, None),
        ("two", 95, 95, Some(0)),
        ("still", 100, 1974, None),
        ("packed", 100, 100, None),
        ("range", 25, 25, None),
        ("long", 73, 73, None),
    ] {
        let ClipRecord { frames: stored, facts, .. } = record(&all, id);
        assert_eq!(
            (facts.source_frames, *stored, facts.video_stream),
            (source, frames, video_stream),
            "{id}"
        );
        assert_eq!(facts.turned, id == "exif", "{id}");
    }
    assert!((record(&all, "rec").facts.source_fps - 30.1).abs() < 0.2);
    let index = |id: &str| all.clips.iter().position(|clip| clip.id == id).expect("a clip");
    let rows = |id: &str| all.features(index(id), "spatial").expect("rows");
    assert_eq!(rows("range").bytes, rows("packed").part(50, 25).bytes, "frames 50 to 74");
    verified(&place.path().join("out"));

    // Landmarks for either count of a recording whose header knows neither; the other stream.
    list(place.path(), &[clip("rec", "video", "rec.webm")]);
    for rows in [120, 100] {
        let marks = format!("marks{rows}");
        landmarks(&place.path().join(&marks).join("rec.npy"), rows, 68, |i| 40.0 + (i % 136) as f32);
        let line = format!("--dataset own.jsonl --streams mouthing --landmarks {marks} --out {marks}-out");
        extract(place.path(), &line).exits(0);
    }
    list(place.path(), &[clip("two", "video", "two.mp4")]);
    extract(place.path(), "--dataset own.jsonl --streams spatial --out second --video-stream 1").exits(0);
    let second = store(&place.path().join("second"), "all");
    assert_eq!((second.clips[0].frames, second.clips[0].facts.video_stream), (300, Some(1)));
}

/// Where nothing in a file tells its length, summary and index say so.
#[test]
fn files_that_do_not_say_how_long_they_are() {
    let place = empty();
    let pictures = "-f lavfi -i testsrc2=size=96x64:rate=25 -t 0.4";
    ffmpeg(place.path(), &format!("{pictures} -c:v libx264 a.ts"));
    ffmpeg(place.path(), &format!("{pictures} -c:v libx264 b.mp4"));
    list(place.path(), &[json!({"id": "a", "video": "a.ts"}), json!({"id": "b", "video": "b.mp4"})]);
    extract(place.path(), "--dataset own.jsonl --streams spatial --out out")
        .exits(0)
        .says(&["remark: 1 clip, e.g. a: ", "does not say how long it is"]);
    let all = store(&place.path().join("out"), "all");
    assert_eq!(["a", "b"].map(|id| record(&all, id).facts.end_unknown), [true, false]);
}

/// Features of pictures stored sideways are those of the turned pictures.
#[test]
fn sideways_pictures_give_the_features_of_upright_ones() {
    let place = empty();
    let (sideways, upright) = (place.path().join("sideways"), place.path().join("upright"));
    copy(&files(&phoenix().join("features/fullFrame-210x260px/test"))[0], &upright);
    std::fs::create_dir(&sideways).expect("a folder");
    for picture in files(&upright) {
        let name = picture.file_name().expect("a name").to_string_lossy().into_owned();
        ffmpeg(place.path(), &format!("-i upright/{name} -vf transpose=cclock sideways/{name}"));
        let turned = sideways.join(&name);
        let bytes = std::fs::read(&turned).expect("a picture");
        // A quarter turn, in a chunk behind the header.
        let chunk = b"eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let length = (chunk.len() as u32 - 4).to_be_bytes();
        let sum = crc(chunk).to_be_bytes();
        std::fs::write(&turned, [&bytes[..33], &length, chunk, &sum, &bytes[33..]].concat())
            .expect("written");
    }
    list(place.path(), &[json!({"id": "s", "frames": "sideways"}), json!({"id": "u", "frames": "upright"})]);
    extract(place.path(), "--dataset own.jsonl --streams spatial --out out").exits(0);
    let all = store(&place.path().join("out"), "all");
    let rows = payloads(&all);
    assert_eq!(rows["s"], rows["u"]);
    assert_eq!(["s", "u"].map(|id| record(&all, id).facts.turned), [true, false]);
}

/// The checksum of PNG chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Headers know neither number of frames; each row belongs to its own frame all the same.
#[test]
fn landmarks_with_either_number_of_rows() {
    let place = empty();
    recording(place.path());
    list(place.path(), &[json!({"id": "rec", "video": "rec.webm"})]);
    let marks = |folder: &str, rows: usize, frame: &dyn Fn(usize) -> usize| {
        // A face that moves, so that another row is another mouth.
        let value = |i: usize| 20.0 + frame(i / 136) as f32 / 4.0 + (i % 136) as f32 / 10.0;
        landmarks(&place.path().join(folder).join("rec.npy"), rows, 68, value);
        let line = format!("--dataset own.jsonl --streams mouthing --landmarks {folder} --out {folder}-out");
        extract(place.path(), &line)
    };
    marks("source", 72, &|row| row).exits(0);
    // The frame of the source that is nearest to each of the 25 a second.
    let times: Vec<f64> = (0..72).map(|n| (n * 1000 / 30 + n * 7 % 5) as f64 / 1000.0).collect();
    let nearest = |row: usize| {
        let off = |n: &usize| (times[*n] - times[0] - row as f64 / 25.0).abs();
        (0..72).min_by(|a, b| off(a).total_cmp(&off(b))).expect("frames")
    };
    marks("at25", 60, &nearest).exits(0);
    let of = |folder: &str| payloads(&store(&place.path().join(format!("{folder}-out")), "all"));
    assert_eq!(of("source"), of("at25"));
    marks("other", 66, &|row| row).fails("rec", &["rec.npy", "66 frames", "72 in the video", "60 at 25"]);
}

/// AV-HuBERT's preparation pickles a list of arrays, or None for a frame without a face.
#[test]
fn pickled_landmarks() {
    let place = empty();
    std::fs::copy(
        &files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0],
        place.path().join("a.mp4"),
    )
    .expect("a video");
    list(place.path(), &[json!({"id": "a", "video": "a.mp4", "end": 0.4})]);
    let value = |i: usize| if (272..408).contains(&i) { f32::NAN } else { 40.0 + (i % 136) as f32 / 3.0 };
    landmarks(&place.path().join("npy/a.npy"), 10, 68, value);
    // Protocol 3, each frame written out.
    let frame = |number: usize| {
        let bytes: Vec<u8> = (0..136).flat_map(|i| value(number * 136 + i).to_le_bytes()).collect();
        let array = [
            &b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01K\x44K\x02\x86"[..],
            b"cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89",
            b"B\x20\x02\0\0",
            &bytes,
            b"tb",
        ];
        if number == 2 { b"N".to_vec() } else { array.concat() }
    };
    let frames: Vec<u8> = (0..10).flat_map(frame).collect();
    std::fs::create_dir(place.path().join("pkl")).expect("a folder");
    std::fs::write(place.path().join("pkl/a.pkl"), [&b"\x80\x03]("[..], &frames, b"e."].concat())
        .expect("written");
    let run = |folder: &str| {
        extract(
            place.path(),
            &format!("--dataset own.jsonl --streams mouthing --landmarks {folder} --out {folder}-out"),
        )
    };
    for folder in ["npy", "pkl"] {
        run(folder).exits(0);
    }
    let of = |folder: &str| store(&place.path().join(format!("{folder}-out")), "all");
    assert_eq!(payloads(&of("npy")), payloads(&of("pkl")));
    assert_eq!(of("pkl").clips[0].facts.face_coverage, Some(0.9));
    // Both in one folder, and one that would run a program.
    std::fs::copy(place.path().join("npy/a.npy"), place.path().join("pkl/a.npy")).expect("a copy");
    std::fs::remove_dir_all(place.path().join("pkl-out")).expect("removed");
    run("pkl").fails("a", &["a.npy", "a.pkl as well"]);
    std::fs::create_dir(place.path().join("bad")).expect("a folder");
    std::fs::write(place.path().join("bad/a.pkl"), b"\x80\x03cposix\nsystem\nX\x04\0\0\0true\x85R.")
        .expect("written");
    run("bad").fails("a", &["bad/a.pkl", "posix.system", "nothing was run"]);
}

/// Recorded in the store, compared on resume, taken over by `--like`, named where they do nothing.
#[test]
fn flags_about_videos() {
    let place = empty();
    ffmpeg(
        place.path(),
        "-f lavfi -i testsrc2=size=96x64:rate=25 -f lavfi -i testsrc=size=128x96:rate=25 -map 0 -map 1 -t 0.4 \
         -c:v libx264 -flags +ilme+ildct -x264-params tff=1 two.mp4",
    );
    list(place.path(), &[json!({"id": "two", "video": "two.mp4"})]);
    let run = |more: &str| extract(place.path(), &format!("--streams spatial {more}"));
    let flags = "--video-stream 1 --deinterlace";
    run(&format!("--dataset own.jsonl --out out {flags}")).exits(0);
    let info = store(&place.path().join("out"), "all").info;
    assert_eq!((&info.config["video_stream"], &info.config["deinterlace"]), (&json!(1), &json!(true)));
    list(
        place.path(),
        &[json!({"id": "two", "video": "two.mp4"}), json!({"id": "more", "video": "two.mp4", "end": 0.2})],
    );
    run("--dataset own.jsonl --out out --deinterlace").refuses(&[&["store.json", "video_stream"]]);
    run(&format!("--dataset own.jsonl --out out {flags}")).exits(0);
    // As they were made, without the flags.
    let like = run_like(place.path(), "--dataset own.jsonl --like out --out like");
    like.exits(0);
    let [made, like] = ["out", "like"].map(|out| payloads(&store(&place.path().join(out), "all")));
    assert_eq!(made, like);
    // Without them, other features, and remarks on what was passed over.
    run("--dataset own.jsonl --out plain").exits(0).says(&[
        "remark: 2 clips, e.g. ",
        "several video streams",
        "interlaced: ",
        "--deinterlace",
    ]);
    let plain = store(&place.path().join("plain"), "all");
    assert_ne!(payloads(&plain), made);
    assert_eq!(record(&plain, "two").facts.video_stream, Some(0));
    assert_eq!(plain.info.config, json!({"resampling": "nearest frame in time"}));
    run("--dataset own.jsonl --out third --video-stream 2")
        .fails("two", &["two.mp4", "no video stream 2", "has 2"]);
    // No video, no effect.
    copy(&files(&phoenix().join("features/fullFrame-210x260px/test"))[0], &place.path().join("pictures"));
    list(place.path(), &[json!({"id": "p", "frames": "pictures"})]);
    run(&format!("--dataset own.jsonl --out fourth {flags}"))
        .exits(0)
        .says(&["--video-stream has no effect: the clips are folders", "--deinterlace has no effect"]);
}

/// `--like` goes without the flags of what it takes over.
fn run_like(place: &Path, line: &str) -> crate::program::Done {
    run(place, "extract", line.split_whitespace().chain(["--gpus", "cpu"]))
}

/// A clip's sheet has a name that the file system takes, and a sheet that cannot be written is not a failure of its clip.
#[test]
fn sheets_of_long_names() {
    let place = empty();
    std::fs::copy(
        &files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0],
        place.path().join("a.mp4"),
    )
    .expect("a video");
    let long = "x".repeat(240);
    list(place.path(), &[json!({"id": long, "video": "a.mp4", "end": 0.2})]);
    landmarks(&place.path().join("marks").join(format!("{long}.npy")), 5, 68, |i| {
        40.0 + (i % 136) as f32 / 3.0
    });
    let run = |out: &str| {
        extract(place.path(), &format!("--dataset own.jsonl --landmarks marks --preview sheets --out {out}"))
    };
    run("out").exits(0);
    let sheets = files(&place.path().join("sheets/all"));
    assert_eq!(sheets.len(), 1, "{sheets:?}");
    assert!(sheets[0].file_name().is_some_and(|name| name.to_string_lossy().starts_with(&long[..100])));
    assert!(!place.path().join("out/all/failures-00000.jsonl").exists());
    // Something is where the sheet should go.
    std::fs::remove_file(&sheets[0]).expect("removed");
    std::fs::create_dir_all(sheets[0].join("below")).expect("a folder");
    run("again").exits(1).says(&["no sheet: xxx", "1 clip;"]);
    assert_eq!(ids(&store(&place.path().join("again"), "all")), [long.as_str()]);
    assert!(!place.path().join("again/all/failures-00000.jsonl").exists());
}

/// A list of one's own may lead anywhere, by `..` as by an absolute path.
#[test]
fn paths_of_own_lists() {
    let place = empty();
    let video = &files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0];
    std::fs::copy(video, place.path().join("a.mp4")).expect("a video");
    let lists = place.path().join("lists");
    std::fs::create_dir(&lists).expect("a folder");
    list(
        &lists,
        &[
            json!({"id": "up", "video": "../a.mp4", "end": 0.2}),
            json!({"id": "absolute", "video": place.path().join("a.mp4"), "end": 0.2}),
        ],
    );
    extract(place.path(), "--dataset lists/own.jsonl --streams spatial --out out").exits(0);
    let all = store(&place.path().join("out"), "all");
    let rows = payloads(&all);
    assert_eq!(rows["up"], rows["absolute"]);
    assert_eq!(record(&all, "up").facts.source, "../a.mp4");
}
