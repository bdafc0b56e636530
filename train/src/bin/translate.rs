//! `translate`: one command from a video to text, with the extraction settings of the run's own features.
//!
//! `extract` and the trainer share only files, here as everywhere: `extract --like` writes the clip's features into a
//! temporary folder, and what follows is what `evaluate` does with a split.

#![allow(clippy::print_stdout)]

use clap::Parser;
use serde::{Deserialize, Serialize};
use signclip_common::panics::program;
use signclip_common::progress::start_log;
use signclip_common::store::{Failure, MOUTHING, STORE_FILE, StoreInfo, StreamInfo};
use signclip_common::{Error, Result, atomic, command_line, commit, devices, environment, memory, temporary};
use signclip_train::children;
use signclip_train::data::corpus::{Corpus, Window};
use signclip_train::language::beam_search::BeamSearchConfig;
use signclip_train::report::gate_track::GateTrack;
use signclip_train::training::places::PlaceFlags;
use signclip_train::training::run::RunInfo;
use signclip_train::training::translation::written;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  translate clip.mp4 --run runs/phoenix
  translate talk.mp4 --start 12.5 --end 17 --run runs/how2sign    one sentence of a long video
  translate frames/ --run runs/phoenix --landmarks marks/         a folder of pictures, 25 a second

The features are made as those that the run was trained on: the same networks, settings and weight
files. Where a weight file is missing or another one by now, extract says which.

Exit codes: 0 done; 1 the clip could not be read; 2 could not run; 130 interrupted.";

/// Translate a video with a trained run
#[derive(Debug, Parser)]
#[command(name = "translate", version, after_help = EXAMPLES)]
struct Args {
    /// A video, or a folder of pictures
    #[arg(value_name = "CLIP")]
    clip: PathBuf,
    /// Folder of a run that train wrote
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where the sentence begins in the video, in seconds [default: its beginning]
    #[arg(long, value_name = "SECONDS")]
    start: Option<f64>,
    /// Where it ends [default: the video's end]
    #[arg(long, value_name = "SECONDS")]
    end: Option<f64>,
    /// Where the features of the training are now, if they were moved; once for each folder of the training
    #[arg(long, value_name = "DIR")]
    features: Vec<PathBuf>,
    /// Where the run's language model is now, if it was moved
    #[arg(long, value_name = "DIR")]
    language_model: Option<PathBuf>,
    /// Folder with the weight files of the frozen networks [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Folder with the landmarks of the clip, where the run's features were cut by such: DIR/CLIP.npy
    #[arg(long, value_name = "DIR")]
    landmarks: Option<PathBuf>,
    /// How many of the best translations are printed; at most the beams of the run's search [default: 5, or all beams]
    #[arg(long, value_name = "N")]
    n_best: Option<NonZero<usize>>,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let (args, _) = command_line::read::<Args>(commit!(), &[]);
    environment::for_gpus();
    environment::huge_pages();
    memory::start();
    program(|| run(&args).map_err(|e| vec![e]))
}

fn run(args: &Args) -> Result<ExitCode> {
    let list = args.gpus.clone().unwrap_or_else(devices::default_device);
    let device = devices::open_one(&list)?;
    start_log(None)?;
    check(args)?;
    let mut info = RunInfo::read(&args.run)?;
    if let Some(features) = args.features.iter().find(|features| !features.is_dir()) {
        return Err(Error::input(features, "", "no folder here", "correct --features, or leave it out"));
    }
    info.find_features(&args.run, &args.features)?;
    find_language_model(args, &mut info)?;
    let beams = info.settings.decoding.num_beams;
    if let Some(n) = args.n_best.filter(|n| n.get() > beams) {
        let remedy = format!("give at most {beams}, or train a run with more: --set decoding.num_beams={n}");
        return Err(Error::usage(format!("--n-best {n}: the run's search has {beams} beams"), remedy));
    }
    let made = info.folders().iter().map(|folder| first_split(folder)).collect::<Result<Vec<_>>>()?;
    info.check_features(made.iter().map(|(folder, info)| (folder.as_path(), info)))?;
    let mouthing = made
        .iter()
        .find_map(|(_, info)| info.streams.get(MOUTHING))
        .map(|stream| &stream.config["landmarks"]);
    if args.landmarks.is_some() && mouthing.is_none_or(|landmarks| landmarks != "files") {
        let what = "--landmarks: the run's features were not cut by landmarks from files";
        return Err(Error::usage(what, "leave it out"));
    }
    let place = temporary::folder()?;
    let folder = place.path().to_path_buf();
    children::end_on_interrupt(move || {
        if let Err(e) = std::fs::remove_dir_all(&folder) {
            tracing::warn!("{}: {e}", folder.display());
        }
    })?;
    let begun = Instant::now();
    let (mut extractions, mut folders) = (Vec::new(), Vec::new());
    for (number, like) in info.folders().iter().enumerate() {
        let out = place.path().join(format!("features-{number}"));
        match extract(args, like, &list, place.path(), &out)? {
            Extraction::Done(extraction) => extractions.push(extraction),
            Extraction::Refused(code) => return Ok(ExitCode::from(code)),
        }
        folders.push(out);
    }
    let extracted = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let corpus = Corpus::without_texts(&folders, SPLIT, &info.settings)?;
    let text = info.text(&args.run)?;
    let (model, _) = info.trained(&args.run, &corpus, &text, device)?;
    let loaded = begun.elapsed().as_secs_f64();
    let begun = Instant::now();

    let search = BeamSearchConfig {
        num_return_sequences: args.n_best.map_or(beams.min(5), NonZero::get),
        ..info.settings.decoding.clone()
    };
    let found = model.translate(&corpus.batch(&[0], Window::Middle)?.to_device(device), &search)?;
    let rules = corpus.store.info.text;
    let hypotheses = found
        .iter()
        .flatten()
        .map(|hypothesis| Ok(Scored { text: written(hypothesis, &text, rules)?, score: hypothesis.score }));
    let hypotheses = hypotheses.collect::<Result<Vec<_>>>()?;
    let translated = begun.elapsed().as_secs_f64();
    let streams = corpus.stores().flat_map(|store| store.info.streams.values());
    let (frames, taken) = (corpus.store.clips[0].frames, corpus.middle(0));
    let translation = Translation {
        sentence: hypotheses.first().map(|best| best.text.clone()).unwrap_or_default(),
        hypotheses,
        frames,
        taken: [taken.0, taken.0 + taken.1],
        face_coverage: corpus.stores().find_map(|store| store.clips[0].facts.face_coverage),
        gate: GateTrack::of(&model, &corpus, 1)?.and_then(|mut tracks| tracks.pop()),
        weights: streams.flat_map(|stream| stream.weights.clone()).collect(),
        seconds: Extracted::seconds_by_stage(&extractions, extracted)
            .into_iter()
            .chain([("load the model", loaded), ("translate", translated)])
            .collect(),
    };
    match args.json {
        true => println!("{:#}", serde_json::json!(translation)),
        false => print!("{}", translation.table()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The run's language model: where a flag says, where it was, or in the folder of the other weights.
fn find_language_model(args: &Args, info: &mut RunInfo) -> Result<()> {
    let flags = PlaceFlags { language_model: args.language_model.clone(), weights: None };
    let found = info.find_language_model(&args.run, &flags);
    if found.is_ok() || args.weights.is_none() || args.language_model.is_some() {
        return found;
    }
    let below = PlaceFlags { language_model: None, weights: args.weights.clone() };
    info.find_language_model(&args.run, &below).or(found)
}

/// A split of the features, and how they were made.
fn first_split(features: &Path) -> Result<(PathBuf, StoreInfo)> {
    let entries = std::fs::read_dir(features).map_err(Error::io(features))?;
    let folders = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let folder = folders.filter(|folder| folder.join(STORE_FILE).is_file()).min().ok_or_else(|| {
        Error::input(
            features,
            "",
            "no feature store here",
            "give the folder that extract wrote: --features DIR",
        )
    })?;
    let info = StoreInfo::read(&folder)?;
    Ok((folder, info))
}

/// The path of the clip from the root, links as they are.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io(path))
}

/// Refuse a part of a clip that cannot be, before anything is loaded.
fn check(args: &Args) -> Result<()> {
    let shown = args.clip.display();
    let wrong = |what: String, remedy: &str| Err(Error::usage(format!("{shown}: {what}"), remedy));
    if absolute(&args.clip)?.to_str().is_none() {
        return wrong(
            "its name is not UTF-8".to_owned(),
            "rename it, or make a link to it with another name",
        );
    }
    let seconds = "give seconds from the beginning of the video, as in --start 12.5 --end 17";
    for (flag, value) in [("--start", args.start), ("--end", args.end)] {
        match value {
            Some(value) if !(value.is_finite() && value >= 0.0) => {
                return wrong(format!("{flag} {value} is not a time in it"), seconds);
            }
            Some(_) if args.clip.is_dir() => {
                return wrong(
                    format!("{flag} in a folder of pictures"),
                    "leave it out, and give a folder with those alone",
                );
            }
            _ => {}
        }
    }
    match args.end {
        Some(end) if end <= args.start.unwrap_or(0.0) => {
            wrong(format!("--end {end} is not after its start"), seconds)
        }
        _ => Ok(()),
    }
}

/// Split of the clip's features.
const SPLIT: &str = "all";

enum Extraction {
    Done(Extracted),
    /// Exit code of `extract`; the console says why.
    Refused(u8),
}

/// What `extract --json` says of a split.
#[derive(Debug, Deserialize)]
struct Extracted {
    /// From the first clip's beginning to the last one's end.
    seconds: f64,
    stages: Stages,
    failures: Vec<Failure>,
}

/// Shares of the devices' time by network.
#[derive(Debug, Deserialize)]
struct Stages {
    faces: f64,
    spatial: f64,
    motion: f64,
    lips: f64,
}

impl Extracted {
    /// Where the time went, of `total` seconds from start to end of the program.
    fn seconds_by_stage(all: &[Self], total: f64) -> Vec<(&'static str, f64)> {
        let sum =
            |share: fn(&Stages) -> f64| all.iter().map(|one| one.seconds * share(&one.stages)).sum::<f64>();
        let all = sum(|_| 1.0);
        let [faces, hands, motion, lips] =
            [sum(|s| s.faces), sum(|s| s.spatial), sum(|s| s.motion), sum(|s| s.lips)];
        vec![
            ("load the networks", total - all),
            ("faces", faces),
            ("hands", hands),
            ("motion", motion),
            ("lips", lips),
            ("decode and cut", (all - faces - hands - motion - lips).max(0.0)),
        ]
    }
}

/// Make the features of the clip in `out`, as those of the store `like`. `place`: a temporary folder.
fn extract(args: &Args, like: &Path, devices: &str, place: &Path, out: &Path) -> Result<Extraction> {
    let clip = absolute(&args.clip)?;
    clip.metadata().map_err(Error::io(&args.clip))?;
    let id = if clip.is_dir() { clip.file_name() } else { clip.file_stem() };
    let kind = if clip.is_dir() { "frames" } else { "video" };
    let line = serde_json::json!({
        "id": id.map(|id| id.to_string_lossy()),
        (kind): clip,
        "start": args.start,
        "end": args.end,
    });
    let list = place.join("clip.jsonl");
    atomic::write(&list, format!("{line}\n").as_bytes())?;
    let program = std::env::current_exe().map_err(Error::io("translate"))?.with_file_name("extract");
    if !program.is_file() {
        return Err(Error::input(&program, "", "the program is not there", "build it: ./justw build"));
    }
    let mut command = Command::new(&program);
    command.arg("--dataset").arg(&list).arg("--like").arg(like);
    command.arg("--out").arg(out).args(["--json", "--gpus", devices]);
    for (flag, folder) in [("--weights", &args.weights), ("--landmarks", &args.landmarks)] {
        if let Some(folder) = folder {
            command.arg(flag).arg(folder);
        }
    }
    // Warnings only, where the user does not say otherwise, without that of a clip that failed, which is told below; and
    // the whole clip, whatever job this runs in.
    let level = std::env::var("SIGNCLIP_LOG").unwrap_or_else(|_| "warn".to_owned());
    command.env("SIGNCLIP_LOG", format!("{level},signclip_extract::run::pipeline=off"));
    command.args(["--shard", "1/1"]).stdout(Stdio::piped());
    let (status, said) = children::run(&mut command).map_err(Error::io(&program))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2);
    if code > 1 {
        return Ok(Extraction::Refused(code));
    }
    let outcome: Result<BTreeMap<String, Extracted>, _> = serde_json::from_slice(&said);
    match outcome.ok().and_then(|mut outcome| outcome.remove(SPLIT)) {
        Some(extracted) if code == 0 => Ok(Extraction::Done(extracted)),
        Some(extracted) => {
            for failure in extracted.failures {
                tracing::error!("{}: {}", args.clip.display(), failure.reason);
            }
            Ok(Extraction::Refused(code))
        }
        None => Err(Error::input(
            &program,
            "",
            "its answer was not understood",
            "build all programs: ./justw build",
        )),
    }
}

/// What is printed.
#[derive(Serialize)]
struct Translation {
    sentence: String,
    /// Best first.
    hypotheses: Vec<Scored>,
    /// Frames of the clip at 25 a second, and from which to which they were looked at.
    frames: usize,
    taken: [usize; 2],
    /// Share of frames with a face; absent where none was looked for.
    face_coverage: Option<f64>,
    /// Absent where the run has no gate.
    gate: Option<GateTrack>,
    /// SHA-256 of the networks' files, or the salt of computed weights.
    weights: BTreeMap<String, String>,
    seconds: Vec<(&'static str, f64)>,
}

#[derive(Serialize)]
struct Scored {
    text: String,
    /// Summed log probability, normalised by length.
    score: f64,
}

impl Translation {
    fn table(&self) -> String {
        /// Blocks of the gate strip.
        const WIDTH: usize = 64;
        let mut out = format!("{}\n\n", self.sentence);
        for Scored { text, score } in &self.hypotheses {
            out += &format!("{score:>8.3}  {text}\n");
        }
        if let Some(gate) = &self.gate {
            out += &format!("\ngate      {}\n", gate.blocks(WIDTH));
            out += &format!("          ▁ mouth, █ hands; mean {:.2}\n", gate.overall());
        }
        let [from, to] = self.taken;
        if to - from < self.frames {
            out += &format!("frames    {from} to {to} of {}: the run's max_frames\n", self.frames);
        }
        if let Some(coverage) = self.face_coverage {
            out += &format!("face      in {:.0} % of the frames\n", 100.0 * coverage);
        }
        let untrained = self.weights.iter().filter(|(_, identity)| StreamInfo::is_computed(identity));
        let untrained: Vec<&str> = untrained.map(|(name, _)| name.trim_end_matches(" (computed)")).collect();
        if !untrained.is_empty() {
            out += &format!(
                "untrained {}: computed weights, for trying the programs out\n",
                untrained.join(", ")
            );
        }
        let seconds: Vec<String> = self.seconds.iter().map(|(what, s)| format!("{what} {s:.1}")).collect();
        let total: f64 = self.seconds.iter().map(|(_, seconds)| seconds).sum();
        out + &format!("seconds   {total:.1}: {}\n", seconds.join(", "))
    }
}
