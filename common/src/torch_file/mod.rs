//! PyTorch checkpoints (`.pt`, `.pth`), both layouts, read without executing anything.
//!
//! A checkpoint is a pickle: a program for a machine that can call any Python function. Here that machine builds
//! dictionaries, lists and tensors; every other object stays an opaque placeholder, and a file that asks for a name
//! no checkpoint needs is refused with that name. Nothing is allocated before it is known to fit: the tables of a file
//! take at most twice the memory that the file is long, and tensors are copied out of the mapped file one by one.

mod array_list;
mod arrays;
mod contents;
mod globals;
mod legacy;
mod machine;
mod names;
mod pickle;
mod records;
mod tensors;
mod values;
mod zip;

pub use array_list::{Array, read_arrays};
pub use records::{Field, read_records};

use crate::map::Map;
use crate::{Error, Result, weight_file};
use contents::{Contents, Located};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use values::{Budget, Role, Value, View};

/// The two ways in which PyTorch has written files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// PyTorch 1.6 and later.
    Zip,
    /// Before that, or with `_use_new_zipfile_serialization=False`.
    Legacy,
}

/// A plain value of a checkpoint, such as a number of its configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
}

/// Whether the file begins as one that `torch.save` wrote; a folder does not.
pub fn is_torch(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    let map = weight_file::map(path)?;
    Ok(zip::is_zip(&map) || legacy::is_legacy(&map))
}

/// The objects of a whole file, and its tensors by path.
fn read(data: &[u8], layout: Layout) -> Located<(Contents, BTreeMap<String, u32>)> {
    let mut budget = Budget::for_file(data.len());
    let contents = match layout {
        Layout::Zip => zip::read(data, &mut budget)?,
        Layout::Legacy => legacy::read(data, &mut budget)?,
    };
    let texts = &data[contents.pickle.clone()];
    let names = names::tensors(texts, contents.root, &contents.objects, &mut budget)?;
    Ok((contents, names))
}

/// One mapped checkpoint with its table of tensors.
pub struct TorchFile {
    pub path: PathBuf,
    map: Map,
    layout: Layout,
    contents: Contents,
    names: BTreeMap<String, u32>,
}

impl TorchFile {
    /// Map `path` and read its table. Errors: missing, empty, truncated or otherwise damaged, a Git LFS pointer, not
    /// of PyTorch, or asking for something that a checkpoint has no use for.
    pub fn open(path: &Path) -> Result<Self> {
        let map = weight_file::map(path)?;
        let layout = if zip::is_zip(&map) {
            Layout::Zip
        } else if legacy::is_legacy(&map) {
            Layout::Legacy
        } else {
            return Err(Error::input(
                path,
                "header",
                "neither layout of a PyTorch file",
                "give a file that torch.save wrote, or download it again",
            ));
        };
        let (contents, names) = read(&map, layout)
            .map_err(|(place, fault)| Error::input(path, place, fault.what, fault.remedy))?;
        Ok(Self { path: path.to_path_buf(), map, layout, contents, names })
    }

    /// How the file is written.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Paths of all tensors, sorted: `model.encoder.layer_norm.weight` for `["model"]["encoder.layer_norm.weight"]`,
    /// `[0]` for places in lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Shape of a tensor, if present.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let view = self.view(name)?;
        tensors::numbers(&self.contents.objects, view.sizes).map(|n| i64::try_from(n?).ok()).collect()
    }

    /// The type a tensor is stored in, if present.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        let view = self.view(name)?;
        self.contents.objects.storages.get(view.storage as usize).map(|s| s.kind)
    }

    /// Copy one tensor out of the map, contiguous, in the type it is stored in, on the CPU.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let refuse = |what: &str, remedy: &str| Err(Error::input(&self.path, name, what, remedy));
        let (Some(view), Some(shape), Some(kind)) = (self.view(name), self.shape(name), self.kind(name))
        else {
            return refuse("there is no such tensor", "list the file's tensors, or give another file");
        };
        let width = tensors::width(kind) as usize;
        let strides: Option<Vec<i64>> =
            tensors::numbers(&self.contents.objects, view.strides).map(|n| i64::try_from(n?).ok()).collect();
        // Checked when the file was opened: offsets, sizes and strides stay within the storage, and do not overlap.
        let span = if shape.contains(&0) {
            0
        } else {
            let strides = strides.as_deref().unwrap_or_default();
            let reach = shape.iter().zip(strides).map(|(&n, &s)| (n - 1) * s).filter(|&n| n > 0).sum::<i64>();
            reach as usize + 1
        };
        let place = self.contents.storages[view.storage as usize].clone();
        let (storage, begin) = (&self.map[place.clone()], view.offset as usize * width);
        let Some(bytes) = storage.get(begin..begin + span * width) else {
            return refuse("the tensor leads out of its storage", "download the file again");
        };
        if kind == Kind::Bool && bytes.iter().any(|&b| b > 1) {
            return refuse("a truth value is neither 0 nor 1", "download the file again");
        }
        let flat = Tensor::f_from_data_size(bytes, &[span as i64], kind)?;
        // As for safetensors: a model is never in memory twice, though its file stays open.
        self.map.release(place.start + begin, place.start + begin + bytes.len());
        if span == 0 {
            return Ok(flat.f_reshape(&shape)?);
        }
        // Strides of axes of one element may be any number; torch wants them in range.
        let strides: Vec<i64> = strides
            .unwrap_or_default()
            .into_iter()
            .zip(&shape)
            .map(|(stride, &n)| if n == 1 { 1 } else { stride })
            .collect();
        // By way of one axis, so that axes of one element get the usual strides: others would make a convolution take
        // its weight for one in another memory format, and round differently.
        Ok(flat.f_as_strided(&shape, &strides, 0)?.f_reshape([-1])?.f_reshape(&shape)?)
    }

    /// The plain value at a path such as `cfg.model.encoder_layers` or `optimizer_history[0].num_updates`; nothing if
    /// there is none, or if it is a container, a tensor or opaque.
    pub fn value(&self, path: &str) -> Option<Plain> {
        let texts = &self.map[self.contents.pickle.clone()];
        Some(match names::find(texts, self.contents.root, &self.contents.objects, path)? {
            Value::None => Plain::None,
            Value::Bool(b) => Plain::Bool(b),
            Value::Int(n) => Plain::Int(n.int().into()),
            Value::Long(span) => Plain::Int(pickle::long(span.of(texts))?),
            Value::Float(x) => Plain::Float(x.float()),
            Value::Text(span) => Plain::Text(String::from_utf8_lossy(span.of(texts)).into_owned()),
            _ => return None,
        })
    }

    /// Names of the classes and functions that the file asks for and that were passed over, such as
    /// `argparse.Namespace`; sorted.
    pub fn placeholders(&self) -> Vec<String> {
        let texts = &self.map[self.contents.pickle.clone()];
        let objects = &self.contents.objects;
        let opaque = (0_u32..).zip(&objects.globals).filter(|(_, global)| global.role == Role::Opaque);
        let names: BTreeSet<String> = opaque.map(|(index, _)| objects.global_name(texts, index)).collect();
        names.into_iter().collect()
    }

    fn view(&self, name: &str) -> Option<&View> {
        self.contents.objects.tensors.get(*self.names.get(name)? as usize)
    }
}
