//! `extract`: see `args.rs` for the command line.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use signclip_common::manifest::{Clip, Split};
use signclip_common::panics::program;
use signclip_common::progress::{Progress, start_log};
use signclip_common::store::{self, STORE_FILE, StoreWriter};
use signclip_common::{Error, Result, devices, memory};
use signclip_extract::cli::args::{Cli, Command, RunArgs};
use signclip_extract::cli::calibrate::calibrate;
use signclip_extract::run::changed::check_clips;
use signclip_extract::run::heartbeat::{Heartbeat, State};
use signclip_extract::run::in_flight::InFlight;
use signclip_extract::run::interrupt;
use signclip_extract::recipe::like::Like;
use signclip_extract::run::networks::Networks;
use signclip_extract::run::pipeline::{Outcome, Work};
use signclip_extract::run::plan::{Plan, bytes};
use signclip_extract::run::rank::Rank;
use signclip_extract::recipe::{Settings, row_bytes};
use signclip_extract::cli::summary::{Outcomes, print_json, summarise};
use signclip_extract::cli::unused::{unused_flags, unused_without_videos};
use signclip_extract::{convert, doctor, status};
use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tch::Device;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    memory::huge_pages();
    memory::start();
    program(|| match cli.command {
        Some(Command::Doctor { weights, json }) => doctor::report(weights.as_deref(), json),
        Some(Command::Convert { input, output, json }) => {
            convert::run(&input, output.as_deref(), json).map_err(|e| vec![e])
        }
        Some(Command::Status(args)) => status::report(&args),
        None => {
            if let Some(store) = cli.run.like.clone() {
                Like::read(&store).and_then(|like| like.lay_over(&mut cli.run)).map_err(|e| vec![e])?;
            }
            let given = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
            // Before any log is there.
            unused_flags(&cli.run, given).iter().for_each(|unused| eprintln!(" WARN {unused}"));
            if cli.run.verify {
                return run_verify(&cli.run);
            }
            if cli.run.dry_run { dry_run(&cli.run) } else { run(&cli.run) }
        }
    })
}

/// Every problem found, so that the user can fix them together.
type Problems = Vec<Error>;

fn dry_run(args: &RunArgs) -> Result<ExitCode, Problems> {
    let plan = Plan::new(args).map_err(|e| vec![e])?;
    unused_without_videos(args, &plan).iter().for_each(|unused| eprintln!(" WARN {unused}"));
    let rank = Rank::find(args.shard.as_deref()).map_err(|e| vec![e])?;
    let mut summary = plan.summary(row_bytes(args));
    if args.calibrate {
        start_log(None).map_err(|e| vec![e])?;
        let devices = open_devices(args, Some(&rank)).map_err(|e| vec![e])?;
        let settings = Settings::new(args, plan.dataset.spatial_squash, devices[0])?;
        let calibration = calibrate(&plan, &rank, &settings, &devices, row_bytes(args));
        summary.calibration = Some(calibration.map_err(|e| vec![e])?);
    } else {
        // Whatever device it will be: what is asked here is whether everything is there.
        let settings = Settings::new(args, plan.dataset.spatial_squash, Device::Cpu);
        summary.not_ready = settings.err().unwrap_or_default().iter().map(Error::to_string).collect();
    }
    if args.json {
        print_json(&summary).map_err(|e| vec![e])?;
    } else {
        print!("{}", summary.table());
        summary.not_ready.iter().for_each(|problem| println!("\nnot ready: {problem}"));
        let out = out(args, &plan.dataset.name);
        println!("\nNothing was done. The same command without --dry-run writes {}.", out.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn run(args: &RunArgs) -> Result<ExitCode, Problems> {
    let mut problems = Problems::new();
    let plan = Plan::new(args).and_then(|plan| plan.check().map(|()| plan));
    let plan = plan.map_err(|e| problems.push(e)).ok();
    let unused = plan.iter().flat_map(|plan| unused_without_videos(args, plan));
    unused.for_each(|unused| eprintln!(" WARN {unused}"));
    let rank = Rank::find(args.shard.as_deref()).map_err(|e| problems.push(e)).ok();
    let devices = open_devices(args, rank.as_ref());
    let first = devices.as_ref().map_or(Device::Cpu, |devices| devices[0]);
    let squash = plan.as_ref().and_then(|plan| plan.dataset.spatial_squash);
    let settings = Settings::new(args, squash, first).map_err(|e| problems.extend(e)).ok();
    let devices = devices.map_err(|e| problems.push(e)).ok();
    let (Some(plan), Some(rank), Some(devices), Some(settings)) = (plan, rank, devices, settings) else {
        return Err(problems);
    };
    extract(args, &plan, &rank, &devices, &settings).map_err(|e| vec![e])
}

/// The devices of this process, one for each thread that will serve: the processor has as many as it has cores, each with
/// clips of its own, which keeps them busier than splitting every operation among them, and leaves each feature the same
/// on any number of cores. Opens CUDA where asked to: no tensor may exist before.
fn open_devices(args: &RunArgs, rank: Option<&Rank>) -> Result<Vec<Device>> {
    let visible = || {
        let all = devices::default_list();
        rank.map_or(all.clone(), |rank| rank.devices(&all))
    };
    let mut devices = devices::open(&args.gpus.clone().unwrap_or_else(visible))?;
    tch::set_num_threads(1);
    let of_processor = devices.iter().filter(|&&device| device == Device::Cpu).count();
    if of_processor > 0 {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        devices.extend((of_processor..cores).map(|_| Device::Cpu));
    }
    Ok(devices)
}

/// A split, this rank's clips of it, and where they go.
struct Share<'p> {
    split: &'p Split,
    clips: Vec<Clip>,
    store: StoreWriter,
    heartbeat: Heartbeat,
    in_flight: InFlight,
}

fn extract(
    args: &RunArgs,
    plan: &Plan,
    rank: &Rank,
    devices: &[Device],
    settings: &Settings,
) -> Result<ExitCode> {
    let out = out(args, &plan.dataset.name);
    let shares = shares(args, plan, rank, &out)?;
    if args.retry_failed && shares.iter().all(|portion| portion.clips.is_empty()) {
        println!("nothing to try again: no clip of this command failed before in {}", out.display());
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::listen();
    std::fs::create_dir_all(&out).map_err(Error::io(&out))?;
    // Two machines that append to one file over a network may overwrite each other's lines.
    let log = match rank.world {
        1 => "extract.log.jsonl".to_owned(),
        _ => format!("extract-{:05}.log.jsonl", rank.number),
    };
    start_log(Some(&out.join(log)))?;
    if let Some(warning) = settings.warning() {
        tracing::warn!("{warning}");
    }
    devices::warn_of_slow_bf16(settings.kind(), devices);
    let root = plan.root.display().to_string();
    let from = if root.is_empty() { root } else { format!(" from {root}") };
    tracing::info!("{}{from} into {}", plan.dataset.title, out.display());
    settings.describe().iter().for_each(|line| tracing::info!("{line}"));
    tracing::info!("on {}", devices::names(devices).join(", "));
    if rank.world > 1 {
        tracing::info!("{rank}");
    }
    for remark in plan.splits.iter().flat_map(|s| &s.remarks) {
        tracing::warn!("{remark}");
    }
    // Before the stores: weights that do not load must not become part of a store's description.
    let mut networks = settings.all_networks(devices)?;
    let sums = settings.weight_sums()?;
    for folder in plan.splits.iter().filter_map(|split| preview(args, split)) {
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    }
    let like = args.like.as_deref().map(Like::read).transpose()?;
    let mut opened = Vec::new();
    for Portion { split, rank, clips, gone } in shares {
        let info = settings.store_info(plan, &split.name, &sums);
        if let Some(like) = &like {
            like.check(&info)?;
        }
        let folder = out.join(&split.name);
        if let (Some(first), true) = (gone.first(), args.all_clips()) {
            let (count, folder) = (gone.len(), folder.display());
            tracing::warn!("{folder}: {count} clips are not in the data set any more and stay, e.g. {first}");
        }
        let mut store = StoreWriter::open(&folder, info, rank.number)?;
        for id in &args.only {
            if store.reopen_damaged(id)? {
                tracing::warn!("{id}: its bytes are not those that were written; it is made again");
            }
        }
        if args.all_clips() {
            let known: HashSet<&str> = split.clips.iter().map(|clip| clip.id.as_str()).collect();
            store.forget_failures(|id| known.contains(id))?;
        }
        // A part that is named says nothing about how many clips there are to be; a limit does, but takes nothing back.
        let before = store::expected(&folder)?;
        let total = match args.limit {
            _ if !args.only.is_empty() => before.unwrap_or(plan.total(split)),
            Some(_) => split.clips.len().max(before.unwrap_or(0)),
            None => split.clips.len(),
        };
        store::expect(&folder, total)?;
        let heartbeat = Heartbeat::new(&folder, &rank, clips.len());
        let in_flight = InFlight::begin(&folder, rank.number)?;
        if args.retry_failed || !args.only.is_empty() {
            in_flight.forgive(clips.iter().map(|clip| clip.id.as_str()))?;
        }
        opened.push(Share { split, clips, store, heartbeat, in_flight });
    }
    let mut outcomes = Outcomes::new();
    for share in &mut opened {
        let outcome = work(args, plan, settings, share, &mut networks)?;
        outcomes.insert(share.split.name.clone(), outcome);
    }
    opened.into_iter().for_each(|share| share.in_flight.finish());
    summarise(args, plan, &out, &outcomes)
}

/// What this process is to do of a split, and as which rank.
struct Portion<'p> {
    split: &'p Split,
    rank: Rank,
    clips: Vec<Clip>,
    /// Clips of the store that the data set does not have.
    gone: Vec<String>,
}

/// By split: this rank's share, or what failed of it before, or what was named.
fn shares<'p>(args: &RunArgs, plan: &'p Plan, rank: &Rank, out: &Path) -> Result<Vec<Portion<'p>>> {
    let mut shares = Vec::new();
    for split in &plan.splits {
        let folder = out.join(&split.name);
        let gone = check_clips(&folder, &split.clips, &plan.root)?;
        let (rank, mut clips) = match args.only.is_empty() {
            true => (rank.clone(), rank.share(&split.clips)),
            false => rank.share_named(&folder, &split.clips)?,
        };
        if args.retry_failed {
            let failed = if folder.is_dir() { store::failures(&folder)? } else { Vec::new() };
            let failed: HashSet<String> = failed.into_iter().map(|(_, failure)| failure.id).collect();
            clips.retain(|clip| failed.contains(&clip.id));
        }
        shares.push(Portion { split, rank, clips, gone });
    }
    Ok(shares)
}

/// Where a split's contact sheets go.
fn preview(args: &RunArgs, split: &Split) -> Option<PathBuf> {
    args.preview.as_ref().map(|folder| folder.join(&split.name))
}

fn work(
    args: &RunArgs,
    plan: &Plan,
    settings: &Settings,
    share: &mut Share,
    networks: &mut Vec<Arc<Networks>>,
) -> Result<Outcome> {
    let Share { split, clips, store, heartbeat, in_flight } = share;
    let expected = plan.frames(clips.iter().filter(|c| !store.is_done(&c.id)));
    let progress = Progress::new(&split.name, expected, "frames");
    let preview = preview(args, split);
    let work = Work {
        clips,
        settings,
        reading: plan.reading,
        root: &plan.root,
        splits: &plan.names(split),
        preview: preview.as_deref(),
    };
    heartbeat.count(clips.iter().filter(|c| store.is_done(&c.id)).count(), 0);
    heartbeat.begin(expected);
    let outcome = work.run(networks, store, &progress, heartbeat, in_flight);
    let done = progress.done();
    progress.finish();
    heartbeat.end(
        match &outcome {
            Ok(outcome) if outcome.left > 0 => State::Interrupted,
            Ok(_) => State::Finished,
            Err(_) => State::Stopped,
        },
        done,
    );
    outcome
}

fn run_verify(args: &RunArgs) -> Result<ExitCode, Problems> {
    check_stores(args).map_err(|e| vec![e])
}

fn check_stores(args: &RunArgs) -> Result<ExitCode> {
    start_log(None)?;
    let Some(out) = args.out.clone().or_else(|| args.dataset.as_deref().map(|d| out(args, &dataset_name(d))))
    else {
        return Err(Error::usage("--verify: no store named", "add --out DIR or --dataset NAME"));
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    if !out.is_dir() {
        return Err(Error::input(&out, "", "no such folder", "name one that extract wrote, with --out DIR"));
    }
    for entry in std::fs::read_dir(&out).map_err(Error::io(&out))? {
        let folder = entry.map_err(Error::io(&out))?.path();
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        // A store that lost its description is one too.
        let is_store = folder.join(STORE_FILE).is_file() || folder.join("clips-00000.jsonl").is_file();
        if is_store && (args.split.is_empty() || args.split.contains(&name)) {
            folders.push(folder);
        }
    }
    folders.sort();
    if let Some(split) = args.split.iter().find(|split| !folders.contains(&out.join(split))) {
        return Err(Error::input(
            &out,
            "",
            format!("no split {split:?} here"),
            "correct --split, or leave it out",
        ));
    }
    if folders.is_empty() {
        return Err(Error::input(&out, "", "no feature store here", "make one with: extract --dataset NAME"));
    }
    let mut reports = BTreeMap::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let total = store::payload_bytes(&folder)?;
        let progress = Progress::new(&name, total, "bytes");
        let report = store::verify(&folder, |n| progress.advance(n, String::new))?;
        progress.finish();
        reports.insert(name, report);
    }
    let problems: usize = reports.values().map(|r| r.problems.len()).sum();
    if args.json {
        print_json(&reports)?;
    } else {
        for (name, r) in &reports {
            println!("{name:<8} {:>7} clips {:>9} frames {:>12}", r.clips, r.frames, bytes(r.bytes));
            r.problems.iter().for_each(|p| println!("  {p}"));
        }
        match problems {
            0 => println!("every length and checksum agrees, every value is finite"),
            n => println!(
                "{n} problems; make the clips named again with the command that made the store and --only ID"
            ),
        }
    }
    Ok(if problems > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Where features go: `--out`, else `cache/<dataset>`.
fn out(args: &RunArgs, dataset: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| Path::new("cache").join(dataset))
}

fn dataset_name(dataset: &str) -> String {
    let stem = Path::new(dataset).file_stem().map(|s| s.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| dataset.to_owned())
}
