//! Where the tensors of a network come from, addressed by their official names.
//!
//! A network is a plain struct whose constructor asks a [`Part`] for each tensor by key path and shape. What is
//! missing, of another shape, or never asked for is collected and reported at once by [`Weights::build`], so that a
//! file of another architecture never loads halfway.

use crate::synthetic::{self, Random};
use crate::tensor_file::{self, TensorFile};
use crate::{Error, Result, plural};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// How a tensor starts when there is no file: the initialisations of the field.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// Must come from a file.
    Required,
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
}

enum Source {
    Files(Vec<Arc<TensorFile>>),
    Memory(BTreeMap<String, Tensor>),
    Synthetic { salt: u64 },
    Fresh { seed: u64 },
}

/// What has been asked for, and what was wrong with it.
#[derive(Default)]
struct Ledger {
    used: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
    failed: Option<Error>,
    parameters: Vec<(String, Tensor)>,
    buffers: Vec<(String, Tensor)>,
}

/// A source of tensors on one device, frozen in one compute type.
pub struct Weights {
    source: Source,
    origin: PathBuf,
    /// What stands before every name in the source; other names in it do not count.
    prefix: String,
    device: Device,
    kind: Kind,
    ledger: RefCell<Ledger>,
}

impl Weights {
    fn new(source: Source, origin: impl Into<PathBuf>, device: Device, kind: Kind) -> Self {
        let (origin, prefix) = (origin.into(), String::new());
        Self { source, origin, prefix, device, kind, ledger: RefCell::default() }
    }

    /// A `.safetensors` file, a PyTorch checkpoint in either layout, or a Hugging Face folder with files of either
    /// format. Files are memory-mapped and tensors copied one by one.
    pub fn open(path: &Path, device: Device, kind: Kind) -> Result<Self> {
        let files = tensor_file::open_all(path)?.into_iter().map(Arc::new).collect();
        Ok(Self::new(Source::Files(files), path, device, kind))
    }

    /// One file that is open, for several devices.
    pub fn file(file: Arc<TensorFile>, device: Device, kind: Kind) -> Self {
        let path = file.path().to_path_buf();
        Self::new(Source::Files(vec![file]), path, device, kind)
    }

    /// The same, for a network whose names all begin with `prefix`. Other tensors of the source do not count.
    pub fn below(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// Tensors already in memory, by name.
    pub fn memory(tensors: BTreeMap<String, Tensor>, origin: &Path, device: Device, kind: Kind) -> Self {
        Self::new(Source::Memory(tensors), origin, device, kind)
    }

    /// Values computed from names (see [`synthetic`]).
    pub fn synthetic(salt: u64, device: Device, kind: Kind) -> Self {
        Self::new(Source::Synthetic { salt }, "synthetic weights", device, kind)
    }

    /// Freshly initialised for training: each tensor is a pure function of (name, shape, seed).
    pub fn fresh(seed: u64, device: Device, kind: Kind) -> Self {
        Self::new(Source::Fresh { seed }, "fresh weights", device, kind)
    }

    /// Build a network from these tensors. `make` gets the root [`Part`]; afterwards every problem is reported in
    /// one line: missing keys, wrong shapes, and keys that nobody asked for unless they start with one of `ignore`.
    pub fn build<T>(&self, ignore: &[&str], make: impl FnOnce(&Part) -> T) -> Result<T> {
        let built = make(&Part { weights: self, prefix: String::new(), kind: self.kind, trainable: false });
        self.check(ignore)?;
        Ok(built)
    }

    /// Trainable tensors handed out so far (leaves that require gradients, float32), in order of construction.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        copy_list(&self.ledger.borrow().parameters)
    }

    /// Running statistics of trainable parts, in order of construction.
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        copy_list(&self.ledger.borrow().buffers)
    }

    fn check(&self, ignore: &[&str]) -> Result<()> {
        let mut ledger = self.ledger.borrow_mut();
        if let Some(error) = ledger.failed.take() {
            return Err(error);
        }
        let names: Vec<&str> = match &self.source {
            Source::Files(files) => files.iter().flat_map(|file| file.names()).collect(),
            Source::Memory(tensors) => tensors.keys().map(String::as_str).collect(),
            Source::Synthetic { .. } | Source::Fresh { .. } => Vec::new(),
        };
        let unused: Vec<String> = names
            .into_iter()
            .filter_map(|name| name.strip_prefix(self.prefix.as_str()))
            .filter(|name| !ledger.used.contains(*name) && !ignore.iter().any(|i| name.starts_with(i)))
            .map(str::to_owned)
            .collect();
        let problem = [
            ("missing", &ledger.missing),
            ("of another shape", &ledger.misshapen),
            ("not part of this network", &unused),
        ]
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{} {what}: {}", plural(names.len(), "key"), some(names)))
        .collect::<Vec<_>>()
        .join("; ");
        if problem.is_empty() {
            return Ok(());
        }
        Err(Error::input(
            &self.origin,
            "keys",
            problem,
            "this is a file of another architecture or a damaged one; check the configuration and the download",
        ))
    }

    /// The tensor `name` if the source can give it, in the source's own type.
    fn fetch(&self, name: &str, shape: &[i64], init: Init) -> Option<Tensor> {
        let mut ledger = self.ledger.borrow_mut();
        let found = match &self.source {
            Source::Files(_) => self.read(name).and_then(|tensor| match tensor {
                Ok(tensor) => Some(tensor),
                Err(error) => {
                    ledger.failed.get_or_insert(error);
                    None
                }
            }),
            Source::Memory(tensors) => {
                tensors.get(&format!("{}{name}", self.prefix)).map(Tensor::shallow_clone)
            }
            Source::Synthetic { salt } => {
                Some(Tensor::from_slice(&synthetic::tensor(name, shape, *salt)).reshape(shape))
            }
            Source::Fresh { seed } => fresh(name, shape, init, *seed),
        };
        ledger.used.insert(name.to_owned());
        let Some(tensor) = found else {
            ledger.missing.push(name.to_owned());
            return None;
        };
        if tensor.size() != shape {
            ledger.misshapen.push(format!("{name} {:?} where {shape:?} is wanted", tensor.size()));
            return None;
        }
        Some(tensor)
    }

    /// The tensor `name` of a file, if it has one.
    fn read(&self, name: &str) -> Option<Result<Tensor>> {
        let name = format!("{}{name}", self.prefix);
        match &self.source {
            Source::Files(files) => files.iter().find_map(|file| file.tensor(&name)),
            Source::Memory(_) | Source::Synthetic { .. } | Source::Fresh { .. } => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        let full = format!("{}{name}", self.prefix);
        match &self.source {
            Source::Files(files) => files.iter().any(|file| file.has(&full)),
            Source::Memory(tensors) => tensors.contains_key(&full),
            Source::Synthetic { .. } | Source::Fresh { .. } => true,
        }
    }
}

/// All names, but only the first few where a file of another architecture misses hundreds.
fn some(names: &[String]) -> String {
    const ALL: usize = 16;
    if names.len() <= ALL {
        return names.join(", ");
    }
    tracing::debug!("{}", names.join(", "));
    format!("{} and {} more", names[..3].join(", "), names.len() - 3)
}

/// A view of [`Weights`] below a key prefix; what the constructors of network parts take.
pub struct Part<'w> {
    weights: &'w Weights,
    prefix: String,
    kind: Kind,
    trainable: bool,
}

impl Part<'_> {
    /// The part below `name`: `part.sub("encoder").sub("layers.0")`.
    pub fn sub(&self, name: &str) -> Self {
        Part { prefix: self.path(name), ..*self }
    }

    /// The same part, with its tensors as float32 leaves that require gradients.
    pub fn trainable(&self) -> Self {
        Part { prefix: self.prefix.clone(), trainable: true, ..*self }
    }

    /// The same part, with its tensors as they are in the source, which nobody trains.
    pub fn frozen(&self) -> Self {
        Part { prefix: self.prefix.clone(), trainable: false, ..*self }
    }

    /// The same part, with its frozen tensors in `kind`.
    pub fn in_kind(&self, kind: Kind) -> Self {
        Part { prefix: self.prefix.clone(), kind, ..*self }
    }

    pub fn device(&self) -> Device {
        self.weights.device
    }

    /// Compute type of the frozen tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Type of the trainable leaves: float32, or float64 in a model that is all float64, as tests have it.
    pub fn leaf_kind(&self) -> Kind {
        if self.weights.kind == Kind::Double { Kind::Double } else { Kind::Float }
    }

    /// Full key path of `name` in this part.
    pub fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Whether the source has `name` (always true for computed and fresh weights).
    pub fn has(&self, name: &str) -> bool {
        self.weights.has(&self.path(name))
    }

    /// The tensor `name`, which must come from the source. Where it cannot, the problem is noted for
    /// [`Weights::build`] and zeros are returned meanwhile.
    pub fn get(&self, name: &str, shape: &[i64]) -> Tensor {
        self.init(name, shape, Init::Required)
    }

    /// The tensor `name`, from the source or initialised where the source is fresh.
    pub fn init(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let path = self.path(name);
        let weights = self.weights;
        let kind = if self.trainable { self.leaf_kind() } else { self.kind };
        let tensor = match weights.fetch(&path, shape, init) {
            Some(tensor) => tensor.to_device(weights.device).to_kind(kind),
            None => Tensor::zeros(shape, (kind, weights.device)),
        };
        if !self.trainable {
            return tensor;
        }
        // A copy of its own: a leaf must not share storage with the source it came from.
        let leaf = tensor.detach().copy().set_requires_grad(true);
        weights.ledger.borrow_mut().parameters.push((path, leaf.shallow_clone()));
        leaf
    }

    /// A running statistic (float32, never a gradient); saved with the trainable tensors.
    pub fn buffer(&self, name: &str, shape: &[i64], init: f64) -> Tensor {
        let path = self.path(name);
        let options = (self.leaf_kind(), self.weights.device);
        let tensor = match self.weights.fetch(&path, shape, Init::Constant(init)) {
            Some(tensor) => tensor.to_device(options.1).to_kind(options.0).copy(),
            None => Tensor::zeros(shape, options),
        };
        if self.trainable {
            self.weights.ledger.borrow_mut().buffers.push((path, tensor.shallow_clone()));
        }
        tensor
    }

    /// Note that `name` is present and deliberately not used.
    pub fn skip(&self, name: &str) {
        self.weights.ledger.borrow_mut().used.insert(self.path(name));
    }
}

/// A fresh tensor as a pure function of (name, shape, seed).
fn fresh(name: &str, shape: &[i64], init: Init, seed: u64) -> Option<Tensor> {
    let n = shape.iter().product::<i64>() as u64;
    let random = Random::new(name, seed);
    let values: Vec<f32> = match init {
        Init::Required => return None,
        Init::Constant(value) => vec![value as f32; n as usize],
        Init::Uniform(bound) => (0..n).map(|i| (bound * random.signed(i)) as f32).collect(),
        Init::Normal(std) => (0..n).map(|i| (std * normal(&random, i)) as f32).collect(),
    };
    Some(Tensor::from_slice(&values).reshape(shape))
}

/// Standard normal element `i` by Box and Muller's transform.
fn normal(random: &Random, i: u64) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit(2 * i)).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit(2 * i + 1)).cos()
}

fn copy_list(list: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    list.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}
