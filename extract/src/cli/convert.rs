//! `extract convert`: an official `.pt` or `.pth` file as safetensors, without executing anything that it contains.

#![allow(clippy::print_stdout)]

use crate::weights::checkpoint::{Architecture, Checkpoint, METADATA};
use serde::Serialize;
use signclip_common::safetensors_file::{self, SafetensorsFile};
use signclip_common::torch_file::{self, TorchFile};
use signclip_common::{Error, Result, atomic, checksum, json};
use std::collections::BTreeMap;
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
        print!("{}", json::pretty(&report)?);
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
    let (mut paths, mut table) = (Vec::new(), Vec::new());
    for path in file.names() {
        match path.strip_prefix(&checkpoint.prefix) {
            Some(name) => {
                let kind =
                    file.kind(path).filter(|&kind| safetensors_file::can_store(kind)).ok_or_else(|| {
                        let what = format!("its type {:?} has no place in safetensors", file.kind(path));
                        Error::input(&file.path, path, what, "use the .pt file itself")
                    })?;
                table.push((name.to_owned(), kind, file.shape(path).unwrap_or_default().to_vec()));
                paths.push(path);
            }
            None => {
                let top: Vec<&str> = path.split_inclusive('.').take(2).collect();
                *dropped_tensors.entry(top.concat()).or_insert(0) += 1;
            }
        }
    }
    let architecture = checkpoint.describe();
    let source = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut said = vec![
        ("architecture", architecture.clone()),
        ("source", source),
        ("source_sha256", source_sha256.clone()),
        ("stripped", checkpoint.prefix.clone()),
        ("tool", format!("signclip extract {}", env!("CARGO_PKG_VERSION"))),
    ];
    if let Architecture::AvHubert(config) = &checkpoint.architecture {
        said.push(("layers", config.encoder_layers.to_string()));
        said.push(("width", config.encoder_embed_dim.to_string()));
        said.push(("heads", config.encoder_attention_heads.to_string()));
    }
    let said: Vec<(String, String)> =
        said.into_iter().map(|(key, value)| (format!("{METADATA}{key}"), value)).collect();
    let metadata: Vec<(&str, &str)> =
        said.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let bytes_of =
        |kind: Kind, shape: &[i64]| shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
    let bytes = table.iter().map(|(_, kind, shape)| bytes_of(*kind, shape)).sum();
    if let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    atomic::write_with(&output, |out| {
        safetensors_file::write(out, &metadata, &table, |i| file.tensor(paths[i]))
    })?;
    Ok(Report {
        input: input.to_path_buf(),
        output,
        architecture,
        tensors: table.len(),
        bytes,
        stripped: checkpoint.prefix,
        dropped_tensors,
        dropped_objects: file.placeholders(),
        source_sha256,
    })
}
