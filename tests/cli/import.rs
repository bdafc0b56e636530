//! `extract import`: features that others made, with the names, types and shapes that SpaMo's scripts give them.

use crate::corpus::{empty, extract_phoenix, features, phoenix, store, verified};
use crate::program::{Done, extract, run, train, words};
use signclip_common::store::{MOTION, MOUTHING, SPATIAL, Store, StoreDtype};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The columns of both streams, as small networks make them.
const STREAMS: &str = "--stream spatial=clip-vit-large-patch14_feat_Phoenix14T/{split}/{id}_s2wrapping.npy \
     --stream motion=mae_feat_Phoenix14T/{split}/{id}_overlap-8.npy";

/// An array as `numpy.save` writes it.
fn save(path: &Path, descr: &str, shape: &str, payload: &[u8]) {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let bytes =
        [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), format!("{text:117}\n").as_bytes(), payload].concat();
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    std::fs::write(path, bytes).expect("written");
}

fn save_f32(path: &Path, rows: usize, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    save(path, "<f4", &format!("({rows}, {})", values.len() / rows), &bytes);
}

/// Spatial and motion features of the corpus as SpaMo's scripts save them, float32, and the store that they are of.
fn spamo() -> (&'static Path, &'static Path) {
    static MADE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    let (files, made) = MADE.get_or_init(|| {
        let place = empty().keep();
        let made = place.join("made");
        extract_phoenix(&made, "--streams spatial,motion --store-dtype f32").exits(0);
        for split in ["train", "dev", "test"] {
            let there = store(&made, split);
            for (clip, record) in there.clips.iter().enumerate() {
                for (stream, folder, ending) in [
                    (SPATIAL, "clip-vit-large-patch14_feat_Phoenix14T", "s2wrapping"),
                    (MOTION, "mae_feat_Phoenix14T", "overlap-8"),
                ] {
                    let rows = there.features(clip, stream).expect("rows");
                    let file = format!("files/{folder}/{split}/{}_{ending}.npy", record.id);
                    save_f32(&place.join(file), rows.rows, &rows.to_f32());
                }
            }
        }
        (place.join("files"), made)
    });
    (files, made)
}

/// A copy of SpaMo's files below `place/files`.
fn files(place: &Path) {
    crate::corpus::copy(spamo().0, &place.join("files"));
}

fn spatial_of(id: &str) -> String {
    format!("files/clip-vit-large-patch14_feat_Phoenix14T/train/{id}_s2wrapping.npy")
}

fn import(place: &Path, more: &str) -> Done {
    run(place, "extract", words(&format!("import files {more}")))
}

/// The corpus by its annotations alone: its pictures are not there.
fn annotations(place: &Path) -> PathBuf {
    let (from, to) = (phoenix().join("annotations"), place.join("texts/annotations"));
    crate::corpus::copy(&from, &to);
    place.join("texts")
}

/// Every clip has the rows of the store that the files were made of.
fn same(imported: &Store, made: &Store, streams: &[&str]) {
    assert_eq!(imported.clips.len(), made.clips.len());
    for (clip, record) in imported.clips.iter().enumerate() {
        let there = made.clips.iter().position(|other| other.id == record.id).expect("the same clip");
        for stream in streams {
            let [here, there] = [(imported, clip), (made, there)]
                .map(|(store, clip)| store.features(clip, stream).expect("rows").to_f32());
            assert_eq!(here, there, "{} {stream}", record.id);
        }
        let facts = |record: &signclip_common::store::ClipRecord| {
            (
                record.frames,
                record.facts.text.clone(),
                record.facts.gloss.clone(),
                record.facts.signer.clone(),
            )
        };
        assert_eq!(facts(record), facts(&made.clips[there]));
    }
}

/// Import, verification, status, training; and training joined with a mouthing store of our own.
#[test]
fn features_as_spamo_writes_them() {
    let place = empty();
    files(place.path());
    let root = annotations(place.path());
    let line = format!("--dataset phoenix --root {} --out cache {STREAMS}", root.display());
    import(place.path(), &line).exits(0).says(&["features: cache", "next:     train --features cache"]);
    verified(&place.path().join("cache"));
    for split in ["train", "dev", "test"] {
        let imported = store(&place.path().join("cache"), split);
        assert_eq!(imported.info.dtype, StoreDtype::F32);
        let from = imported.info.streams[MOTION].imported().expect("where they come from");
        assert_eq!(from, "mae_feat_Phoenix14T/{split}/{id}_overlap-8.npy");
        assert!(imported.clips.iter().all(|clip| clip.facts.source == "files" && !clip.facts.frames_unknown));
        same(&imported, &store(spamo().1, split), &[SPATIAL, MOTION]);
    }
    let status = run(place.path(), "extract", words("status cache --json")).exits(0).json();
    assert_eq!(status["train"]["done"], 12);
    assert_eq!(status["train"]["missing"], 0);
    assert_eq!(status["train"]["ranks"][0]["state"], "finished");
    // A second import has nothing to do, and it does not mind that files are gone by now.
    std::fs::remove_dir_all(place.path().join("files/mae_feat_Phoenix14T/test")).expect("removed");
    import(place.path(), &line).exits(0);
    train(place.path(), "--features cache --run alone --set optimiser.epochs=1").exits(0);
    let lips = place.path().join("lips");
    extract_phoenix(&lips, "--streams mouthing").exits(0);
    let joined = "--features cache --features lips --run joined --set optimiser.epochs=1 --set head.streams=spatial,mouthing";
    train(place.path(), joined).exits(0);
    // It was not made here: nothing can be made like it.
    let like = format!("--dataset phoenix --root {} --like cache --out like", phoenix().display());
    run(place.path(), "extract", words(&like)).refuses(&[&[
        "store.json",
        "streams.motion",
        "it was imported",
    ]]);
}

/// What is wrong with single files is listed, the others are stored, and the same command resumes once they are there.
#[test]
fn files_that_are_wrong() {
    let place = empty();
    files(place.path());
    let root = annotations(place.path());
    let line = format!("--dataset phoenix --root {} --split train --out cache {STREAMS}", root.display());
    let made = store(spamo().1, "train");
    let [missing, empty_one, nan, short, text] = std::array::from_fn(|i| made.clips[i].id.clone());
    let at = |id: &str| place.path().join(spatial_of(id));
    let good: Vec<(PathBuf, Vec<u8>)> = [&missing, &empty_one, &nan, &short, &text]
        .map(|id| (at(id), std::fs::read(at(id)).expect("a file")))
        .into();
    std::fs::remove_file(at(&missing)).expect("removed");
    // numpy.save of [], which the script writes where a video could not be read.
    save(&at(&empty_one), "<f8", "(0,)", &[]);
    let frames = |id: &str| made.clips.iter().find(|clip| clip.id == id).expect("a clip").frames;
    let dim = made.info.streams[SPATIAL].dim;
    let mut values = vec![0.5; frames(&nan) * dim];
    values[3 * dim + 7] = f32::NAN;
    save_f32(&at(&nan), frames(&nan), &values);
    save_f32(&at(&short), frames(&short) - 8, &vec![0.5; (frames(&short) - 8) * dim]);
    std::fs::write(at(&text), "no array").expect("written");
    let done = import(place.path(), &line);
    done.fails(&missing, &["no such file", "_s2wrapping.npy"])
        .fails(&empty_one, &["the array is empty"])
        .fails(&nan, &["row 3", "NaN"])
        .fails(&short, &["rows of the stream motion", "make the features of this clip again"])
        .fails(&text, &["not a NumPy file"]);
    let failures =
        std::fs::read_to_string(place.path().join("cache/train/failures-00000.jsonl")).expect("a list");
    assert_eq!(failures.lines().count(), 5, "{failures}");
    let status = run(place.path(), "extract", words("status cache --json")).exits(0).json();
    assert_eq!((&status["train"]["done"], &status["train"]["failed"]), (&7.into(), &5.into()));
    verified(&place.path().join("cache"));
    for (path, bytes) in good {
        std::fs::write(path, bytes).expect("written");
    }
    let done = import(place.path(), &format!("{line} --json")).exits(0).json();
    assert_eq!((&done["train"]["stored"], &done["train"]["already_done"]), (&5.into(), &7.into()));
    assert!(!place.path().join("cache/train/failures-00000.jsonl").exists());
    same(&store(&place.path().join("cache"), "train"), &made, &[SPATIAL, MOTION]);
    // Features that were made anew under the same names.
    save_f32(&at(&short), frames(&short), &vec![0.5; frames(&short) * (dim - 1)]);
    import(place.path(), &line).refuses(&[&["_s2wrapping.npy", "columns of the stream spatial"]]);
}

#[test]
fn folders_that_are_refused() {
    let place = empty();
    files(place.path());
    let root = annotations(place.path());
    let line = format!("--dataset phoenix --root {} --split train --out cache", root.display());
    let made = store(spamo().1, "train");
    let (id, frames) = (&made.clips[4].id, made.clips[4].frames);
    save_f32(&place.path().join(spatial_of(id)), frames, &vec![0.5; frames * 3]);
    let whole = format!("{line} {STREAMS}");
    let wrong = format!("{id}_s2wrapping.npy");
    import(place.path(), &whole).refuses(&[&[
        &wrong,
        "3 columns of the stream spatial",
        "one stream has one width",
    ]]);
    assert!(!place.path().join("cache/train").exists());
    import(place.path(), &format!("{line} --stream spatial={{id}}.npy"))
        .refuses(&[&["files: none of 12 clips has usable features; of ", ".npy: no such file"]]);
    let twice = format!("{line} --stream a={{id}}.npy --stream a={{id}}.npy");
    import(place.path(), &twice).refuses(&[&["--stream a", "given twice"]]);
    let missing = run(place.path(), "extract", words(&format!("import nowhere {line} {STREAMS}")));
    missing.refuses(&[&["nowhere", "no such folder"]]);
    let outside = import(place.path(), &format!("{line} --stream spatial=../{{id}}.npy"));
    outside.exits(2).says(&["leads out of the folder"]);
}

/// Windows alone do not say how many frames there are: the pictures do where they are there; else the store says that it
/// does not know, and joins a store that does.
#[test]
fn motion_alone() {
    let place = empty();
    files(place.path());
    let root = annotations(place.path());
    let stream = "--stream motion=mae_feat_Phoenix14T/{split}/{id}_overlap-8.npy";
    let with = format!("--dataset phoenix --root {} --out with {stream}", phoenix().display());
    import(place.path(), &with).exits(0);
    same(&store(&place.path().join("with"), "train"), &store(spamo().1, "train"), &[MOTION]);
    let without = format!("--dataset phoenix --root {} --out without {stream}", root.display());
    import(place.path(), &without).exits(0).says(&["how many frames they have is not known"]);
    verified(&place.path().join("without"));
    let imported = store(&place.path().join("without"), "train");
    for clip in &imported.clips {
        assert!(clip.facts.frames_unknown, "{}", clip.id);
        assert_eq!(clip.frames, 16 + 8 * (clip.streams[MOTION].rows - 1), "{}", clip.id);
    }
    for order in ["--features {} --features without", "--features without --features {}"] {
        let order = order.replace("{}", &features().display().to_string());
        let run = if order.starts_with("--features without") { "second" } else { "first" };
        train(place.path(), &format!("{order} --run {run} --set optimiser.epochs=1")).exits(0);
    }
    // Rows that no number of frames of the other store makes.
    let id = &imported.clips[0].id;
    let dim = imported.info.streams[MOTION].dim;
    let npy = place.path().join(format!("files/mae_feat_Phoenix14T/train/{id}_overlap-8.npy"));
    save_f32(&npy, 40, &vec![0.5; 40 * dim]);
    let other = format!("--dataset phoenix --root {} --out other {stream}", root.display());
    import(place.path(), &other).exits(0);
    let joined = format!("--features {} --features other --run third", features().display());
    train(place.path(), &joined).refuses(&[&[&format!("clip {id:?}"), "328 frames"]]);
}

/// A list of sentences without any media, and where features in float16 of six columns are, all 1.0.
fn own(place: &Path) {
    let clip = |id: &str, split: &str| {
        format!("{{\"id\": \"{id}\", \"text\": \"ein satz {id}\", \"split\": \"{split}\"}}\n")
    };
    let list = ["a", "b", "c", "d"].map(|id| clip(id, "train")).concat() + &clip("e", "dev");
    std::fs::write(place.join("own.jsonl"), list).expect("a list");
    for (id, rows) in [("a", 20), ("b", 17), ("c", 25), ("d", 30), ("e", 21)] {
        let path = place.join(format!("files/{id}.npy"));
        save(&path, "<f2", &format!("({rows}, 6)"), &[0x00, 0x3c].repeat(rows * 6));
    }
}

const OWN: &str = "--dataset own.jsonl --language German --stream spatial={id}.npy --out cache";

/// The reason is that of the first clip where it is the same for all.
#[test]
fn nothing_is_usable() {
    let place = empty();
    own(place.path());
    let line = "--dataset own.jsonl --language German --out cache";
    import(place.path(), &format!("{line} --stream spatial={{id}}_{{start}}.npy")).refuses(&[&[
        "none of 5 clips has usable features; of \"a\"",
        "{start}",
        "take {start} out",
    ]]);
    for id in ["a", "b", "c", "d", "e"] {
        save_f32(&place.path().join(format!("files/{id}_m.npy")), 9, &[0.5; 36]);
    }
    let motion = "--stream spatial={id}.npy --stream motion={id}_m.npy";
    import(place.path(), &format!("{line} {motion}")).refuses(&[&[
        "files/a_m.npy: 9 rows of the stream motion, where 20 frames (by its spatial) make 1",
        "make the features of this clip again",
    ]]);
    for id in ["a", "b", "c", "d", "e"] {
        save(&place.path().join(format!("files/{id}.npy")), "<f8", "(20, 6)", &[0; 960]);
    }
    import(place.path(), OWN)
        .refuses(&[&["files/a.npy, dtype: the numbers are '<f8'", "float16 or float32"]]);
}

/// Files that have changed since they were imported are seen, whatever their size; files that are gone do not matter.
#[test]
fn files_that_change() {
    let place = empty();
    own(place.path());
    let a = place.path().join("files/a.npy");
    let good = std::fs::read(&a).expect("a file");
    import(place.path(), OWN).exits(0);
    let write = |value: &[u8; 2]| save(&a, "<f2", "(20, 6)", &value.repeat(120));
    write(&[0x00, 0x40]);
    import(place.path(), OWN).refuses(&[&["cache/train, clip \"a\", source", "other values in files/a.npy"]]);
    import(place.path(), &format!("{OWN} --only a")).refuses(&[&["clip \"a\", source", "other values"]]);
    write(&[0x00, 0x7e]);
    import(place.path(), OWN).refuses(&[&["clip \"a\", source", "row 0", "NaN"]]);
    save(&a, "<f8", "(120,)", &[0; 960]);
    import(place.path(), OWN).refuses(&[&["clip \"a\", source", "[120] instead of [rows, dim]"]]);
    // The same again, if later.
    std::fs::write(&a, good).expect("written");
    import(place.path(), OWN).exits(0).says(&["features: cache"]);
    // Another network's, in the split that is imported second.
    std::fs::remove_dir_all(place.path().join("cache/dev")).expect("removed");
    save(&place.path().join("files/e.npy"), "<f2", "(21, 5)", &[0x00, 0x3c].repeat(105));
    import(place.path(), &format!("{OWN} --split dev")).refuses(&[&[
        "files/e.npy, shape: 5 columns of the stream spatial, where cache/train has 6",
        "one stream has one width",
    ]]);
    std::fs::remove_dir_all(place.path().join("files")).expect("removed");
    std::fs::create_dir(place.path().join("files")).expect("an empty folder");
    import(place.path(), &format!("{OWN} --split train")).exits(0).says(&["next:"]);
}

/// A store keeps the type that it was begun with.
#[test]
fn types_of_files_that_come_later() {
    let place = empty();
    own(place.path());
    let file = |id: &str| place.path().join(format!("files/{id}.npy"));
    std::fs::remove_file(file("c")).expect("removed");
    import(place.path(), OWN).exits(1);
    save_f32(&file("c"), 25, &[0.1; 150]);
    import(place.path(), OWN).refuses(&[&[
        "files/c.npy, dtype: float32, where the store cache/train was begun with files of float16",
        "--out",
    ]]);
    // Float16 fits into a store of float32.
    let other = OWN.replace("--out cache", "--out other");
    import(place.path(), &other).exits(0);
    assert_eq!(store(&place.path().join("other"), "train").info.dtype, StoreDtype::F32);
    std::fs::remove_file(file("c")).expect("removed");
    import(place.path(), &format!("{other} --only a")).exits(0);
    import(place.path(), &other).exits(0);
}

/// Sentences without any media, and features in float16 under a name of one's own.
#[test]
fn own_features() {
    let place = empty();
    own(place.path());
    import(place.path(), OWN).exits(0);
    let train_split = store(&place.path().join("cache"), "train");
    assert_eq!(train_split.info.dtype, StoreDtype::F16);
    assert_eq!(train_split.clips.iter().map(|clip| clip.frames).collect::<Vec<_>>(), [20, 17, 25, 30]);
    verified(&place.path().join("cache"));
    run(place.path(), "extract", words("status cache --dataset own.jsonl"))
        .exits(0)
        .says(&["4 of 4 clips done"]);
    train(place.path(), "--features cache --run run --set optimiser.epochs=1").exits(0);
    // Clips without media are nothing to extract.
    extract(place.path(), "--dataset own.jsonl --out other")
        .refuses(&[&["own.jsonl, line 1", "exactly one of"]]);
    assert!(train_split.features(0, MOUTHING).is_none());
}
