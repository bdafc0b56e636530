//! Weights: what is wrong with a file is named in one line, and nothing crashes.

#![allow(clippy::disallowed_methods)]

use half::{bf16, f16};
use signclip_common::Result;
use signclip_common::safetensors_file::{SafetensorsFile, write};
use signclip_common::tensor_file::open_all;
use signclip_common::weights::{Init, Part, Weights};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const CPU: Device = Device::Cpu;

/// A safetensors file by hand: names, types, shapes, payload bytes.
fn file(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let (mut table, mut payload) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let begin = payload.len();
        payload.extend_from_slice(bytes);
        let entry =
            serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, payload.len()] });
        table.insert((*name).to_owned(), entry);
    }
    with_header(serde_json::Value::from(table).to_string().as_bytes(), &payload)
}

fn with_header(header: &[u8], payload: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, payload].concat()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn small() -> Vec<u8> {
    file(&[
        ("a.weight", "F32", &[2, 3], f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("a.bias", "F32", &[2], f32s(&[0.5, -0.5])),
        ("head.scale", "F32", &[], f32s(&[2.0])),
    ])
}

/// A network of these tensors.
fn build(path: &Path, ignore: &[&str], wanted: &[(&str, &[i64])]) -> Result<Vec<Tensor>> {
    Weights::open(path, CPU, Kind::Float)?
        .build(ignore, |part| wanted.iter().map(|(name, shape)| part.get(name, shape)).collect())
}

#[track_caller]
fn refused<T>(what: &str, result: Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("{what}: no error") };
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{what}: {message}");
    for word in words {
        assert!(message.contains(word), "{what}: {word:?} is not in: {message}");
    }
}

#[test]
fn every_wrong_key_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    fs::write(&path, small()).unwrap();
    let all: [(&str, &[i64]); 3] = [("a.weight", &[2, 3]), ("a.bias", &[2]), ("head.scale", &[])];
    assert_eq!(
        build(&path, &[], &all).unwrap()[0],
        Tensor::from_slice2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]])
    );
    assert_eq!(build(&path, &["head."], &all[..2]).unwrap().len(), 2);
    let wrong: [(&str, &[i64]); 3] = [("a.weight", &[3, 2]), ("b.weight", &[1]), ("b.bias", &[1])];
    refused(
        "all",
        build(&path, &["other."], &wrong),
        &[
            "x.safetensors",
            "2 keys missing: b.weight, b.bias",
            "1 key of another shape: a.weight [2, 3] where [3, 2] is wanted",
            "2 keys not part of this network: a.bias, head.scale",
        ],
    );
    let weights = Weights::open(&path, CPU, Kind::Float).unwrap();
    let skipping = |part: &Part| {
        let a = part.sub("a");
        assert!(a.has("bias") && !a.has("gain") && a.path("bias") == "a.bias");
        a.skip("bias");
        a.get("weight", &[2, 3])
    };
    assert_eq!(weights.build(&["head"], skipping).unwrap().size(), [2, 3]);
}

#[test]
fn broken_files_are_refused() {
    let good = small();
    let entry = |shape: &str, offsets: &str| {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        with_header(header.as_bytes(), &[0; 16])
    };
    let pair = |second: &str| {
        let header = format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#
        );
        with_header(header.as_bytes(), &[0; 16])
    };
    let header_end = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec();
    let mut huge = good.clone();
    huge[..8].fill(0xff);
    let table: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("pointer", pointer, &["Git LFS pointer", "git lfs pull"]),
        ("empty", vec![], &["empty", "download"]),
        ("three bytes", vec![1, 2, 3], &["header"]),
        ("only a length", good[..8].to_vec(), &["header"]),
        ("half a header", good[..header_end / 2].to_vec(), &["header"]),
        ("no payload", good[..header_end].to_vec(), &["header"]),
        ("half a payload", good[..good.len() - 5].to_vec(), &["header"]),
        ("payload too long", [&good[..], &[0]].concat(), &["header"]),
        ("length u64::MAX", huge, &["header"]),
        ("garbage", (0..999u32).map(|i| (i * i % 251) as u8).collect(), &["header"]),
        ("a zip", b"PK\x03\x04 and so on, for a while".to_vec(), &["header", "convert"]),
        ("not JSON", with_header(b"{\"a\"\n\n:", &[]), &["header"]),
        ("overlap", pair("[4,12]"), &["header"]),
        ("same place", pair("[0,8]"), &["header"]),
        ("hole", pair("[12,20]"), &["header"]),
        ("backwards", pair("[16,8]"), &["header"]),
        ("beyond the end", pair("[8,18446744073709551615]"), &["header"]),
        ("shape larger than the data", entry("[5]", "[0,16]"), &["header"]),
        ("shape overflows", entry("[4294967296,4294967296]", "[0,16]"), &["header"]),
        ("negative shape", entry("[-4]", "[0,16]"), &["header"]),
        (
            "unknown type",
            with_header(br#"{"a":{"dtype":"X\n9","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]),
            &["header"],
        ),
        (
            "8-bit float",
            with_header(br#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#, &[0; 4]),
            &[", a:", "F32"],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    for (what, bytes, words) in table {
        fs::write(&path, bytes).unwrap();
        refused(what, SafetensorsFile::open(&path), &[words, &["x.safetensors"]].concat());
        // What begins as a zip is taken for a PyTorch checkpoint, whatever its name.
        let words = if what == "a zip" { &["archive", "download"] } else { words };
        refused(what, Weights::open(&path, CPU, Kind::Float).map(|_| ()), words);
    }
    // A shape that is no size of anything, with no bytes.
    fs::write(
        &path,
        with_header(br#"{"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}"#, &[]),
    )
    .unwrap();
    refused("negative as i64", build(&path, &[], &[("a", &[0, 1])]), &[]);
    refused("absent", build(&folder.path().join("no.safetensors"), &[], &[]), &["no.safetensors"]);
}

#[test]
fn shards_are_found_by_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let wanted: [(&str, &[i64]); 2] = [("a", &[1]), ("b", &[1])];
    let index = |second: &str| {
        serde_json::json!({ "metadata": {}, "weight_map": { "a": "one.safetensors", "b": second } })
            .to_string()
    };
    refused("nothing", open_all(folder.path()), &["model.safetensors"]);
    write("one.safetensors", &file(&[("a", "F32", &[1], f32s(&[1.0]))]));
    write("two.safetensors", &file(&[("b", "F32", &[1], f32s(&[2.0]))]));
    write("model.safetensors.index.json", index("two.safetensors").as_bytes());
    let tensors = build(folder.path(), &[], &wanted).unwrap();
    assert_eq!(tensors.iter().map(|t| t.double_value(&[0])).collect::<Vec<_>>(), [1.0, 2.0]);
    for (what, second, word) in [
        ("missing", "three.safetensors", "three.safetensors"),
        ("up", "../two.safetensors", "../two.safetensors"),
        ("absolute", "/etc/passwd", "/etc/passwd"),
        ("parent", "..", "\"..\""),
        ("itself", ".", "\".\""),
        ("nameless", "", "\"\""),
    ] {
        write("model.safetensors.index.json", index(second).as_bytes());
        refused(what, open_all(folder.path()), &[word]);
    }
    for (what, text) in [
        ("list", "[]"),
        ("no map", "{}"),
        ("half", "{\"weight_map\":"),
        ("number", "{\"weight_map\":{\"a\":1}}"),
    ] {
        write("model.safetensors.index.json", text.as_bytes());
        refused(what, open_all(folder.path()), &["model.safetensors.index.json", "weight_map"]);
    }
}

#[test]
fn types_are_converted() {
    let values = [1.0f32, -2.5, 0.099_975_586, 65_504.0];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let halves = values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
    let brains = values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
    let doubles = values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
    let tensors: [(&str, &str, &[usize], Vec<u8>); 4] = [
        ("half", "F16", &[4], halves),
        ("brain", "BF16", &[4], brains),
        ("float", "F32", &[4], f32s(&values)),
        ("double", "F64", &[4], doubles),
    ];
    fs::write(&path, file(&tensors)).unwrap();
    let read = |kind: Kind, name: &str| {
        let weights = Weights::open(&path, CPU, kind).unwrap();
        let tensor =
            weights.build(&["half", "brain", "float", "double"], |part| part.get(name, &[4])).unwrap();
        assert_eq!(tensor.kind(), kind);
        Vec::<f32>::try_from(tensor.to_kind(Kind::Float)).unwrap()
    };
    let rounded = |round: fn(f32) -> f32| values.map(round).to_vec();
    let brain = |x: f32| bf16::from_f32(x).to_f32();
    let half = |x: f32| f16::from_f32(x).to_f32();
    assert_eq!(read(Kind::Float, "half"), rounded(half));
    assert_eq!(read(Kind::Float, "brain"), rounded(brain));
    assert_eq!(read(Kind::Float, "float"), values);
    assert_eq!(read(Kind::Float, "double"), values);
    assert_eq!(read(Kind::BFloat16, "float"), rounded(brain));
    assert_eq!(read(Kind::BFloat16, "half"), rounded(|x| bf16::from_f32(f16::from_f32(x).to_f32()).to_f32()));
    assert_eq!(read(Kind::Half, "float"), rounded(half));
}

#[test]
fn trainable_leaves_stand_alone() {
    let source = Tensor::from_slice(&[1.0f32, 2.0]);
    let tensors = BTreeMap::from([
        ("w".to_owned(), source.shallow_clone()),
        ("mean".to_owned(), source.shallow_clone()),
        ("frozen".to_owned(), source.shallow_clone()),
    ]);
    let weights = Weights::memory(tensors, Path::new("memory"), CPU, Kind::BFloat16);
    let (leaf, mean, frozen) = weights
        .build(&[], |part| {
            let trained = part.trainable();
            (trained.get("w", &[2]), trained.buffer("mean", &[2], 0.0), part.get("frozen", &[2]))
        })
        .unwrap();
    assert!(leaf.requires_grad() && leaf.is_leaf() && leaf.kind() == Kind::Float);
    assert!(!mean.requires_grad() && mean.kind() == Kind::Float);
    assert!(!frozen.requires_grad() && frozen.kind() == Kind::BFloat16);
    tch::no_grad(|| {
        for tensor in [&leaf, &mean] {
            _ = tensor.shallow_clone().fill_(9.0);
        }
    });
    assert_eq!(source, Tensor::from_slice(&[1.0f32, 2.0]));
    // The list holds the leaf itself, not a copy.
    let (parameters, buffers) = (weights.parameters(), weights.buffers());
    assert_eq!((parameters.len(), parameters[0].0.as_str()), (1, "w"));
    assert_eq!((buffers.len(), buffers[0].0.as_str()), (1, "mean"));
    assert_eq!(parameters[0].1.double_value(&[0]), 9.0);
    (&leaf * 3.0).sum(Kind::Float).backward();
    assert_eq!(parameters[0].1.grad(), Tensor::from_slice(&[3.0f32, 3.0]));
}

#[test]
fn fresh_tensors_depend_on_name_and_seed_only() {
    type Wanted = (&'static str, [i64; 2], Init);
    let wanted: [Wanted; 4] = [
        ("a", [64, 64], Init::Uniform(0.1)),
        ("b", [64, 64], Init::Normal(0.02)),
        ("c", [3, 2], Init::Constant(0.5)),
        ("d", [0, 2], Init::Uniform(1.0)),
    ];
    let make = |seed: u64, order: &[usize]| {
        let weights = Weights::fresh(seed, CPU, Kind::Float);
        weights
            .build(&[], |part| {
                let tensor = |&i: &usize| (wanted[i].0, part.init(wanted[i].0, &wanted[i].1, wanted[i].2));
                order.iter().map(tensor).collect::<BTreeMap<_, _>>()
            })
            .unwrap()
    };
    let first = make(1, &[0, 1, 2, 3]);
    assert_eq!(first, make(1, &[3, 1, 2, 0]));
    assert_eq!(first["a"], make(1, &[0])["a"]);
    assert_ne!(first["a"], make(2, &[0])["a"]);
    let (a, b) = (&first["a"], &first["b"]);
    assert!(a.abs().max().double_value(&[]) <= 0.1 && a.mean(Kind::Float).double_value(&[]).abs() < 5e-3);
    assert!((b.std(true).double_value(&[]) - 0.02).abs() < 2e-3);
    assert_eq!(first["c"], Tensor::full([3, 2], 0.5, (Kind::Float, CPU)));
    let weights = Weights::fresh(1, CPU, Kind::Float);
    refused(
        "required",
        weights.build(&[], |part| part.sub("x").get("y", &[1])),
        &["fresh weights", "missing: x.y"],
    );
}

#[test]
fn mutations_never_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let good = small();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut refusals = 0;
    for _ in 0..200 {
        let mut bytes = good.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(5) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = b"0123456789{}[],\":-\0\n\xff"[random(21)],
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, b'9'),
                _ => _ = bytes.remove(at),
            }
        }
        fs::write(&path, &bytes).unwrap();
        let all: [(&str, &[i64]); 3] = [("a.weight", &[2, 3]), ("a.bias", &[2]), ("head.scale", &[])];
        if let Err(error) = build(&path, &[], &all) {
            refusals += 1;
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
        // Every tensor of a table that was taken can be copied, or says why not.
        if let Ok(file) = SafetensorsFile::open(&path) {
            for name in file.names() {
                if let Err(error) = file.tensor(name).unwrap() {
                    assert_eq!(error.to_string().lines().count(), 1, "{error}");
                }
            }
        }
    }
    assert!(refusals > 100, "{refusals}");
}

/// What is written tensor by tensor is read back in the same types, also twice, after the pages were given back.
#[test]
fn written_files_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let long = Tensor::arange(100_000, (Kind::Float, CPU)).sin();
    let tensors = [
        ("f32", long.reshape([100, 1000]).tr()),
        ("bf16", long.to_kind(Kind::BFloat16)),
        ("i64", Tensor::from_slice(&[3_i64, -4])),
        ("scalar", Tensor::from(2.5_f32)),
    ];
    let table: Vec<_> = tensors.iter().map(|(name, t)| ((*name).to_owned(), t.kind(), t.size())).collect();
    let mut bytes = Vec::new();
    write(&mut bytes, &[], &table, |i| Ok(tensors[i].1.shallow_clone())).unwrap();
    fs::write(&path, bytes).unwrap();
    let file = SafetensorsFile::open(&path).unwrap();
    for _ in 0..2 {
        for (name, tensor) in &tensors {
            let read = file.tensor(name).unwrap().unwrap();
            assert_eq!((read.kind(), &read), (tensor.kind(), tensor), "{name}");
        }
    }
    let wrong = write(&mut Vec::new(), &[], &table, |_| Ok(tensors[2].1.shallow_clone()));
    assert!(wrong.unwrap_err().to_string().contains("f32"));
}
