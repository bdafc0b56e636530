//! Named tensors on disk, in whichever format Hugging Face and PyTorch keep them: one file, or the shards of a folder.

use crate::regular_file::{self, SETTINGS};
use crate::safetensors_file::SafetensorsFile;
use crate::torch_file::{self, TorchFile};
use crate::{Error, Result};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// A file of named tensors, opened for reading.
pub enum TensorFile {
    Safetensors(SafetensorsFile),
    Torch(Box<TorchFile>),
}

impl std::fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TensorFile").field(&self.path()).finish()
    }
}

impl TensorFile {
    /// Open `path` by its content. Errors: those of [`SafetensorsFile::open`] and [`TorchFile::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let named_torch = path.extension().is_some_and(|ending| ending == "bin");
        Ok(match torch_file::is_torch(path)? || named_torch {
            true => Self::Torch(Box::new(TorchFile::open(path)?)),
            false => Self::Safetensors(SafetensorsFile::open(path)?),
        })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Safetensors(file) => &file.path,
            Self::Torch(file) => &file.path,
        }
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Safetensors(file) => file.names().collect(),
            Self::Torch(file) => file.names().collect(),
        }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.kind(name).is_some()
    }

    /// Shape of a tensor, if present.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        match self {
            Self::Safetensors(file) => file.shape(name).map(<[i64]>::to_vec),
            Self::Torch(file) => file.shape(name),
        }
    }

    /// Type of a tensor as it is stored, if present.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        match self {
            Self::Safetensors(file) => file.kind(name),
            Self::Torch(file) => file.kind(name),
        }
    }

    /// The bytes of a tensor in the type it is stored in, row-major; empty if absent.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Safetensors(file) => Ok(Cow::Borrowed(file.bytes(name).unwrap_or_default())),
            Self::Torch(_) => {
                let Some(tensor) = self.tensor(name).transpose()? else { return Ok(Cow::Borrowed(&[])) };
                let bytes = tensor.f_reshape([-1])?.f_view_dtype(Kind::Uint8)?;
                Ok(Cow::Owned(Vec::try_from(&bytes)?))
            }
        }
    }

    /// Copy of one tensor in the type it is stored in, on the CPU, if present.
    pub fn tensor(&self, name: &str) -> Option<Result<Tensor>> {
        match self {
            Self::Safetensors(file) => file.tensor(name),
            Self::Torch(file) => self.has(name).then(|| file.tensor(name)),
        }
    }
}

/// How a folder holds a model: the table of its shards, or the one file. The first that is there counts.
const LAYOUTS: [(&str, &str); 2] = [
    ("model.safetensors.index.json", "model.safetensors"),
    ("pytorch_model.bin.index.json", "pytorch_model.bin"),
];

/// The file of PyTorch's own that a clone of a hub may have in place of `path`: `pytorch_model.bin` of
/// `model.safetensors`, and so for shards and their table.
pub fn in_place_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let torch = name.strip_prefix("model")?.replace(".safetensors", ".bin");
    (name.contains(".safetensors")).then(|| path.with_file_name(format!("pytorch_model{torch}")))
}

/// Whether `folder` has the weights of a model, or the table of their shards.
pub fn has_model(folder: &Path) -> bool {
    LAYOUTS.iter().any(|(index, single)| folder.join(index).exists() || folder.join(single).exists())
}

/// The files that hold a model: `path` itself, or in a folder `model.safetensors` or `pytorch_model.bin`, or the shards
/// that the index of either names.
pub fn open_all(path: &Path) -> Result<Vec<TensorFile>> {
    if !path.is_dir() {
        return Ok(vec![TensorFile::open(path)?]);
    }
    for (index, single) in LAYOUTS {
        if path.join(index).exists() {
            return shards(path, index);
        }
        if path.join(single).exists() {
            return Ok(vec![TensorFile::open(&path.join(single))?]);
        }
    }
    let [(_, safetensors), (_, torch)] = LAYOUTS;
    let what = format!("no weights here: neither {safetensors} nor {torch}");
    Err(Error::input(path, "", what, format!("download {safetensors} into the folder")))
}

/// The files that the table `index` of the folder names.
fn shards(folder: &Path, index: &str) -> Result<Vec<TensorFile>> {
    let file = folder.join(index);
    let text = regular_file::read_to_string(&file, SETTINGS).map_err(Error::io(&file))?;
    let bad = |what: String| Error::input(&file, "weight_map", what, "download the folder again");
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let table = json["weight_map"].as_object().ok_or_else(|| bad("missing or not an object".to_owned()))?;
    let shard = |(key, value): (&String, &'_ serde_json::Value)| {
        value.as_str().map(str::to_owned).ok_or_else(|| bad(format!("{key:?} has no file name")))
    };
    let mut shards: Vec<String> = table.iter().map(shard).collect::<Result<_>>()?;
    shards.sort_unstable();
    shards.dedup();
    let leads_out =
        |shard: &&String| shard.contains(['/', '\\']) || ["", ".", ".."].contains(&shard.as_str());
    if let Some(shard) = shards.iter().find(leads_out) {
        return Err(bad(format!("shard name {shard:?} leads out of the folder")));
    }
    let missing: Vec<&str> =
        shards.iter().filter(|shard| !folder.join(shard).exists()).map(String::as_str).collect();
    if !missing.is_empty() {
        let what = format!("shards that {index} names are missing: {}", missing.join(", "));
        return Err(Error::input(folder, "", what, "download them into the folder"));
    }
    shards.iter().map(|shard| TensorFile::open(&folder.join(shard))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pytorch() {
        let of = |name: &str| in_place_of(&Path::new("folder").join(name));
        let torch = |name: &str| Some(Path::new("folder").join(name));
        assert_eq!(of("model.safetensors"), torch("pytorch_model.bin"));
        assert_eq!(of("model.safetensors.index.json"), torch("pytorch_model.bin.index.json"));
        assert_eq!(of("model-00001-of-00002.safetensors"), torch("pytorch_model-00001-of-00002.bin"));
        assert_eq!(of("config.json"), None);
        assert_eq!(of("large_vox_iter5.pt"), None);
    }
}
