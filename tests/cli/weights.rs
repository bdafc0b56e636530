//! Weight files that cannot be used: said in one line, and no store is made with them.

use crate::corpus::{empty, phoenix};
use crate::language_model::torch_file;
use crate::program::{run, words};
use std::path::Path;
use tch::{Device, Kind, Tensor};

const FILE: &str = "clip-vit-large-patch14/model.safetensors";

/// A safetensors file with these tensors, all zero.
fn safetensors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let begin = end;
        end += 4 * shape.iter().product::<usize>();
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] });
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(&header);
    bytes.resize(bytes.len() + end, 0);
    bytes
}

#[track_caller]
fn refused(weights: &[u8], parts: &[&str]) {
    let place = empty();
    let path = place.path().join("weights").join(FILE);
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    std::fs::write(&path, weights).expect("a weight file");
    let root = phoenix().display();
    let line = format!("--dataset phoenix --root {root} --gpus cpu --out out --streams spatial");
    let done = run(place.path(), "extract", words(&line));
    let file = format!("weights/{FILE}");
    done.refuses(&[&[&[file.as_str()], parts].concat()]);
    assert!(done.stderr.lines().all(|l| l.len() < 1000), "a message is for reading\n{done}");
    // With the right file the same command must be able to begin.
    assert!(no_store(&place.path().join("out")), "a store was described by weights that do not load");
}

fn no_store(out: &Path) -> bool {
    ["train", "dev", "test"].iter().all(|split| !out.join(split).exists())
}

#[test]
fn empty_and_truncated() {
    refused(b"", &["the file is empty", "download it again"]);
    let whole = safetensors(&[("vision_model.embeddings.class_embedding", &[1024])]);
    for end in [4, 30, whole.len() - 20] {
        refused(&whole[..end], &["header", "not a complete safetensors file", "download it again"]);
    }
}

/// A clone of the hub may have PyTorch's own file alone: it is read, and what is wrong with it is said of it.
#[test]
fn pytorch_model_alone() {
    let place = empty();
    let folder = place.path().join("weights/clip-vit-large-patch14");
    std::fs::create_dir_all(&folder).expect("a folder");
    let name = "vision_model.embeddings.class_embedding".to_owned();
    let tensors = vec![(name, Tensor::zeros([1024], (Kind::Float, Device::Cpu)))];
    std::fs::write(folder.join("pytorch_model.bin"), torch_file(&tensors)).expect("weights");
    let root = phoenix().display();
    let line = format!("--dataset phoenix --root {root} --gpus cpu --out out --streams spatial");
    let file = "weights/clip-vit-large-patch14/pytorch_model.bin";
    run(place.path(), "extract", words(&line)).refuses(&[&[file, "missing", "another architecture"]]);
    let report = run(place.path(), "extract", words("doctor")).exits(0).stdout.clone();
    assert!(report.contains("pytorch_model.bin in its place"), "{report}");
}

#[test]
fn git_lfs_pointer() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1710540580\n";
    refused(pointer.as_bytes(), &["Git LFS pointer", "git lfs pull"]);
}

#[test]
fn another_format() {
    let zip = [b"PK\x03\x04".as_slice(), &[0; 500]].concat();
    refused(&zip, &["archive"]);
    refused(b"<!DOCTYPE html><html>Not found</html>", &["not a complete safetensors file"]);
}

#[test]
fn another_architecture() {
    let bert = safetensors(&[("bert.embeddings.word_embeddings.weight", &[4, 8])]);
    let missing =
        ["keys", "missing: vision_model.", "1 key not part of this network: bert.", "another architecture"];
    refused(&bert, &missing);
    let base = safetensors(&[("vision_model.embeddings.class_embedding", &[768])]);
    refused(
        &base,
        &["1 key of another shape: vision_model.embeddings.class_embedding [768] where [1024] is wanted"],
    );
}
