//! Data sets: the official annotation files are read as they are, damaged ones are refused with one line that names
//! file, place and remedy.

#![allow(clippy::print_stderr)]
#![allow(clippy::disallowed_methods)]

use signclip_common::Result;
use signclip_common::manifest::{Clip, Dataset, Media, Split, read_json_lines};
use signclip_common::manifests::Manifests;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn dataset(name: &str) -> Dataset {
    Dataset::load(&Manifests::default(), name).unwrap()
}

/// The folder of real annotation files, or none.
fn annotations(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("SIGNCLIP_TEST_DATA")
        .map_or_else(|| Path::new(WORKSPACE).join("../shared/data"), PathBuf::from);
    let folder = data.join("annotations").join(name);
    if !folder.is_dir() {
        eprintln!("skipped: {} is not here", folder.display());
        return None;
    }
    Some(folder)
}

fn split(dataset: &Dataset, root: &Path, name: &str) -> Result<Option<Split>> {
    let home = dataset.home(root)?;
    dataset.read(&home, dataset.splits.iter().find(|s| s.name == name).unwrap(), false)
}

/// One line with these words in it, and a remedy behind a semicolon.
#[track_caller]
fn refused<T>(what: &str, result: Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("{what}: no error") };
    let message = error.to_string();
    assert!(message.lines().count() == 1 && message.contains("; "), "{what}: {message}");
    for word in words {
        assert!(message.contains(word), "{what}: {word:?} is not in: {message}");
    }
}

fn text(clip: &Clip) -> &str {
    clip.text.as_deref().unwrap()
}

#[test]
fn phoenix_as_released() {
    let Some(root) = annotations("phoenix14t") else { return };
    let phoenix = dataset("phoenix");
    for (name, clips, words) in [("train", 7096, 2887), ("dev", 519, 951), ("test", 642, 1001)] {
        let split = split(&phoenix, &root, name).unwrap().unwrap();
        let vocabulary: HashSet<&str> = split.clips.iter().flat_map(|c| text(c).split_whitespace()).collect();
        assert_eq!((split.clips.len(), vocabulary.len()), (clips, words), "{name}");
        let signer = |c: &Clip| c.signer.as_ref().is_some_and(|s| s.starts_with("Signer0"));
        assert!(split.clips.iter().all(|c| signer(c) && c.gloss.as_ref().is_some_and(|g| !g.is_empty())));
        let first = &split.clips[0];
        let frames = format!("features/fullFrame-210x260px/{name}/{}", first.id);
        assert_eq!(first.media, Media::Frames(root.join(frames)));
    }
}

#[test]
fn how2sign_as_released() {
    let Some(root) = annotations("how2sign") else { return };
    let how2sign = dataset("how2sign");
    assert!(split(&how2sign, &root, "train").unwrap().is_none());
    for (name, own, rows, odd_ids) in [("dev", "val", 1741, true), ("test", "test", 2357, true)] {
        let split = split(&how2sign, &root, name).unwrap().unwrap();
        assert_eq!((split.clips.len(), split.remarks.len()), (rows, 0), "{name}");
        assert_eq!(split.clips.iter().any(|c| c.id.starts_with('-')), odd_ids);
        // Against the file itself, split by hand where it is not quoted.
        let raw = fs::read_to_string(root.join(format!("how2sign_realigned_{own}.csv"))).unwrap();
        assert_eq!(raw.trim_end().lines().count(), rows + 1);
        let mut quoted = 0;
        for (line, clip) in raw.lines().skip(1).zip(&split.clips) {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(clip.id, fields[3]);
            let path = root.join(format!("video_level/{own}/rgb_front/raw_videos/{}.mp4", fields[1]));
            let time = |i: usize| Some(fields[i].parse().unwrap());
            assert_eq!(clip.media, Media::Video { path, start: time(4), end: time(5) });
            let sentence = fields[6].trim();
            if let Some(inner) = sentence.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
                quoted += 1;
                assert_eq!(text(clip), inner.replace("\"\"", "\"").trim());
            } else {
                assert_eq!(text(clip), sentence);
            }
        }
        assert!(quoted > 0 && split.clips.iter().any(|c| text(c).contains('"')), "{name}");
    }
}

const PHOENIX: &str = "name|video|start|end|speaker|orth|translation\n";

fn phoenix(rows: impl AsRef<[u8]>, prepare: impl FnOnce(&Path)) -> Result<(PathBuf, Split)> {
    let root = tempfile::tempdir().unwrap().keep();
    fs::write(root.join("PHOENIX-2014-T.dev.corpus.csv"), rows).unwrap();
    prepare(&root);
    let split = split(&dataset("phoenix"), &root, "dev").map(|split| (root.clone(), split.unwrap()));
    fs::remove_dir_all(&root).unwrap();
    split
}

#[test]
fn the_extra_folder_of_phoenix_is_optional() {
    let rows = format!("{PHOENIX}a|a/1/*.png|-1|-1|Signer01|A|ein \"satz\nb|b/1/*.png|-1|-1|Signer01|B|x\n");
    let (root, split) = phoenix(rows, |root| {
        fs::create_dir_all(root.join("features/fullFrame-210x260px/dev/a/1")).unwrap();
        fs::create_dir_all(root.join("features/fullFrame-210x260px/dev/b")).unwrap();
    })
    .unwrap();
    let frames = root.join("features/fullFrame-210x260px/dev");
    assert_eq!(split.clips[0].media, Media::Frames(frames.join("a/1")));
    assert_eq!(split.clips[1].media, Media::Frames(frames.join("b")));
    // No quoting in this file.
    assert_eq!(text(&split.clips[0]), "ein \"satz");
}

#[test]
fn phoenix_rows_survive_their_surroundings() {
    let row = "a|a/1/*.png|-1|-1|Signer01|A|über\n";
    for file in [
        format!("{PHOENIX}{row}"),
        format!("\u{feff}{PHOENIX}{row}"),
        format!("{PHOENIX}{row}").replace('\n', "\r\n"),
        format!("{PHOENIX}\n{row}\n\n"),
        format!("{PHOENIX}{row}").trim_end().to_owned(),
        "x|name|video|start|end|speaker|orth|translation\n9|a|a/1/*.png|-1|-1|Signer01|A|über\n".to_owned(),
    ] {
        let (_, split) = phoenix(&file, |_| ()).unwrap();
        assert_eq!((split.clips.len(), split.clips[0].id.as_str(), text(&split.clips[0])), (1, "a", "über"));
    }
}

#[test]
fn damaged_phoenix_files_are_refused() {
    let row = |id: &str, video: &str| format!("{id}|{video}|-1|-1|Signer01|A|x\n");
    let good = row("good", "good/1/*.png");
    let latin = [PHOENIX.as_bytes(), good.as_bytes(), b"a|a/1/*.png|-1|-1|S|A|\xfcber\n"].concat();
    let table: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("empty", vec![], vec!["columns"]),
        ("header only", PHOENIX.into(), vec!["no rows"]),
        ("binary", vec![0x93; 300], vec!["line 1", "UTF-8"]),
        ("column", "name|video|start|end|speaker|orth\na|a|1|1|s|o\n".into(), vec!["line 1", "translation"]),
        ("quoted header", PHOENIX.replace("name", "\"name\"").into(), vec!["line 1", "name"]),
        ("few", format!("{PHOENIX}{good}a|b|c\n{good}").into(), vec!["line 3", "3 fields", "7"]),
        (
            "few, CRLF",
            format!("{PHOENIX}{good}a|b|c\n").replace('\n', "\r\n").into(),
            vec!["line 3", "3 fields"],
        ),
        ("few after blanks", format!("{PHOENIX}\n\n{good}\na|b|c\n").into(), vec!["line 6", "3 fields"]),
        ("many", format!("{PHOENIX}{}", good.replace("|x", "|x|y")).into(), vec!["line 2", "8 fields"]),
        ("latin-1", latin, vec!["line 3", "iconv"]),
        (
            "twice",
            format!("{PHOENIX}{good}{}{good}", row("a", "a/1/*.png")).into(),
            vec!["line 4", "line 2", "good"],
        ),
        ("slash", format!("{PHOENIX}{}", row("a/b", "a/1/*.png")).into(), vec!["line 2", "a/b"]),
        ("dots", format!("{PHOENIX}{good}{}", row("..", "a/1/*.png")).into(), vec!["line 3", "\"..\""]),
        ("no id", format!("{PHOENIX}{}", row("", "a/1/*.png")).into(), vec!["line 2", "\"\""]),
        ("NUL", format!("{PHOENIX}{}", row("a\0b", "a/1/*.png")).into(), vec!["line 2", "a\\0b"]),
        ("up", format!("{PHOENIX}{}", row("a", "../../etc/1/*.png")).into(), vec!["line 2", "../../etc"]),
        (
            "inside and up",
            format!("{PHOENIX}{}", row("a", "a/../../b/*.png")).into(),
            vec!["line 2", "a/../../b"],
        ),
        ("absolute", format!("{PHOENIX}{}", row("a", "/etc/1/*.png")).into(), vec!["line 2", "/etc"]),
    ];
    for (what, file, mut words) in table {
        words.push("PHOENIX-2014-T.dev.corpus.csv");
        refused(what, phoenix(file, |_| ()), &words);
    }
}

const HOW2SIGN: [&str; 7] = [
    "VIDEO_ID",
    "VIDEO_NAME",
    "SENTENCE_ID",
    "SENTENCE_NAME",
    "START_REALIGNED",
    "END_REALIGNED",
    "SENTENCE",
];

fn how2sign(file: impl AsRef<[u8]>, prepare: impl FnOnce(&Path)) -> Result<Split> {
    let root = tempfile::Builder::new().prefix("sentence_level").tempdir().unwrap();
    let root = root.path().join("sentence_level");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("how2sign_realigned_val.csv"), file).unwrap();
    prepare(&root);
    split(&dataset("how2sign"), &root, "dev").map(Option::unwrap)
}

/// A row whose sentence is written as given.
fn row(id: &str, video: &str, start: &str, end: &str, sentence: &str) -> String {
    format!("v\t{video}\ts\t{id}\t{start}\t{end}\t{sentence}\r\n")
}

#[test]
fn how2sign_with_any_delimiter() {
    let rows = [
        ["-x", "-x-1-rgb_front", "-x_0", "-x_0-1-rgb_front", "0.26", "6.79", "a, b; c\td | e"],
        [
            "_y",
            "_y-1-rgb_front",
            "_y_0",
            "_y_0-1-rgb_front",
            "0",
            "1e1",
            "He said \"hi\",\r\nthen;\n\nleft.\t!",
        ],
        ["z", "z", "z", "z", "1", "2", "\"\""],
        ["w", "w", "w", "w", "1", "2", "5\" pipe"],
    ];
    for delimiter in ["\t", ",", ";"] {
        for end in ["\n", "\r\n"] {
            for always in [true, false] {
                let quote = |field: &&str| {
                    let needed = always || field.contains(['\t', ',', ';', '\n']) || field.starts_with('"');
                    if needed { format!("\"{}\"", field.replace('"', "\"\"")) } else { (*field).to_owned() }
                };
                let line = |row: &[&str; 7]| row.iter().map(quote).collect::<Vec<_>>().join(delimiter);
                let lines: Vec<String> = [HOW2SIGN].iter().chain(&rows).map(line).collect();
                let split = how2sign(lines.join(end) + end, |_| ()).unwrap();
                assert_eq!(split.clips.len(), rows.len());
                for (clip, row) in split.clips.iter().zip(rows) {
                    assert_eq!((clip.id.as_str(), text(clip)), (row[3], row[6]));
                    let Media::Video { path, start, end } = &clip.media else { panic!() };
                    assert!(path.ends_with(format!("{}.mp4", row[1])));
                    assert_eq!((*start, *end), (row[4].parse().ok(), row[5].parse().ok()));
                }
                // The line of an error counts every line of the file, also those inside quotes.
                let wrong = ["v", "v", "s", "wrong", "soon", "2", "x"];
                let lines = [&lines[..], &[line(&wrong)]].concat().join(end) + end;
                refused("line", how2sign(lines, |_| ()), &["line 9, START_REALIGNED", "\"soon\""]);
            }
        }
    }
}

#[test]
fn damaged_how2sign_files_are_refused() {
    let header = HOW2SIGN.join("\t") + "\r\n";
    let good = |i: usize| row(&format!("good_{i}"), "v", "1", "2", "Fine.");
    let many: String = (0..50).map(good).collect();
    let with = |row: String| format!("{header}{}{row}{many}", row_before());
    fn row_before() -> String {
        row("before", "v", "1", "2", "\"Said \"\"x\"\".\"")
    }
    let table = [
        ("no number", with(row("a", "v", "1,5", "2", "x")), vec!["line 3, START_REALIGNED", "\"1,5\""]),
        ("negative", with(row("a", "v", "-1", "2", "x")), vec!["line 3, START_REALIGNED", "\"-1\""]),
        ("not a number", with(row("a", "v", "1", "NaN", "x")), vec!["line 3, END_REALIGNED", "\"NaN\""]),
        ("infinite", with(row("a", "v", "1", "inf", "x")), vec!["line 3, END_REALIGNED", "\"inf\""]),
        ("no time", with(row("a", "v", "", "2", "x")), vec!["line 3, START_REALIGNED", "\"\""]),
        ("up", with(row("a", "../../etc/passwd", "1", "2", "x")), vec!["line 3", "../../etc"]),
        ("absolute", with(row("a", "/etc/passwd", "1", "2", "x")), vec!["line 3", "/etc"]),
        ("id", with(row("../a", "v", "1", "2", "x")), vec!["line 3", "../a"]),
        ("twice", with(row("good_7", "v", "1", "2", "x")), vec!["line 11", "line 3", "good_7"]),
        ("open quote to the end", with(row("a", "v", "1", "2", "\"Hello")), vec!["line 3", "quote"]),
        (
            "open quote to the next quote",
            with(row("a", "v", "1", "2", "\"Hello") + &row("b", "v", "1", "2", "\"You\"")),
            vec!["line 3", "quote"],
        ),
        (
            "open quote in the middle",
            with(row("a", "\"v", "1", "2", "x") + &row("b", "v\"", "1", "2", "y")),
            vec!["line 3"],
        ),
        ("open quote in the header", format!("\"{header}{many}"), vec!["line 1"]),
        ("text behind a quote", with(row("a", "v", "1", "2", "\"Hello\" he said")), vec!["line 3", "quote"]),
    ];
    for (what, file, mut words) in table {
        words.push("how2sign_realigned_val.csv");
        refused(what, how2sign(file, |_| ()), &words);
    }
}

#[test]
fn ready_made_clips_are_used_with_a_remark() {
    let file = HOW2SIGN.join("\t") + "\r\n" + &row("s-1", "v-1", "1", "2", "x");
    let make = |folder: &'static str| {
        move |root: &Path| fs::create_dir_all(root.join(folder).join("val/rgb_front/raw_videos")).unwrap()
    };
    let both = |root: &Path| {
        make("video_level")(root);
        make("sentence_level")(root);
    };
    let ready = how2sign(&file, make("sentence_level")).unwrap();
    assert_eq!(ready.remarks.len(), 1);
    let Media::Video { path, start: None, end: None } = &ready.clips[0].media else { panic!() };
    assert!(path.ends_with("sentence_level/val/rgb_front/raw_videos/s-1.mp4"));
    // The data set's own folder may be called anything.
    for full in [how2sign(&file, make("video_level")), how2sign(&file, both), how2sign(&file, |_| ())] {
        let full = full.unwrap();
        assert_eq!(full.remarks.len(), 0);
        let Media::Video { path, start: Some(1.0), end: Some(2.0) } = &full.clips[0].media else { panic!() };
        assert!(path.ends_with("video_level/val/rgb_front/raw_videos/v-1.mp4"));
    }
}

#[test]
fn a_data_set_is_looked_for_and_missed_by_name() {
    let root = tempfile::tempdir().unwrap();
    let phoenix = dataset("phoenix");
    refused("empty", phoenix.home(root.path()), &["PHOENIX-2014-T.train.corpus.csv", "--root"]);
    refused("absent", phoenix.home(&root.path().join("no")), &["no such folder", "--root"]);
    let deep = root.path().join("PHOENIX-2014-T-release-v3/PHOENIX-2014-T/annotations/manual");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("PHOENIX-2014-T.test.corpus.csv"), format!("{PHOENIX}a|a/1/*.png|-1|-1|S|A|x\n"))
        .unwrap();
    assert!(split(&phoenix, root.path(), "dev").unwrap().is_none());
    assert_eq!(split(&phoenix, root.path(), "test").unwrap().unwrap().clips.len(), 1);

    refused(
        "unknown",
        Dataset::load(&Manifests::default(), "bobsl"),
        &["bobsl", "how2sign", "phoenix", ".jsonl"],
    );
    fs::write(root.path().join("odd.json"), "{\n\"name\": \"x\",\n\"a\\nb\": 1}").unwrap();
    let own = Manifests { folder: Some(root.path().to_owned()) };
    refused("odd", Dataset::load(&own, "odd"), &["odd.json", "line 3"]);
    assert_eq!(Dataset::load(&own, "phoenix").unwrap().title, phoenix.title);
    let text = fs::read_to_string(Path::new(WORKSPACE).join("manifests/phoenix.json")).unwrap();
    for name in ["phoenix", "signs"] {
        let file = root.path().join(format!("{name}.json"));
        fs::write(file, text.replacen(&phoenix.title, "another", 1)).unwrap();
        assert_eq!(Dataset::load(&own, name).unwrap().title, "another");
    }
}

fn json_lines(text: impl AsRef<[u8]>) -> Result<Vec<Split>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.jsonl"), text).unwrap();
    read_json_lines(&folder.path().join("mine.jsonl"), false)
}

#[test]
fn own_data() {
    let lines = "{\"id\": \"-a\", \"video\": \"b/-a.mp4\", \"text\": \"ä\", \"start\": 0, \"end\": 2.5}\n\n   \n\
                 {\"id\":\"b\",\"frames\":\"/abs/b\",\"split\":\"zoo\",\"signer\":\"S\",\"gloss\":\"G\"}\r\n\
                 {\"id\":\"-a\",\"video\":\"./c.mp4\",\"split\":\"test\",\"start\":1.5}\n\
                 {\"id\":\"c\",\"video\":\"c.mp4\",\"split\":\"train\",\"text\":null}";
    for lines in [lines.to_owned(), format!("\u{feff}{lines}")] {
        let splits = json_lines(lines).unwrap();
        assert_eq!(
            splits.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["train", "test", "all", "zoo"]
        );
        let folder = splits[0].annotation.parent().unwrap();
        let Media::Video { path, start, end } = &splits[2].clips[0].media else { panic!() };
        assert_eq!((path, *start, *end), (&folder.join("b/-a.mp4"), Some(0.0), Some(2.5)));
        assert_eq!(text(&splits[2].clips[0]), "ä");
        assert_eq!(splits[3].clips[0].media, Media::Frames("/abs/b".into()));
        assert_eq!(
            (splits[1].clips[0].media.path(), &splits[0].clips[0].text),
            (&*folder.join("c.mp4"), &None)
        );
    }
    let own = Dataset::own(Path::new("x/mine.jsonl"), None);
    assert_eq!((own.name.as_str(), own.text.lowercase), ("mine", false));
}

#[test]
fn damaged_own_data_is_refused() {
    let good = "{\"id\":\"good\",\"video\":\"a.mp4\"}";
    let table: Vec<(&str, &[u8], Vec<&str>)> = vec![
        ("unknown field", br#"{"id":"a","video":"a","x\ny":1}"#, vec!["x y"]),
        ("field twice", br#"{"id":"a","id":"b","video":"a"}"#, vec!["id"]),
        ("both", br#"{"id":"a","video":"a","frames":"b"}"#, vec!["video", "frames"]),
        ("neither", br#"{"id":"a"}"#, vec!["video", "frames"]),
        ("no id", br#"{"video":"a"}"#, vec!["id"]),
        ("number as id", br#"{"id":1,"video":"a"}"#, vec!["string"]),
        ("half", br#"{"id":"a","vid"#, vec![]),
        ("list", b"[]", vec![]),
        ("text behind", br#"{"id":"a","video":"a"} x"#, vec![]),
        ("latin-1", b"{\"id\":\"\xfc\",\"video\":\"a\"}", vec!["UTF-8"]),
        ("deep", &[b'['; 100_000], vec![]),
        ("negative start", br#"{"id":"a","video":"a","start":-1}"#, vec!["start"]),
        ("end before start", br#"{"id":"a","video":"a","start":3,"end":2}"#, vec!["end"]),
        ("end at 0", br#"{"id":"a","video":"a","end":0}"#, vec!["end"]),
        ("no number", br#"{"id":"a","video":"a","start":NaN}"#, vec![]),
        ("infinite", br#"{"id":"a","video":"a","end":1e999}"#, vec![]),
        ("times of frames", br#"{"id":"a","frames":"a","start":1}"#, vec!["start"]),
        ("split up", br#"{"id":"a","video":"a","split":".."}"#, vec!["\"..\"", "split"]),
        ("split down", br#"{"id":"a","video":"a","split":"a/b"}"#, vec!["\"a/b\"", "split"]),
        ("empty split", br#"{"id":"a","video":"a","split":""}"#, vec!["\"\"", "split"]),
        ("id up", br#"{"id":"../a","video":"a"}"#, vec!["../a"]),
        ("id with a line end", br#"{"id":"a\nb","video":"a"}"#, vec![r"a\nb"]),
        ("id with NUL", br#"{"id":"a\u0000b","video":"a"}"#, vec![r"a\0b"]),
        ("path with NUL", br#"{"id":"a","frames":"a\u0000b"}"#, vec![r"a\0b", "control characters"]),
        ("empty path", br#"{"id":"a","video":""}"#, vec!["\"\""]),
        ("twice", good.as_bytes(), vec!["line 1", "good"]),
    ];
    for (what, line, mut words) in table {
        words.extend(["mine.jsonl", "line 3"]);
        refused(what, json_lines([good.as_bytes(), b"\n\n", line, b"\n"].concat()), &words);
    }
    for (what, file) in [("empty", ""), ("blank", "\n \n\n")] {
        refused(what, json_lines(file), &["mine.jsonl", "no clips"]);
    }
}

/// CSL-Daily with these labels: one clip of each split, one of dev without frames.
fn csl_daily(labels: &[(&str, &[u8])]) -> Result<Vec<Split>> {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("CSL-Daily/sentence_label");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(root.path().join("CSL-Daily/sentence/frames_512x512/S1_P1_T0")).unwrap();
    let list = "name|split\nS1_P1_T0|train\nS000005_P0004_T00|dev\nS2_P1_T0|dev\nS3_P1_T0|test\n";
    fs::write(folder.join("split_1.txt"), list).unwrap();
    for (name, content) in labels {
        fs::write(folder.join(name), content).unwrap();
    }
    let of = |name| split(&dataset("csl-daily"), root.path(), name).map(|split| split.unwrap());
    ["train", "dev", "test"].into_iter().map(of).collect()
}

/// Written by Python 3.11, `pickle.dumps(labels, protocol=2)`:
///
/// ```python
/// {"info": [{"name": "S1_P1_T0", "label_gloss": ["你", "好"], "label_char": ["你", "好", "吗"], "length": 9},
///           {"name": "S2_P1_T0", "label_gloss": [], "label_char": ["天"]}, {"name": "S3_P1_T0", "label_char": ["a", "b"]}]}
/// ```
const CSL_PICKLE: &[u8] =
    b"\x80\x02}q\x00X\x04\x00\x00\x00infoq\x01]q\x02(}q\x03(X\x04\x00\x00\x00nameq\x04X\x08\x00\x00\x00S1_\
    P1_T0q\x05X\x0b\x00\x00\x00label_glossq\x06]q\x07(X\x03\x00\x00\x00\xe4\xbd\xa0q\x08X\x03\x00\x00\
    \x00\xe5\xa5\xbdq\x09eX\x0a\x00\x00\x00label_charq\x0a]q\x0b(h\x08h\x09X\x03\x00\x00\x00\xe5\x90\x97\
    q\x0ceX\x06\x00\x00\x00lengthq\x0dK\x09u}q\x0e(h\x04X\x08\x00\x00\x00S2_P1_T0q\x0fh\x06]q\x10h\x0a]q\
    \x11X\x03\x00\x00\x00\xe5\xa4\xa9q\x12au}q\x13(h\x04X\x08\x00\x00\x00S3_P1_T0q\x14h\x0a]q\x15(X\x01\
    \x00\x00\x00aq\x16X\x01\x00\x00\x00bq\x17eues.";

#[test]
fn csl_daily_by_its_table_or_its_pickle() {
    let table = "index|name|length|gloss|char|word\n0|S1_P1_T0|9|你 好|你 好 吗|你好 吗\n1|S2_P1_T0|4||天|天\n\
                 2|S3_P1_T0|3|x|a b|ab\n";
    for labels in [("video_map.txt", table.as_bytes()), ("csl2020ct_v2.pkl", CSL_PICKLE)] {
        let splits = csl_daily(&[labels]).unwrap_or_else(|e| panic!("{e}"));
        let clips = |split: usize| {
            let clips = splits[split].clips.iter();
            clips.map(|clip| (clip.id.clone(), clip.text.clone())).collect::<Vec<_>>()
        };
        let clip = |id: &str, text: Option<&str>| (id.to_owned(), text.map(str::to_owned));
        assert_eq!(clips(0), [clip("S1_P1_T0", Some("你好吗"))]);
        // No other clip takes the place of the one that most copies lack.
        assert_eq!(clips(1), [clip("S000005_P0004_T00", None), clip("S2_P1_T0", Some("天"))]);
        assert_eq!(clips(2), [clip("S3_P1_T0", Some("ab"))]);
        assert_eq!(splits[0].clips[0].gloss.as_deref(), Some("你 好"));
        let Media::Frames(frames) = &splits[0].clips[0].media else { panic!() };
        assert!(frames.ends_with("CSL-Daily/sentence/frames_512x512/S1_P1_T0"));
    }
    // The table counts where both are there.
    assert!(
        csl_daily(&[("video_map.txt", table.as_bytes()), ("csl2020ct_v2.pkl", b"cos\nsystem\n.")]).is_ok()
    );
    assert_eq!(dataset("csl-daily").language.as_deref(), Some("Chinese"));
}

#[test]
fn damaged_csl_daily_files_are_refused() {
    let class = b"\x80\x02cmy.annotations\nClip\n)\x81.";
    let system = b"cos\nsystem\n(Vtrue\ntR.";
    for (what, labels, words) in [
        (
            "class",
            ("csl2020ct_v2.pkl", &class[..]),
            &["csl2020ct_v2.pkl", "my.annotations.Clip", "nothing was run"][..],
        ),
        (
            "function",
            ("csl2020ct_v2.pkl", &system[..]),
            &["csl2020ct_v2.pkl", "os.system", "nothing was run"],
        ),
        ("list", ("csl2020ct_v2.pkl", &b"(lp0\n."[..]), &["csl2020ct_v2.pkl", "info"]),
        ("table", ("video_map.txt", &b"a|b\n1|2\n"[..]), &["video_map.txt", "line 1", "name, gloss, char"]),
        ("none", ("other.txt", &b""[..]), &["split_1.txt", "video_map.txt", "csl2020ct_v2.pkl"]),
        (
            "twice",
            ("video_map.txt", &b"name|gloss|char\nS1_P1_T0|x|a b\nS1_P1_T0|x|c d\n"[..]),
            &["video_map.txt, line 3", "S1_P1_T0 is there twice"],
        ),
        (
            "empty",
            ("video_map.txt", &b"name|gloss|char\nS1_P1_T0|x|\n"[..]),
            &["video_map.txt", "no clip of the split train has a sentence in it, e.g. S1_P1_T0"],
        ),
        (
            "no text",
            ("csl2020ct_v2.pkl", &b"(dVinfo\n(lp1\n(dVname\nVS1_P1_T0\nsVlabel_char\n(lp2\nI1\nasas."[..]),
            &["csl2020ct_v2.pkl, info[0].label_char", "not a text or a list of texts"],
        ),
    ] {
        refused(what, csl_daily(&[labels]), words);
    }
}

/// A corpus of a group's own: a manifest in a folder, no Rust.
#[test]
fn a_manifest_of_json_lines() {
    let root = tempfile::tempdir().unwrap();
    let manifest = r#"{"name": "own", "title": "Own", "homepage": "", "licence": "", "language": "Slovak",
        "layout": "json_lines", "text": {"lowercase": true, "final_dot": false}, "fps": 25.0, "folders": [""],
        "splits": [{"name": "train", "annotations": ["clips.jsonl"], "media": ["videos"]},
                   {"name": "dev", "also": "val", "annotations": ["clips.jsonl"], "media": ["videos"]}]}"#;
    fs::write(root.path().join("own.json"), manifest).unwrap();
    fs::create_dir(root.path().join("videos")).unwrap();
    let own = Manifests { folder: Some(root.path().to_owned()) };
    let own = Dataset::load(&own, "own").unwrap();
    let lines = |train: &str| {
        let line = |id: &str, video: &str, split: &str| {
            format!("{{\"id\": {id:?}, \"video\": {video:?}, \"text\": \"ahoj\", \"split\": {split:?}}}\n")
        };
        let text = line("a", train, "train") + &line("b", "b.mp4", "val");
        fs::write(root.path().join("clips.jsonl"), text).unwrap();
    };
    lines("a.mp4");
    let train = split(&own, root.path(), "train").unwrap().unwrap();
    assert_eq!(train.clips.iter().map(|clip| clip.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!(train.clips[0].media.path().ends_with("videos/a.mp4"));
    assert_eq!(split(&own, root.path(), "dev").unwrap().unwrap().clips[0].id, "b");
    // Media of a data set stay below its folder.
    lines("../../a.mp4");
    refused(
        "path",
        split(&own, root.path(), "train"),
        &["clips.jsonl", "line 1", "leads out of the data set"],
    );
}
