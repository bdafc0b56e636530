//! Memory-mapped safetensors: one file, or the shards of a Hugging Face directory.

use crate::{Error, Result, weight_file};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// One mapped file with its table of tensors.
pub struct SafetensorsFile {
    pub path: PathBuf,
    map: Mmap,
    data_start: usize,
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

/// Where a tensor lies in the data section.
#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    shape: Vec<i64>,
    begin: usize,
    end: usize,
}

impl SafetensorsFile {
    /// Map `path` and read its table. Errors: missing, empty, truncated, a Git LFS pointer, or not safetensors.
    pub fn open(path: &Path) -> Result<Self> {
        let map = weight_file::map(path)?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|e| {
            Error::input(
                path,
                "header",
                format!("not a complete safetensors file ({e})"),
                "download it again, or convert the checkpoint to safetensors",
            )
        })?;
        let data_start = header + 8;
        let mut tensors = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let kind = kind_of(info.dtype).ok_or_else(|| {
                Error::input(
                    path,
                    &name,
                    format!("data type {:?} is not supported", info.dtype),
                    "store it as F32, F16 or BF16",
                )
            })?;
            let (begin, end) = info.data_offsets;
            let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
            tensors.insert(name, Entry { kind, shape, begin, end });
        }
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path: path.to_path_buf(), map, data_start, tensors, metadata })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The text metadata of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Shape of a tensor, if present.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.tensors.get(name).map(|e| e.shape.as_slice())
    }

    /// Copy one tensor out of the map, in the type it is stored in, on the CPU.
    pub fn tensor(&self, name: &str) -> Option<Result<Tensor>> {
        let entry = self.tensors.get(name)?;
        let bytes = &self.map[self.data_start + entry.begin..self.data_start + entry.end];
        Some(Tensor::f_from_data_size(bytes, &entry.shape, entry.kind).map_err(Error::from))
    }
}

/// The files that hold a model: `path` itself, or in a directory `model.safetensors`, or the shards that
/// `model.safetensors.index.json` names.
pub fn open_all(path: &Path) -> Result<Vec<SafetensorsFile>> {
    if !path.is_dir() {
        return Ok(vec![SafetensorsFile::open(path)?]);
    }
    let index = path.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec![SafetensorsFile::open(&path.join("model.safetensors"))?]);
    }
    let text = std::fs::read_to_string(&index).map_err(Error::io(&index))?;
    let bad = |what: String| Error::input(&index, "weight_map", what, "download the directory again");
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let table = json["weight_map"].as_object().ok_or_else(|| bad("missing or not an object".to_owned()))?;
    let shard = |(key, value): (&String, &'_ serde_json::Value)| {
        value.as_str().map(str::to_owned).ok_or_else(|| bad(format!("{key:?} has no file name")))
    };
    let mut shards: Vec<String> = table.iter().map(shard).collect::<Result<_>>()?;
    shards.sort_unstable();
    shards.dedup();
    let mut files = Vec::new();
    for shard in shards {
        if shard.contains(['/', '\\']) || ["", ".", ".."].contains(&shard.as_str()) {
            return Err(bad(format!("shard name {shard:?} leads out of the directory")));
        }
        files.push(SafetensorsFile::open(&path.join(shard))?);
    }
    Ok(files)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}
