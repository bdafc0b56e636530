//! `extract convert`: an official `.pt` or `.pth` file as safetensors, without executing anything that it contains.

#![allow(clippy::print_stdout)]

use crate::checkpoint::{Architecture, Checkpoint, METADATA};
use safetensors::tensor::{Dtype, View};
use serde::Serialize;
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::torch_file::{self, TorchFile};
use signclip_common::{Error, Result, atomic, checksum};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tch::Kind;

/// What was converted and what was left out.
#[derive(Debug, Serialize)]
struct Report {
    input: PathBuf,
    output: PathBuf,
    architecture: String,
    tensors: usize,
    bytes: usize,
    /// Taken off the beginning of every name.
    stripped: String,
    /// Tensors outside of the network, by the beginning of their names.
    dropped_tensors: BTreeMap<String, usize>,
    /// Python objects that were passed over, by class or function.
    dropped_objects: Vec<String>,
    source_sha256: String,
}

/// Convert `input` into `output`, by default beside it with the ending `.safetensors`.
///
/// Tensors keep their values and types; names lose what stands before the network's own.
///
/// # Errors
/// What [`TorchFile::open`] and [`Checkpoint::of_torch`] report; an output that cannot be written.
pub fn run(input: &Path, output: Option<&Path>, json: bool) -> Result<ExitCode> {
    let output = output.map_or_else(|| input.with_extension("safetensors"), Path::to_path_buf);
    if !torch_file::is_torch(input)? && SafetensorsFile::open(input).is_ok() {
        let remedy = "it can be used as it is; give a .pt or .pth file to convert";
        return Err(Error::input(input, "", "this is a safetensors file already", remedy));
    }
    if output.extension().is_none_or(|ending| ending != "safetensors") {
        let what = format!("the output {} does not end in .safetensors", output.display());
        return Err(Error::usage(what, "name it FILE.safetensors"));
    }
    let report = convert(input, output)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: {}", report.input.display(), report.architecture);
    println!("wrote {}: {} tensors, {} bytes", report.output.display(), report.tensors, report.bytes);
    if !report.stripped.is_empty() {
        println!("names lost their beginning {:?}", report.stripped);
    }
    for (names, count) in &report.dropped_tensors {
        println!("left out: {count} tensors {names}*");
    }
    if !report.dropped_objects.is_empty() {
        println!("left out, never looked into: {}", report.dropped_objects.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn convert(input: &Path, output: PathBuf) -> Result<Report> {
    let file = TorchFile::open(input)?;
    let checkpoint = Checkpoint::of_torch(&file)?;
    let source_sha256 = checksum::of_file(input)?;
    let mut dropped_tensors = BTreeMap::new();
    let mut views = Vec::new();
    for path in file.names() {
        match path.strip_prefix(&checkpoint.prefix) {
            Some(name) => views.push((name, Lazy::new(&file, path)?)),
            None => {
                let top: Vec<&str> = path.split_inclusive('.').take(2).collect();
                *dropped_tensors.entry(top.concat()).or_insert(0) += 1;
            }
        }
    }
    // The writer asks for bytes and cannot be told that there are none: every tensor is read once before.
    for (_, view) in &views {
        view.bytes()?;
    }
    let architecture = checkpoint.describe();
    let mut metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut say = |key: &str, value: String| metadata.insert(format!("{METADATA}{key}"), value);
    say("architecture", architecture.clone());
    say("source", input.file_name().unwrap_or_default().to_string_lossy().into_owned());
    say("source_sha256", source_sha256.clone());
    say("stripped", checkpoint.prefix.clone());
    say("tool", format!("signclip extract {}", env!("CARGO_PKG_VERSION")));
    if let Architecture::AvHubert(config) = &checkpoint.architecture {
        say("layers", config.encoder_layers.to_string());
        say("width", config.encoder_embed_dim.to_string());
        say("heads", config.encoder_attention_heads.to_string());
    }
    let bytes = views.iter().map(|(_, view)| view.data_len()).sum();
    let tensors = views.len();
    if let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    atomic::write_beside(&output, |beside| {
        // The writer makes files that only their owner may read; this one gets the rights of any other new file.
        let rights = std::fs::File::create(beside)?.metadata()?.permissions();
        safetensors::serialize_to_file(views, Some(metadata), beside).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(error) => error,
            other => std::io::Error::other(other.to_string()),
        })?;
        std::fs::set_permissions(beside, rights)
    })?;
    Ok(Report {
        input: input.to_path_buf(),
        output,
        architecture,
        tensors,
        bytes,
        stripped: checkpoint.prefix,
        dropped_tensors,
        dropped_objects: file.placeholders(),
        source_sha256,
    })
}

/// A tensor of the mapped file, copied when it is written.
struct Lazy<'f> {
    file: &'f TorchFile,
    path: &'f str,
    dtype: Dtype,
    width: usize,
    shape: Vec<usize>,
}

impl<'f> Lazy<'f> {
    fn new(file: &'f TorchFile, path: &'f str) -> Result<Self> {
        let kind = file.kind(path);
        let Some((dtype, width)) = kind.and_then(dtype) else {
            let what = format!("its type {kind:?} has no place in safetensors");
            return Err(Error::input(&file.path, path, what, "use the .pt file itself"));
        };
        let shape = file.shape(path).unwrap_or_default().iter().map(|&n| n as usize).collect();
        Ok(Self { file, path, dtype, width, shape })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let tensor = self.file.tensor(self.path)?;
        let mut bytes = vec![0; self.data_len()];
        // The element count keeps its type's size: bytes are copied as they are.
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(bytes)
    }
}

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.bytes().unwrap_or_default())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.width
    }
}

/// Type and bytes of an element.
fn dtype(kind: Kind) -> Option<(Dtype, usize)> {
    Some(match kind {
        Kind::Float => (Dtype::F32, 4),
        Kind::Half => (Dtype::F16, 2),
        Kind::BFloat16 => (Dtype::BF16, 2),
        Kind::Double => (Dtype::F64, 8),
        Kind::Int64 => (Dtype::I64, 8),
        Kind::Int => (Dtype::I32, 4),
        Kind::Int16 => (Dtype::I16, 2),
        Kind::Int8 => (Dtype::I8, 1),
        Kind::Uint8 => (Dtype::U8, 1),
        Kind::Bool => (Dtype::BOOL, 1),
        _ => return None,
    })
}
