//! Pipes, sockets, devices and endless files in place of every file that is read: one line that names them, and an end. And
//! links in place of those that are written.

use crate::corpus::{copy, empty, extract_phoenix, features, files, ids, phoenix, store, verified};
use crate::hugging_face::write_model;
use crate::program::{Done, TRAIN, command, extract, finish, path, run, words};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is put in a file's place, with a part of what is said of it.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Pipe, "it is a named pipe"),
    (Kind::Socket, "it is a socket"),
    (Kind::Device, "it is a device"),
    (Kind::Endless, "more than"),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pipe,
    Socket,
    Device,
    Endless,
}

/// Put one at `path`.
fn put(kind: Kind, path: &Path) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    match kind {
        Kind::Pipe => assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success()),
        Kind::Socket => {
            // An address has at most 108 bytes.
            let place = empty();
            drop(UnixListener::bind(place.path().join("s")).expect("a socket"));
            fs::rename(place.path().join("s"), path).expect("on one file system");
        }
        Kind::Device => symlink("/dev/zero", path).expect("a link"),
        // It takes no room on the disk.
        Kind::Endless => File::create(path).expect("a file").set_len(100 << 30).expect("enlarged"),
    }
}

/// Run `name`, which must end within 20 seconds and 1 GiB of memory of its own.
fn limited(place: &Path, name: &str, line: &str) -> Done {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -d 1048576; exec timeout 20 \"$@\"", "sh"]).arg(path(name));
    command.args(words(line)).current_dir(place);
    finish(command)
}

#[test]
fn files_that_a_program_begins_with() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    let (model, features) = ("weights/flan-t5-xl", features().display());
    write_model(&at(model));
    fs::write(at("good.txt"), "a b c\n").expect("a text");
    let extract = "--preset tiny --gpus cpu --streams spatial";
    let tiny = format!("{TRAIN} --features {features} --run run --check");
    let large = format!(
        "--features {features} --run run --gpus cpu --weights weights --set head.streams=spatial --set head.d=32 --check"
    );
    let phoenix = format!("--dataset phoenix --root {} --gpus cpu --streams spatial", phoenix().display());
    let inputs = [
        ("list.jsonl", "extract", format!("{extract} --dataset list.jsonl --out out")),
        ("face.pth", "extract", "convert face.pth".to_owned()),
        ("w/clip-vit-large-patch14/model.safetensors", "extract", format!("{phoenix} --weights w --out out")),
        ("settings.json", "train", format!("{tiny} --config settings.json")),
        ("weights/flan-t5-xl/tokenizer.json", "train", large.clone()),
        ("weights/flan-t5-xl/config.json", "train", large.clone()),
        ("adapter/adapter_config.json", "train", format!("{large} --set language_model.adapter=adapter")),
        ("hyp.txt", "evaluate", "score hyp.txt good.txt".to_owned()),
    ];
    fs::create_dir_all(at("adapter")).expect("a folder");
    fs::write(at("adapter/adapter_model.safetensors"), "").expect("a file");
    for (name, program, line) in &inputs {
        let before = fs::read(at(name)).ok();
        for (kind, said) in [KINDS[0], KINDS[3]] {
            put(kind, &at(name));
            // Weights may be of any size; what is in them is wrong.
            let weights = name.ends_with("safetensors") || name.ends_with("pth");
            let said = if kind == Kind::Endless && weights { "header" } else { said };
            let file = Path::new(name).file_name().and_then(|n| n.to_str()).expect("a name");
            limited(place.path(), program, line).refuses(&[&[file, said]]);
        }
        fs::remove_file(at(name)).expect("removed");
        before.into_iter().for_each(|bytes| fs::write(at(name), bytes).expect("restored"));
    }
    assert!(!at("run").exists(), "a run was begun");
    // With whole files the same commands work.
    limited(place.path(), "train", &large).exits(0);
}

#[test]
fn files_of_a_store() {
    let place = empty();
    let out = place.path().join("features");
    copy(features(), &out);
    let train = format!("{TRAIN} --features features --run run --check");
    for name in ["train/store.json", "train/clips-00000.jsonl", "train/spatial-00000-00000.npy"] {
        let before = fs::read(out.join(name)).expect("a file");
        for (kind, said) in [KINDS[0], KINDS[3]] {
            put(kind, &out.join(name));
            let shard = name.ends_with("npy");
            let said = if kind == Kind::Endless && shard { "header" } else { said };
            limited(place.path(), "train", &train).refuses(&[&[name, said]]);
            let done = limited(place.path(), "extract", "--verify --out features");
            assert_ne!(done.code(), Some(0), "{done}");
            done.says(&[name, said]);
        }
        fs::remove_file(out.join(name)).expect("removed");
        fs::write(out.join(name), before).expect("restored");
    }
    limited(place.path(), "train", &train).exits(0);
}

/// Videos, pictures and landmarks: the clip fails, the others are stored.
#[test]
fn files_of_clips() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    let clip = &files(&phoenix().join("features/fullFrame-210x260px/test"))[0];
    copy(clip, &at("good"));
    let name = clip.file_name().expect("a name").display();
    let of_clip = &phoenix().join(format!("landmarks/test/{name}.npy"));
    fs::create_dir_all(at("landmarks")).expect("a folder");
    fs::copy(of_clip, at("landmarks/good.npy")).expect("a copy");
    let mut list = vec![json!({"id": "good", "frames": "good"})];
    let mut said = Vec::new();
    for (kind, part) in KINDS {
        let name = |what: &str| format!("{what}-{}", kind as usize);
        copy(&at("good"), &at(&name("pictures")));
        put(kind, &files(&at(&name("pictures")))[1]);
        put(kind, &at(&format!("{}.mp4", name("video"))));
        put(kind, &at(&format!("landmarks/{}.npy", name("points"))));
        for what in ["pictures", "video", "points"] {
            let media = match what {
                "video" => json!({"id": name(what), "video": format!("{}.mp4", name(what))}),
                "points" => json!({"id": name(what), "frames": "good"}),
                _ => json!({"id": name(what), "frames": name(what)}),
            };
            fs::copy(of_clip, at(&format!("landmarks/{}.npy", name("pictures")))).expect("a copy");
            list.push(media);
            let part = match (what, kind) {
                ("points", Kind::Endless) => "longer than landmarks",
                ("video", _) => "",
                _ => part,
            };
            said.push((name(what), part));
        }
    }
    list.push(json!({"id": "folder", "frames": "good"}));
    fs::create_dir_all(at("landmarks/folder.npy")).expect("a folder");
    said.push(("folder".to_owned(), "a folder is where a file should be"));
    let lines: String = list.iter().map(|line| format!("{line}\n")).collect();
    fs::write(at("list.jsonl"), lines).expect("a list");
    let line = "--preset tiny --gpus cpu --dataset list.jsonl --landmarks landmarks --out out";
    let done = limited(place.path(), "extract", line);
    for (id, part) in &said {
        done.fails(id, &[part]);
    }
    assert_eq!(ids(&store(&at("out"), "all")), ["good"]);
    verified(&at("out"));
}

/// Whatever this program would write to is refused where it is a link, and what the link points to stays as it is. The
/// folder itself may be one.
#[test]
fn links_where_a_store_is_written() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    fs::create_dir_all(at("disk")).expect("a folder");
    symlink(at("disk"), at("out")).expect("a link");
    extract_phoenix(&at("out"), "--split test").exits(0);
    verified(&at("out"));
    fs::write(at("victim"), "precious").expect("a file");
    for name in [
        "test/spatial-00000-00000.npy",
        "test/mouthing-00000-00000.npy",
        "test/clips-00000.jsonl",
        "test/.lock-00000",
        "test/.lock-index",
        "extract.log.jsonl",
    ] {
        let file = at("disk").join(name);
        let kept = at("kept");
        assert!(file.is_file(), "{name}: {:?} {:?}", files(&at("disk")), files(&at("disk/test")));
        fs::rename(&file, &kept).expect("renamed");
        for target in ["kept", "victim"] {
            // An index that is another file is damaged, which is said first.
            if target == "victim" && !name.contains("lock") && !name.contains("log") {
                continue;
            }
            symlink(at(target), &file).expect("a link");
            extract_phoenix(&at("out"), "--split test").refuses(&[&[
                name,
                "a symbolic link",
                "remove the link",
            ]]);
            fs::remove_file(&file).expect("removed");
        }
        fs::rename(&kept, &file).expect("renamed");
    }
    assert_eq!(fs::read(at("victim")).expect("a file"), b"precious");
    extract_phoenix(&at("out"), "--split test").exits(0);
    verified(&at("out"));

    // The list of failures is added to.
    fs::write(at("list.jsonl"), "{\"id\": \"a\", \"video\": \"nothing.mp4\"}\n").expect("a list");
    fs::write(at("nothing.mp4"), "no video").expect("a file");
    fs::create_dir_all(at("own/all")).expect("a folder");
    symlink(at("absent"), at("own/all/failures-00000.jsonl")).expect("a link");
    let done = extract(place.path(), "--dataset list.jsonl --streams spatial --out own");
    done.refuses(&[&["failures-00000.jsonl", "a symbolic link"]]);
    assert!(!at("absent").exists());
}

#[test]
fn links_where_a_run_is_written() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    fs::write(at("victim"), "precious\n").expect("a file");
    let features = features().display();
    for name in ["log.jsonl", "train.log.jsonl", ".lock"] {
        for target in ["victim", "absent"] {
            let folder = at(&format!("run{name}{target}"));
            fs::create_dir_all(&folder).expect("a folder");
            symlink(at(target), folder.join(name)).expect("a link");
            let line =
                format!("{TRAIN} --features {features} --run {} --set optimiser.epochs=1", folder.display());
            run(place.path(), "train", words(&line)).refuses(&[&[
                name,
                "a symbolic link",
                "remove the link",
            ]]);
            assert_eq!(fs::read(at("victim")).expect("a file"), b"precious\n");
            assert!(!at("absent").exists(), "{name}");
        }
    }
    // The run's folder itself may be a link.
    fs::create_dir_all(at("disk")).expect("a folder");
    symlink(at("disk"), at("run")).expect("a link");
    let line = format!("{TRAIN} --features {features} --run run --set optimiser.epochs=1");
    run(place.path(), "train", words(&line)).exits(0);
    assert!(at("disk/best.safetensors").is_file());
}

/// A shard that somebody cuts off while a training reads it: no signal without a word.
#[test]
fn a_shard_that_is_cut_off_during_the_training() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    copy(features(), &at("cache"));
    let mut command = command("train");
    command.current_dir(place.path()).args(words(TRAIN)).stdout(Stdio::null()).stderr(Stdio::piped());
    command
        .args(words("--features cache --run run --set optimiser.epochs=100000 --set validate_every=100000"));
    let child = command.spawn().expect("train starts");
    let begun = Instant::now();
    while fs::metadata(at("run/log.jsonl")).map_or(0, |log| log.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no step after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let shard = at("cache/train/spatial-00000-00000.npy");
    File::options().write(true).open(&shard).expect("a shard").set_len(0).expect("cut off");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let part = "train/spatial-00000-00000.npy: became shorter while it was read";
    assert!(errors.len() == 1 && errors[0].contains(part) && errors[0].contains("; "), "{said}");
}

/// What is wrong with a run's tokenizer is said of its file, and a folder for temporary files that is not there of TMPDIR.
#[test]
fn tokenizers_and_temporary_folders() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    let features = features().display();
    let line = format!("{TRAIN} --features {features} --run run --set optimiser.epochs=1");
    run(place.path(), "train", words(&line)).exits(0);
    let file = at("run/tokenizer.json");
    let whole = fs::read(&file).expect("a tokenizer");
    let whole: Value = serde_json::from_slice(&whole).expect("JSON");
    let with = |change: fn(&mut Value), parts: &[&str]| {
        let mut json = whole.clone();
        change(&mut json);
        fs::write(&file, json.to_string()).expect("written");
        let parts = [&["run/tokenizer.json"], parts].concat();
        run(place.path(), "evaluate", words("--run run --split test --gpus cpu")).refuses(&[&parts]);
        fs::write(&file, whole.to_string()).expect("written");
    };
    let beyond = |json: &mut Value| {
        let words = json["model"]["vocab"].as_object_mut().expect("words");
        *words.values_mut().last().expect("a word") = json!(1_000_000);
    };
    with(beyond, &["vocabulary", "the id 1000000"]);
    let nowhere = |json: &mut Value| json["post_processor"]["special_tokens"] = json!({});
    with(nowhere, &["post_processor", "its template adds"]);

    let without = |name: &str, line: &str| {
        let mut command = command(name);
        command.current_dir(place.path()).env("TMPDIR", at("nowhere")).args(words(line));
        finish(command)
    };
    let clip = files(&files(&phoenix().join("features/fullFrame-210x260px"))[0])[0].display().to_string();
    let done = without("translate", &format!("{clip} --run run --gpus cpu"));
    done.refuses(&[&["nowhere, TMPDIR: ", "set TMPDIR"]]);
    let root = phoenix().display();
    let calibrate = format!(
        "--preset tiny --gpus cpu --streams spatial --dataset phoenix --root {root} --dry-run --calibrate"
    );
    without("extract", &calibrate).refuses(&[&["nowhere, TMPDIR: ", "set TMPDIR"]]);
}
