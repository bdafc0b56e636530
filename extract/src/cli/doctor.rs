//! `extract doctor`: what this machine has and what is missing.

#![allow(clippy::print_stdout)]

use crate::cli::libraries;
use crate::weights::listed::{WeightFile, WeightManifest, look};
use serde::Serialize;
use signclip_common::manifests::Manifests;
use signclip_common::{Error, Result, devices, json, libtorch, machine, places};
use std::path::Path;
use std::process::ExitCode;

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
    Ok(Report { facts: facts()?, weights_folder, weights, ready: ready.into() })
}

fn facts() -> Result<Vec<(&'static str, String)>> {
    let cuda_half = match libtorch::cuda_half() {
        Ok(path) => format!("{} ({})", path.display(), open_state()),
        Err(looked) => format!("not there; looked at {looked}"),
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
    let manifests = Manifests::here()?.folder;
    let manifests = manifests
        .map_or_else(|| "compiled in".to_owned(), |own| format!("{}, then those compiled in", own.display()));
    Ok(vec![
        ("signclip", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", format!("{} in {}", libtorch::version(), libtorch::libraries().display())),
        ("cuda", cuda_half),
        ("driver", driver),
        ("ffmpeg", libraries::ffmpeg()),
        ("opencv", libraries::opencv()),
        ("cpu", format!("{}, {cores} cores", line("model name").map_or("unknown", |(_, n)| n.trim()))),
        ("features", features.join(" ")),
        (
            "compute",
            format!("--dtype auto is {} on the CPU", if devices::cpu_has_bf16() { "bf16" } else { "f32" }),
        ),
        ("manifests", manifests),
        ("data sets", places::looked_at(&places::data_folders())),
        ("weights", places::looked_at(&places::weights_folders(None))),
    ])
}

/// CPU features that decide how fast matrix products are.
const WORTH_NAMING: [&str; 7] =
    ["avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile"];

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
