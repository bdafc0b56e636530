//! `extract doctor`: what this machine has and what is missing.

#![allow(clippy::print_stdout)]

use crate::weights::checkpoint::{Checkpoint, METADATA};
use serde::{Deserialize, Serialize};
use signclip_common::manifests::Manifests;
use signclip_common::places::{self, Form};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::weight_file::is_lfs_pointer;
use signclip_common::{Error, Result, checksum, devices, json, machine};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// One pretrained file in `manifests/weights.json`.
#[derive(Debug, Deserialize)]
struct WeightFile {
    path: String,
    what: String,
    needed_by: Vec<String>,
    source: String,
    /// Known size and SHA-256; absent where nobody could check them.
    bytes: Option<u64>,
    sha256: Option<String>,
    /// The network in a checkpoint, as it is described when it is recognised.
    holds: Option<String>,
    /// Needed only with a flag.
    #[serde(default)]
    optional: bool,
}

#[derive(Debug, Deserialize)]
struct WeightManifest {
    files: Vec<WeightFile>,
}

/// What was found where a weight file should be.
#[derive(Debug, Serialize)]
struct WeightState {
    path: String,
    what: String,
    needed_by: Vec<String>,
    source: String,
    optional: bool,
    state: &'static str,
    detail: String,
}

impl WeightState {
    fn is_there(&self) -> bool {
        ["present", "converted"].contains(&self.state)
    }
}

/// The whole report.
#[derive(Debug, Serialize)]
struct Report {
    facts: Vec<(&'static str, String)>,
    weights_folder: String,
    weights: Vec<WeightState>,
    /// What the programs can do by default with the files that are there.
    ready: Vec<Ready>,
}

/// Whether a job has its files.
#[derive(Debug, Serialize)]
struct Ready {
    job: &'static str,
    ready: bool,
    missing: Vec<String>,
}

/// Jobs, and which files they need.
const JOBS: [(&str, &[&str]); 4] = [
    ("extract, as the paper", &["extract.spatial", "extract.face", "extract.lips"]),
    ("extract --streams spatial", &["extract.spatial"]),
    ("extract --streams motion", &["extract.motion"]),
    ("train, evaluate", &["train"]),
];

/// Print the report. Reads every present weight file once for its checksum.
pub fn report(weights: Option<&Path>, as_json: bool) -> Result<ExitCode, Vec<Error>> {
    let report = inspect(weights).map_err(|e| vec![e])?;
    if as_json {
        print!("{}", json::pretty(&report).map_err(|e| vec![e])?);
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in &report.facts {
        println!("{name:<12} {value}");
    }
    println!("\nweights in {}", report.weights_folder);
    for file in &report.weights {
        let optional = if file.optional { " (optional)" } else { "" };
        println!("  {:<13} {}{optional}", file.state, file.path);
        println!("                {} ({})", file.what, file.needed_by.join(", "));
        if !file.detail.is_empty() {
            println!("                {}", file.detail);
        }
    }
    println!();
    for Ready { job, ready, missing } in &report.ready {
        let state = if *ready { "ready".to_owned() } else { format!("missing: {}", missing.join(", ")) };
        println!("{job:<26} {state}");
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(weights: Option<&Path>) -> Result<Report> {
    let table: WeightManifest = Manifests::here()?.read("weights")?;
    let folder = places::weights_root(weights);
    let weights_folder = match &folder {
        Ok(folder) => folder.display().to_string(),
        Err(error) => error.to_string(),
    };
    let folder = folder.unwrap_or_else(|_| "weights".into());
    let weights: Vec<WeightState> =
        table.files.into_iter().map(|file| state(&folder, file)).collect::<Result<_>>()?;
    let ready = JOBS.map(|(job, parts)| {
        let needed = |file: &&WeightState| {
            !file.optional && file.needed_by.iter().any(|part| parts.contains(&part.as_str()))
        };
        let absent = weights.iter().filter(needed).filter(|file| !file.is_there());
        let missing: Vec<String> = absent.map(|file| file.path.clone()).collect();
        Ready { job, ready: missing.is_empty(), missing }
    });
    Ok(Report { facts: facts(), weights_folder, weights, ready: ready.into() })
}

fn facts() -> Vec<(&'static str, String)> {
    let cuda = devices::cuda_half();
    let cuda_half = match cuda.is_file() {
        true => format!("{} ({})", cuda.display(), open_state()),
        false => format!("not there ({}); run ./justw setup again", cuda.display()),
    };
    let driver = match devices::driver() {
        Ok(version) => version.unwrap_or_else(|| "present".to_owned()),
        Err(error) => error.to_string(),
    };
    let cpu = machine::cpuinfo();
    let line = |key: &str| cpu.lines().find(|l| l.starts_with(key)).and_then(|l| l.split_once(':'));
    let features: Vec<&str> = line("flags")
        .map(|(_, flags)| flags.split_whitespace().filter(|f| WORTH_NAMING.contains(f)).collect())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    vec![
        ("signclip", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", libtorch(&cuda)),
        ("cuda", cuda_half),
        ("driver", driver),
        ("ffmpeg", ffmpeg()),
        ("opencv", opencv::core::CV_VERSION.to_owned()),
        ("cpu", format!("{}, {cores} cores", line("model name").map_or("unknown", |(_, n)| n.trim()))),
        ("features", features.join(" ")),
        (
            "compute",
            format!("--dtype auto is {} on the CPU", if devices::cpu_has_bf16() { "bf16" } else { "f32" }),
        ),
    ]
}

/// CPU features that decide how fast matrix products are.
const WORTH_NAMING: [&str; 7] =
    ["avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile"];

/// Version and place of the libtorch this program is linked to.
fn libtorch(cuda_half: &Path) -> String {
    let folder = cuda_half.parent().and_then(Path::parent).unwrap_or(Path::new(".libtorch"));
    let header = regular_file::read_to_string(&folder.join("include/torch/headeronly/version.h"), SETTINGS)
        .unwrap_or_default();
    let number = |part: &str| {
        let line = header.lines().find(|l| l.starts_with(&format!("#define TORCH_VERSION_{part} ")));
        line.and_then(|l| l.split_whitespace().last()).unwrap_or("?").to_owned()
    };
    format!("{}.{}.{} in {}", number("MAJOR"), number("MINOR"), number("PATCH"), folder.display())
}

/// FFmpeg's libraries as they were loaded.
fn ffmpeg() -> String {
    let text = |name: &str, v: u32| format!("lib{name} {}.{}.{}", v >> 16, v >> 8 & 255, v & 255);
    [
        text("avformat", ffmpeg_next::format::version()),
        text("avcodec", ffmpeg_next::codec::version()),
        text("swscale", ffmpeg_next::software::scaling::version()),
    ]
    .join(", ")
}

/// Whether the CUDA half opens. It is opened only where there is a driver, since it stays open.
fn open_state() -> String {
    if devices::driver().is_err() {
        return "not opened: no driver".to_owned();
    }
    match devices::open("0") {
        Ok(_) => format!("opens; {} device(s)", tch::Cuda::device_count()),
        Err(error) => error.to_string(),
    }
}

fn state(folder: &Path, file: WeightFile) -> Result<WeightState> {
    let (state, detail) = look(folder, &file)?;
    let WeightFile { path, what, needed_by, source, optional, .. } = file;
    Ok(WeightState { path, what, needed_by, source, optional, state, detail })
}

fn look(folder: &Path, file: &WeightFile) -> Result<(&'static str, String)> {
    let Some((found, form)) = places::weight_file(folder, &file.path) else {
        return Ok(("missing", format!("from {}", file.source)));
    };
    let path = &folder.join(found);
    match form {
        Form::Original => {}
        Form::Converted => return look_at_converted(path, file),
        Form::Torch => return Ok(("present", format!("{} in its place", path.display()))),
    }
    let mut head = Vec::new();
    let opened = match regular_file::open(path) {
        Ok(opened) => opened,
        Err(error) => return Ok(("unusable", Error::io(path)(error).to_string())),
    };
    opened.take(1024).read_to_end(&mut head).map_err(Error::io(path))?;
    if is_lfs_pointer(&head) {
        return Ok((
            "LFS pointer",
            "run `git lfs pull` where it came from, or download the file itself".to_owned(),
        ));
    }
    let length = path.metadata().map_err(Error::io(path))?.len();
    if let Some(bytes) = file.bytes.filter(|bytes| *bytes != length) {
        return Ok(("wrong size", format!("{length} bytes where {bytes} are expected; download it again")));
    }
    let sum = checksum::of_file(path)?;
    let detail = match &file.sha256 {
        Some(wanted) if *wanted != sum => {
            return Ok(("wrong sha256", format!("{sum} where {wanted} is expected")));
        }
        Some(_) => String::new(),
        None => format!("no published checksum to compare with; sha256 {sum}"),
    };
    // Without a checksum the content is what tells the right file from another.
    let content = match path.extension().and_then(|ending| ending.to_str()) {
        Some("pt" | "pth") => right_network(path, file),
        Some("safetensors") => SafetensorsFile::open(path).map(|_| String::new()),
        Some("json") => is_json(path).map(|()| String::new()),
        _ => Ok(String::new()),
    };
    Ok(match content {
        Ok(content) if content.is_empty() || detail.is_empty() => ("present", content + &detail),
        Ok(content) => ("present", format!("{content}; {detail}")),
        Err(error) => ("unusable", error.to_string()),
    })
}

/// What a checkpoint holds. Errors: another network than the one wanted here.
fn right_network(path: &Path, file: &WeightFile) -> Result<String> {
    let found = Checkpoint::open(path)?;
    match &file.holds {
        Some(wanted) if !found.describe().starts_with(wanted.as_str()) => Err(found.mistaken(wanted)),
        _ => Ok(found.describe()),
    }
}

fn is_json(path: &Path) -> Result<()> {
    let text = regular_file::read_to_string(path, SETTINGS).map_err(Error::io(path))?;
    let parsed: Result<serde_json::Value, serde_json::Error> = serde_json::from_str(&text);
    let wrong = |e: serde_json::Error| Error::input(path, "", format!("no JSON ({e})"), "download it again");
    parsed.map(|_| ()).map_err(wrong)
}

/// What `extract convert` made of a file that is not there any more.
fn look_at_converted(path: &Path, file: &WeightFile) -> Result<(&'static str, String)> {
    let found = SafetensorsFile::open(path).and_then(|opened| Ok((opened, right_network(path, file)?)));
    let (opened, network) = match found {
        Ok(found) => found,
        Err(error) => return Ok(("unusable", error.to_string())),
    };
    let source = opened.metadata().get(&format!("{METADATA}source_sha256"));
    if let (Some(wanted), Some(source)) = (&file.sha256, source)
        && wanted != source
    {
        let what = format!("made of a file with sha256 {source} where {wanted} is expected");
        return Ok(("wrong sha256", what));
    }
    Ok(("converted", format!("{network} in {}", path.display())))
}
