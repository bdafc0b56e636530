//! `train` when something goes wrong in the middle: a damaged clip, a loss that explodes, a full disk.

use crate::corpus::{copy, empty, extract_phoenix, features, payloads, store, tree, verified};
use crate::program::{Done, TRAIN, finish, path, run, train, words};
use signclip_common::store::{StoreWriter, verify};
use signclip_train::training::checkpoint;
use std::path::Path;
use std::process::Command;

fn two_devices(place: &Path, arguments: &str) -> Done {
    let fixed = TRAIN.replace("--gpus cpu", "--gpus cpu,cpu");
    run(place, "train", words(&fixed).chain(words(arguments)))
}

#[test]
fn a_damaged_byte_is_named_with_its_clip() {
    let place = empty();
    let cache = place.path().join("cache");
    copy(features(), &cache);
    let spatial = cache.join("train/spatial-00000-00000.npy");
    let mut bytes = std::fs::read(&spatial).expect("a shard");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&spatial, bytes).expect("written");
    let clip = store(&cache, "train").clips.pop().expect("clips").id;
    let parts: &[&str] = &["train/spatial-00000-00000.npy", &clip, "not those that were written", "--only"];
    train(place.path(), "--features cache --run one").refuses(&[parts]);
    // The other device stops as well, and only the cause is reported.
    two_devices(place.path(), "--features cache --run two --set optimiser.batch_size=2").refuses(&[parts]);
    // The remedy: the clip is made again in its place, with the bytes it had.
    extract_phoenix(&cache, &format!("--only {clip}")).exits(0).says(&[&clip, "made again"]);
    verified(&cache);
    assert_eq!(payloads(&store(&cache, "train")), payloads(&store(features(), "train")));
    train(place.path(), "--features cache --run one").exits(0);
}

#[test]
fn a_shard_that_is_too_short_is_named_with_its_clip() {
    let place = empty();
    let cache = place.path().join("cache");
    copy(features(), &cache);
    let spatial = cache.join("train/spatial-00000-00000.npy");
    let bytes = std::fs::read(&spatial).expect("a shard");
    std::fs::write(&spatial, &bytes[..bytes.len() - 64]).expect("written");
    let clip = store(features(), "train").clips.pop().expect("clips").id;
    train(place.path(), "--features cache").refuses(&[&["spatial-00000-00000.npy", &clip, "rows"]]);
}

/// What counts padding is trained on several devices too: each sees the whole batch (train/tests/devices.rs compares
/// the values).
#[test]
fn padding_counts_on_several_devices() {
    let place = empty();
    let counted = "--set head.norm_over=all --set loss.vt_mean=all --set optimiser.epochs=1";
    two_devices(place.path(), &format!("--features {} {counted}", features().display())).exits(0);
}

/// Stopped by a loss above the bound, as by one that is not a number: named, kept, and repeatable from what was kept.
#[test]
fn a_loss_that_explodes_is_kept() {
    let place = empty();
    // The first step's loss is about 5; with this learning rate the second one's is far above.
    let line = format!(
        "--features {} --set optimiser.batch_size=6 --set optimiser.lr_visual=5 --set optimiser.lr_language=5 \
         --set optimiser.stop_above=20",
        features().display()
    );
    let kept = place.path().join("run/failed-step-1");
    let clips = store(features(), "train").clips;
    for (name, done) in [
        ("run", train(place.path(), &format!("{line} --run run"))),
        // What was kept is a run that stands before the step: it fails there again, with the same clips and loss.
        ("run/failed-step-1", train(place.path(), &format!("{line} --run run/failed-step-1"))),
    ] {
        let at = format!("kept in {name}/failed-step-1");
        done.refuses(&[&["step 1 (epoch 1)", "the loss is", "above optimiser.stop_above=20", &at]]);
        let error = done.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        let named = clips.iter().filter(|clip| error.contains(&clip.id)).count();
        assert_eq!(named, 6, "the clips of the batch\n{done}");
    }
    let again = kept.join("failed-step-1");
    for file in ["batch.safetensors", "checkpoints/step-00000001.safetensors"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).expect("what was kept");
        assert!(read(&kept) == read(&again), "{file}");
    }
    let readme = std::fs::read_to_string(kept.join("README.md")).expect("a page");
    assert!(readme.contains("--run run/failed-step-1 --config run/failed-step-1/settings.json"), "{readme}");
    // Not a number: nothing is above it, and no bound is needed.
    let nan = line.replace("stop_above=20", "stop_above=1e300").replace("=5 ", "=1e30 ");
    train(place.path(), &format!("{nan} --run nan")).refuses(&[&[" is NaN", "kept in nan/failed-step-"]]);
    let line = line.replace("stop_above=20", "stop_above=3");
    two_devices(place.path(), &format!("{line} --run two"))
        .refuses(&[&["step 0", "kept in two/failed-step-0"]]);
    let batch = place.path().join("two/failed-step-0/batch.safetensors");
    let (tensors, _) = checkpoint::load(&batch).expect("the batch");
    assert_eq!(tensors["spatial.lengths"].size(), [6], "the clips of both devices");
}

/// A disk that is full when a checkpoint is written: the one before it stays, and the run resumes from there.
#[test]
fn a_full_disk_spoils_no_checkpoint() {
    let place = empty();
    let line = format!("--features {} --set optimiser.epochs=1", features().display());
    train(place.path(), &format!("{line} --run whole")).exits(0);
    let size = |file: &Path| std::fs::metadata(file).expect("a file").len();
    let whole = size(&place.path().join("whole/checkpoints/step-00000001.safetensors"));
    let best = size(&place.path().join("whole/best.safetensors"));
    assert!(best < whole / 2, "the optimiser is the larger part");
    // Room for the best weights, none for a checkpoint; fails as a full disk does.
    let limited = |arguments: &str| {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", whole / 2 / 512);
        command.args(["-c", &script, "sh"]).arg(path("train")).args(words(TRAIN)).args(words(arguments));
        command.current_dir(place.path());
        finish(command)
    };
    let line = format!("--features {} --set optimiser.epochs=2 --run run", features().display());
    train(place.path(), &line).exits(0);
    let run = place.path().join("run");
    let newest = checkpoint::all(&run).expect("checkpoints").pop().expect("a checkpoint");
    std::fs::remove_file(&newest).expect("removed");
    let before = tree(&run.join("checkpoints"));
    assert_eq!(before.len(), 1);
    limited(&line).refuses(&[&["run/checkpoints/step-00000002.safetensors", "make room"]]);
    assert!(tree(&run.join("checkpoints")) == before, "the checkpoint before it");
    train(place.path(), &line).exits(0).says(&["resuming after epoch 1 of 2"]);
    assert!(newest.is_file());
}

/// Clips of one frame and of three thousand, in one batch with the others.
#[test]
fn very_short_and_very_long_clips() {
    let place = empty();
    let cache = place.path().join("cache");
    copy(features(), &cache);
    for split in ["train", "dev"] {
        let template = store(&cache, split);
        let (info, facts) = (template.info.clone(), template.clips[0].facts.clone());
        let mut writer = StoreWriter::open(&cache.join(split), info.clone(), 1).expect("a store");
        for frames in [1, 3000] {
            let mut clip = writer.begin().expect("a clip");
            for (stream, of) in &info.streams {
                let rows: Vec<f32> = (0..frames * of.dim).map(|i| (i as f32 * 0.37).sin()).collect();
                clip.append(stream, &rows).expect("rows");
            }
            clip.finish(&format!("frames{frames}"), frames, facts.clone()).expect("a clip");
        }
        drop(writer);
        assert_eq!(verify(&cache.join(split), |_| ()).expect("a store").problems, [""; 0]);
    }
    train(place.path(), "--features cache --run run --set optimiser.epochs=1").exits(0);
    two_devices(place.path(), "--features cache --run two --set optimiser.epochs=1").exits(0);
}
