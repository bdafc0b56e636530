//! Memory-mapped safetensors.

use crate::map::Map;
use crate::{Error, Result, weight_file};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// One mapped file with its table of tensors.
pub struct SafetensorsFile {
    pub path: PathBuf,
    map: Map,
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

    /// Type of a tensor as it is stored, if present.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.tensors.get(name).map(|e| e.kind)
    }

    /// The bytes of a tensor as they are stored, if present.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        let entry = self.tensors.get(name)?;
        self.map.get(self.data_start + entry.begin..self.data_start + entry.end)
    }

    /// Copy one tensor out of the map, in the type it is stored in, on the CPU. Its pages are then given back, so that
    /// a model is never in memory twice.
    pub fn tensor(&self, name: &str) -> Option<Result<Tensor>> {
        let entry = self.tensors.get(name)?;
        let (begin, end) = (self.data_start + entry.begin, self.data_start + entry.end);
        let tensor = Tensor::f_from_data_size(&self.map[begin..end], &entry.shape, entry.kind);
        self.map.release(begin, end);
        Some(tensor.map_err(Error::from))
    }
}

/// Whether [`write`] takes tensors of this type.
pub fn can_store(kind: Kind) -> bool {
    dtype_of(kind).is_some()
}

/// Write a safetensors file into `out`, one tensor in memory at a time: `table` has each tensor's name, type and
/// shape, `tensor(i)` gives entry `i`. `metadata` is the text of the header besides its format.
pub fn write(
    out: &mut impl Write,
    metadata: &[(&str, &str)],
    table: &[(String, Kind, Vec<i64>)],
    mut tensor: impl FnMut(usize) -> Result<Tensor>,
) -> std::io::Result<()> {
    let refuse = |what: String| std::io::Error::other(what);
    let mut header = serde_json::Map::new();
    let metadata: BTreeMap<&str, &str> = metadata.iter().copied().chain([("format", "pt")]).collect();
    header.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    let mut begin = 0;
    for (name, kind, shape) in table {
        let dtype = dtype_of(*kind).ok_or_else(|| refuse(format!("{name}: {kind:?} cannot be stored")))?;
        let end = begin + shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
        let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] });
        header.insert(name.clone(), entry);
        begin = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    // Spaces, so that the first tensor is aligned.
    while !(8 + header.len()).is_multiple_of(64) {
        header.push(' ');
    }
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (i, (name, kind, shape)) in table.iter().enumerate() {
        let tensor = tensor(i).map_err(|e| refuse(e.to_string()))?;
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        if tensor.size() != *shape || tensor.kind() != *kind {
            return Err(refuse(format!("{name} is not what the table says")));
        }
        let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel()).map_err(|e| refuse(Error::from(e).to_string()))?;
        out.write_all(&bytes)?;
    }
    Ok(())
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

fn dtype_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Float => "F32",
        Kind::Half => "F16",
        Kind::BFloat16 => "BF16",
        Kind::Double => "F64",
        Kind::Int64 => "I64",
        Kind::Int => "I32",
        Kind::Int16 => "I16",
        Kind::Int8 => "I8",
        Kind::Uint8 => "U8",
        Kind::Bool => "BOOL",
        _ => return None,
    })
}
