//! Annotation files that are not as they should be: the file, the line, and what to do; nothing is extracted.

use crate::corpus::{empty, files, how2sign, phoenix};
use crate::program::{Done, extract};
use std::path::Path;

const PHOENIX: &str = "annotations/manual/PHOENIX-2014-T.test.corpus.csv";
const HEADER: &str = "name|video|start|end|speaker|orth|translation";
const HOW2SIGN: &str =
    "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE";

fn place_with(file: &str, content: &[u8]) -> tempfile::TempDir {
    let place = empty();
    let path = place.path().join(file);
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    std::fs::write(path, content).expect("an annotation file");
    place
}

fn extract_test(place: &Path, dataset: &str) -> Done {
    extract(place, &format!("--dataset {dataset} --root . --split test --out out"))
}

#[test]
fn phoenix_tables() {
    let good = "a|a/1/*.png|-1|-1|S|X|ein satz";
    for (rows, parts) in [
        ("b|b/1/*.png|-1|-1|S|ein satz".to_owned(), ["line 3", "6 fields where the header has 7"]),
        ("b|b/1/*.png|-1|-1|S|X|ein|satz".to_owned(), ["line 3", "8 fields where the header has 7"]),
        (good.to_owned(), ["line 3", "\"a\" is already in line 2"]),
        ("a/b|a/1/*.png|-1|-1|S|X|ein satz".to_owned(), ["line 3", "\"a/b\" cannot be a clip id"]),
        ("..|a/1/*.png|-1|-1|S|X|ein satz".to_owned(), ["line 3", "\"..\" cannot be a clip id"]),
        ("|a/1/*.png|-1|-1|S|X|ein satz".to_owned(), ["line 3", "\"\" cannot be a clip id"]),
        ("b|../../b/1/*.png|-1|-1|S|X|ein satz".to_owned(), ["line 3", "leads out of the data set"]),
        ("b|/etc/b/*.png|-1|-1|S|X|ein satz".to_owned(), ["line 3", "leads out of the data set"]),
    ] {
        let place = place_with(PHOENIX, format!("{HEADER}\n{good}\n{rows}\n").as_bytes());
        extract_test(place.path(), "phoenix").refuses(&[&[PHOENIX, parts[0], parts[1]]]);
        assert!(!place.path().join("out").exists(), "nothing may be written");
    }
}

#[test]
fn headers_and_encodings() {
    for (content, parts) in [
        (&b""[..], ["line 1", "does not have all of the columns"]),
        (b"name;video\na;b\n", ["line 1", "does not have all of the columns name, video, speaker"]),
        (HEADER.as_bytes(), ["no rows", "complete?"]),
        (
            b"name|video|start|end|speaker|orth|translation\na|a/1/*.png|-1|-1|S|X|f\xfcr",
            ["line 2", "not UTF-8"],
        ),
        (b"\xff\xfen\0a\0m\0e\0", ["line 1", "iconv"]),
        (b"\x1f\x8b\x08\0\0\0\0\0", ["line 1", "not UTF-8"]),
    ] {
        let place = place_with(PHOENIX, content);
        extract_test(place.path(), "phoenix").refuses(&[&[PHOENIX, parts[0], parts[1]]]);
    }
}

#[test]
fn a_split_without_its_table() {
    let place = empty();
    let tables = place.path().join("annotations/manual");
    std::fs::create_dir_all(&tables).expect("a folder");
    let test = "PHOENIX-2014-T.test.corpus.csv";
    std::fs::copy(phoenix().join("annotations/manual").join(test), tables.join(test)).expect("a copy");
    let done = extract(place.path(), "--dataset phoenix --root . --out out");
    done.refuses(&[&["split dev has no annotation file", "PHOENIX-2014-T.dev.corpus.csv", "--split test"]]);
    let done = extract_test(place.path(), "phoenix");
    done.refuses(&[&["features/fullFrame-210x260px/test/demo_", "none of the other", "--root"]]);
}

#[test]
fn how2sign_tables() {
    let file = "how2sign_realigned_test.csv";
    for (row, parts) in [
        ("v\tv-1\tv_0\tv_0-1\t0.1\t1.0", ["line 2", "6 fields where the header has 7"]),
        ("v\tv-1\tv_0\tv_0-1\t0.1\tsoon\tHi.", ["line 2, END_REALIGNED", "\"soon\" is not a time"]),
        ("v\tv-1\tv_0\tv_0-1\tNaN\t1.0\tHi.", ["line 2, START_REALIGNED", "\"NaN\" is not a time"]),
        ("v\tv-1\tv_0\tv_0-1\t-2\t1.0\tHi.", ["line 2, START_REALIGNED", "\"-2\" is not a time"]),
        ("v\t../v\tv_0\tv_0-1\t0.1\t1.0\tHi.", ["line 2", "leads out of the data set"]),
        ("v\tv-1\tv_0\tv/0\t0.1\t1.0\tHi.", ["line 2", "\"v/0\" cannot be a clip id"]),
        ("v\tv-1\tv_0\tv_0-1\t0.1\t1.0\t\"Hi.", ["line 2", "not closed"]),
    ] {
        let place = place_with(file, format!("{HOW2SIGN}\r\n{row}\r\n").as_bytes());
        extract_test(place.path(), "how2sign").refuses(&[&[file, parts[0], parts[1]]]);
    }
}

/// Times that no video of the corpus has: those clips fail, named with the video; the others are stored.
#[test]
fn how2sign_times_outside_the_video() {
    let place = empty();
    std::os::unix::fs::symlink(how2sign().join("video_level"), place.path().join("video_level"))
        .expect("a link");
    let video = files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0].clone();
    let video = video.file_stem().and_then(|s| s.to_str()).expect("a name").to_owned();
    let row = |id: &str, start: &str, end: &str| format!("v\t{video}\t{id}\t{id}\t{start}\t{end}\tHi.\r\n");
    let rows = [
        row("good", "0.2", "1.0"),
        row("backwards", "1.0", "0.5"),
        row("long", "0.5", "900"),
        row("late", "800", "900"),
    ];
    let table = format!("{HOW2SIGN}\r\n{}", rows.concat());
    std::fs::write(place.path().join("how2sign_realigned_test.csv"), table).expect("a table");
    let done = extract_test(place.path(), "how2sign");
    done.fails("backwards", &[&video, "end", "0.5 s is not after the start, 1 s"]);
    done.fails("long", &[&video, "end 900 s", "beyond the end of the video"]);
    done.fails("late", &[&video, "start 800 s", "beyond the end of the video"]);
    let out = place.path().join("out");
    assert_eq!(crate::corpus::ids(&crate::corpus::store(&out, "test")), ["good"]);
    crate::corpus::verified(&out);
}

#[test]
fn lists_of_own_clips() {
    for (line, parts) in [
        ("nonsense", ["line 1", "expected"]),
        ("[[[[", ["line 1", "invalid type"]),
        ("{\"id\":\"a\",\"vidio\":\"a.mp4\"}", ["line 1", "unknown field `vidio`"]),
        ("{\"id\":\"a\"}", ["line 1", "exactly one of"]),
        ("{\"id\":\"a\",\"video\":\"a.mp4\",\"frames\":\"a\"}", ["line 1", "exactly one of"]),
        ("{\"id\":\"a\",\"video\":\"a.mp4\",\"start\":3,\"end\":2}", ["line 1", "0 <= start < end"]),
        ("{\"id\":\"a\",\"video\":\"a.mp4\",\"start\":1e400}", ["line 1", "out of range"]),
        ("{\"id\":\"a\",\"frames\":\"a\",\"end\":2}", ["line 1", "not with \"frames\""]),
        ("{\"id\":\"a/b\",\"video\":\"a.mp4\"}", ["line 1", "cannot be a clip id"]),
        ("{\"id\":\"a\",\"video\":\"\"}", ["line 1", "is empty"]),
        ("{\"id\":\"a\",\"video\":\"a\\u0000.mp4\"}", ["line 1", "control characters"]),
        ("{\"id\":\"a\",\"video\":\"a.mp4\",\"split\":\"../x\"}", ["line 1", "cannot be a split"]),
        ("", ["no clips", "one JSON object a line"]),
    ] {
        let place = place_with("own.jsonl", format!("{line}\n").as_bytes());
        let done = extract(place.path(), "--dataset own.jsonl --out out");
        done.refuses(&[&["own.jsonl", parts[0], parts[1]]]);
    }
    let twice = "{\"id\":\"a\",\"video\":\"a.mp4\"}\n\n{\"id\":\"a\",\"video\":\"b.mp4\"}\n";
    let place = place_with("own.jsonl", twice.as_bytes());
    let done = extract(place.path(), "--dataset own.jsonl --out out");
    done.refuses(&[&["own.jsonl", "line 3", "\"a\" is already in line 1"]]);
    let place = place_with("own.jsonl", b"{\"id\":\"\xe4\"}\n");
    extract(place.path(), "--dataset own.jsonl").refuses(&[&["own.jsonl", "line 1", "not UTF-8"]]);
}
