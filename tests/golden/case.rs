//! Golden cases: inputs and outputs of the reference implementations, and what a case's JSON says about them.
//!
//! Everything a test needs (salt, configuration, key list, tolerance) comes from the case, nothing from the test, so
//! that other folders of cases run through the same tests. The folder is `SIGNCLIP_GOLDEN`, by default
//! `../shared/golden` beside the workspace; absent cases are skipped with a message. The device is `SIGNCLIP_DEVICE`.

#![allow(clippy::print_stdout)]

use serde_json::Value;
use signclip_common::devices;
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::synthetic;
use signclip_common::weights::Weights;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tch::{Device, Kind, Tensor};

/// One case: `<name>.json` and `<name>.safetensors`.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) json: Value,
    pub(crate) folder: PathBuf,
    arrays: SafetensorsFile,
}

/// The folder with the golden cases.
pub(crate) fn folder() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    std::env::var_os("SIGNCLIP_GOLDEN").map_or_else(default, PathBuf::from)
}

/// Where the networks compute: `SIGNCLIP_DEVICE`, as `--gpus` takes it, by default the CPU. Every test asks for it before any
/// other call of libtorch, which looks for its CUDA half once.
pub(crate) fn device() -> Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(|| {
        let name = std::env::var("SIGNCLIP_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
        let device = devices::open_one(&name).unwrap_or_else(|e| panic!("SIGNCLIP_DEVICE: {e}"));
        // The programs set it, which a test cannot: other threads run.
        let exact = std::env::var("NVIDIA_TF32_OVERRIDE").is_ok_and(|value| value == "0");
        assert!(
            device == Device::Cpu || exact,
            "float32 may be TF32 on {device:?}: set NVIDIA_TF32_OVERRIDE=0"
        );
        device
    });
    *DEVICE
}

/// A result on the CPU, where tests compute with it.
pub(crate) fn on_cpu(x: &Tensor) -> Tensor {
    x.to_device(Device::Cpu)
}

/// Names of the cases in the folder that begin with one of `families` and are not `known`: further cases run through
/// the same tests.
pub(crate) fn further(families: &[&str], known: &[&str]) -> Vec<String> {
    let names = std::fs::read_dir(folder()).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_str()?.strip_suffix(".json")?.to_owned();
        let wanted = families.iter().any(|f| name.starts_with(f)) && !known.contains(&name.as_str());
        wanted.then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

impl Case {
    /// The case `name`, or `None` (with a message) where the folder does not have it.
    pub(crate) fn load(name: &str) -> Option<Self> {
        let _ = device();
        let folder = folder();
        let path = folder.join(format!("{name}.json"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: no golden case {}", path.display());
            return None;
        };
        let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let arrays = SafetensorsFile::open(&folder.join(format!("{name}.safetensors")))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        Some(Self { name: name.to_owned(), json, folder, arrays })
    }

    /// Array `name` as an input: on the device.
    pub(crate) fn input(&self, name: &str) -> Tensor {
        self.tensor(name).to_device(device())
    }

    /// Array `name`, in the type it is stored in, on the CPU.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        let found = self.arrays.tensor(name).unwrap_or_else(|| panic!("{}: no array {name}", self.name));
        found.unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name))
    }

    /// Whether the case has array `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.arrays.shape(name).is_some()
    }

    /// Salt of the computed weights: the hexadecimal string `"0x..."` of the JSON.
    pub(crate) fn salt(&self) -> u64 {
        let text = self.json["salt"].as_str().unwrap_or_else(|| panic!("{}: no salt", self.name));
        let digits = text.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).unwrap_or_else(|e| panic!("{}: salt {text:?}: {e}", self.name))
    }

    /// Official keys with their shapes, in the order of the case.
    pub(crate) fn state_dict(&self) -> Vec<(String, Vec<i64>)> {
        let table =
            self.json["state_dict"].as_object().unwrap_or_else(|| panic!("{}: no state_dict", self.name));
        let dims = |v: &Value| v.as_array().map(|s| s.iter().filter_map(Value::as_i64).collect());
        table.iter().map(|(key, shape)| (key.clone(), dims(shape).unwrap_or_default())).collect()
    }

    /// The computed weights of exactly the keys of the case, so that a missing or an unused key is an error.
    pub(crate) fn weights(&self, kind: Kind) -> Weights {
        let salt = self.salt();
        let value = |(key, shape): (String, Vec<i64>)| {
            let tensor = if key.ends_with("num_batches_tracked") {
                Tensor::zeros(shape, (Kind::Int64, Device::Cpu))
            } else {
                Tensor::from_slice(&synthetic::tensor(&key, &shape, salt)).reshape(shape)
            };
            (key, tensor)
        };
        let tensors: BTreeMap<String, Tensor> = self.state_dict().into_iter().map(value).collect();
        Weights::memory(tensors, Path::new(&self.name), device(), kind)
    }

    /// A number below `tolerance` in the JSON: `tolerance("max_abs")`, `tolerance("grads/rel_l2")`.
    pub(crate) fn tolerance(&self, pointer: &str) -> f64 {
        self.number(&format!("/tolerance/{pointer}"))
    }

    /// Any number of the JSON, by JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        let found = self.json.pointer(pointer).and_then(Value::as_f64);
        found.unwrap_or_else(|| panic!("{}: no number at {pointer}", self.name))
    }

    /// Compare `got` with array `name`.
    pub(crate) fn check(&self, name: &str, got: &Tensor, max_abs: f64, rel_l2: f64) {
        self.check_with(name, got, &self.tensor(name), max_abs, rel_l2);
    }

    /// Compare `got` with `want`; `name` is for the message. Fails where the largest absolute or the relative L2
    /// difference exceeds its bound, or a value is not a number.
    pub(crate) fn check_with(&self, name: &str, got: &Tensor, want: &Tensor, max_abs: f64, rel_l2: f64) {
        let label = format!("{} {name}", self.name);
        assert_eq!(got.size(), want.size(), "{label}: shape");
        let difference = Difference::between(got, want);
        let line = format!("{label:50} {difference}; allowed {max_abs:.1e}, {rel_l2:.1e}");
        println!("{line}");
        let inside = difference.max_abs <= max_abs && difference.rel_l2 <= rel_l2;
        assert!(inside, "too far from the reference: {line}");
    }
}

/// How far two tensors are apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    pub(crate) max_abs: f64,
    pub rel_l2: f64,
}

impl Difference {
    pub(crate) fn between(got: &Tensor, want: &Tensor) -> Self {
        let got = got.detach().to_device(Device::Cpu).to_kind(Kind::Double);
        let want = want.detach().to_device(Device::Cpu).to_kind(Kind::Double);
        if want.numel() == 0 {
            return Self { max_abs: 0.0, rel_l2: 0.0 };
        }
        let gap = &got - &want;
        let (gap_l2, want_l2) = (gap.norm().double_value(&[]), want.norm().double_value(&[]));
        // Against a reference of zeros only the absolute difference says anything.
        let rel_l2 = if want_l2 > 0.0 { gap_l2 / want_l2 } else { 0.0 };
        Self { max_abs: gap.abs().max().double_value(&[]), rel_l2 }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "max |difference| {:.2e}, relative L2 {:.2e}", self.max_abs, self.rel_l2)
    }
}
