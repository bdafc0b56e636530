//! The command lines of the README typed where nothing is there: what is missing, and where it was looked for.

use crate::corpus::{empty, files, how2sign};
use crate::program::{Done, path, run, words};
use std::process::Command;

/// Whether this machine can use an NVIDIA GPU.
fn driver() -> bool {
    signclip_common::devices::driver().is_ok()
}

#[test]
fn extract_names_data_weights_and_gpu() {
    let place = empty();
    let done = run(place.path(), "extract", words("--dataset how2sign --gpus 0,1"));
    let data: &[&str] = &["how2sign", "$SIGNCLIP_DATA (not set)", "data/how2sign", "--root"];
    let weights: &[&str] = &["weight", "$SIGNCLIP_WEIGHTS (not set)", "--weights"];
    if driver() {
        done.exits(2).says(data).says(weights);
    } else {
        done.refuses(&[data, weights, &["NVIDIA driver", "libcuda.so.1", "--gpus cpu"]]);
    }
    assert!(files(place.path()).is_empty(), "nothing may be written");
}

#[test]
fn variables_are_looked_at_too() {
    let place = empty();
    let mut command = crate::program::command("extract");
    command.current_dir(place.path()).args(["--dataset", "how2sign", "--gpus", "cpu"]);
    command.env("SIGNCLIP_DATA", "/somewhere").env("SIGNCLIP_WEIGHTS", "/elsewhere");
    let done = crate::program::finish(command);
    done.refuses(&[&["/somewhere/how2sign", "data/how2sign"], &["/elsewhere", "weights"]]);
}

#[test]
fn data_is_found_in_its_places() {
    let place = empty();
    std::fs::create_dir(place.path().join("data")).expect("a folder");
    std::os::unix::fs::symlink(how2sign(), place.path().join("data/how2sign")).expect("a link");
    run(place.path(), "extract", words("--dataset how2sign --dry-run")).exits(0).says(&["data/how2sign"]);
}

#[test]
fn weight_files_are_named() {
    let place = empty();
    std::fs::create_dir(place.path().join("weights")).expect("a folder");
    let root = how2sign().display();
    let done = run(place.path(), "extract", words(&format!("--dataset how2sign --root {root} --gpus cpu")));
    done.refuses(&[
        &["weights/clip-vit-large-patch14/model.safetensors", "download"],
        &["weights/retinaface/Resnet50_Final.pth", "download"],
        &["weights/fan/2dfan2_alt.pth", "download"],
        &["weights/av-hubert/large_vox_iter5.pt", "download"],
    ]);
    let small =
        "--detector mobilenet0.25 --landmark-source retinaface5 --lip-encoder base --streams mouthing";
    let line = format!("--dataset how2sign --root {root} --gpus cpu {small}");
    run(place.path(), "extract", words(&line)).refuses(&[
        &["weights/retinaface/mobilenet0.25_Final.pth", "download"],
        &["weights/av-hubert/base_vox_iter5.pt", "download"],
    ]);
}

#[test]
fn train_names_features_and_language_model() {
    let place = empty();
    let done = run(place.path(), "train", words("--features cache/phoenix --gpus cpu"));
    done.refuses(&[
        &["cache/phoenix/train/store.json", "extract"],
        &["cache/phoenix/dev/store.json", "extract"],
        &["flan-t5-xl", "flan-t5-xl/config.json", "weights/flan-t5-xl/config.json", "--weights"],
    ]);
    assert!(files(place.path()).is_empty(), "nothing may be written");
}

#[test]
fn no_gpu_is_one_line() {
    if driver() {
        println!("skipped: this machine has an NVIDIA driver");
        return;
    }
    let place = empty();
    let features = crate::corpus::features().display();
    let gpu: &[&[&str]] = &[&["NVIDIA driver", "install"]];
    let root = crate::corpus::phoenix().display();
    run(place.path(), "extract", words(&format!("--dataset phoenix --root {root} --preset tiny --gpus 0")))
        .refuses(gpu);
    run(
        place.path(),
        "train",
        words(&format!("--features {features} --preset tiny --set head.streams=spatial --gpus 0")),
    )
    .refuses(gpu);
    run(place.path(), "evaluate", words("--run r --gpus 0")).refuses(gpu);
}

#[test]
fn programs_do_not_need_the_cuda_half() {
    for name in ["extract", "train", "evaluate"] {
        let mut command = Command::new("readelf");
        command.arg("-d").arg(path(name));
        let Ok(output) = command.output() else {
            println!("skipped: no readelf");
            return;
        };
        let needed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(needed.contains("libtorch_cpu.so"), "{name}: {needed}");
        assert!(!needed.contains("cuda") && !needed.contains("libcublas"), "{name}: {needed}");
    }
}

#[test]
fn help_and_version() {
    let place = empty();
    for name in ["extract", "train", "evaluate", "render-corpus"] {
        let help: Done = run(place.path(), name, ["--help"]);
        help.exits(0).says(&["Examples:"]);
        run(place.path(), name, ["--version"]).exits(0).says(&[env!("CARGO_PKG_VERSION")]);
    }
}
