//! `extract import`: a store of features that others made.

#![allow(clippy::print_stdout)]

use crate::cli::args::ImportArgs;
use crate::cli::summary::{next_step, print_json};
use crate::import::foreign::Foreign;
use crate::import::survey::{self, Found};
use crate::import::work::{Imported, Work, check_clips};
use crate::run::heartbeat::{Heartbeat, State};
use crate::run::interrupt;
use crate::run::plan::Plan;
use crate::run::rank::Rank;
use signclip_common::manifest::Split;
use signclip_common::progress::{Progress, start_log};
use signclip_common::store::{self, FORMAT, Failure, STORE_FILE, StoreDtype, StoreInfo, StoreWriter};
use signclip_common::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Imports what the flags name.
pub fn run(args: &ImportArgs) -> Result<ExitCode> {
    if !args.selection.videos.is_empty() {
        let what = "--videos: features are imported, not made of videos";
        return Err(Error::usage(what, "give --dataset NAME, or --dataset FILE.jsonl"));
    }
    let plan = Plan::of_features(&args.selection)?;
    plan.check_annotations()?;
    let streams = streams(args)?;
    if !args.dir.is_dir() {
        return Err(Error::input(&args.dir, "", "no such folder", "give the folder of the features"));
    }
    let out = args.out.clone().unwrap_or_else(|| Path::new("cache").join(&plan.dataset.name));
    interrupt::listen();
    std::fs::create_dir_all(&out).map_err(Error::io(&out))?;
    start_log(Some(&out.join("extract.log.jsonl")))?;
    tracing::info!("{} from {} into {}", plan.dataset.title, args.dir.display(), out.display());
    let look = |split: &Split| survey::look_at_all(&args.dir, &streams, &split.clips, &plan.names(split));
    let found: Vec<Vec<Found>> = plan.splits.iter().map(look).collect();
    let stores = stores(&out)?;
    let dims = survey::widths(&streams, &args.dir, &stores, &found.iter().flatten().collect::<Vec<_>>())?;
    for (stream, dim) in streams.iter().zip(&dims) {
        tracing::info!("{}: {} columns, {}", stream.name, dim, stream.pattern.as_str());
    }
    let mut shares = Vec::new();
    for (split, found) in plan.splits.iter().zip(&found) {
        let folder = out.join(&split.name);
        let there = stores.iter().find(|(store, _)| *store == folder).map(|(_, info)| info.dtype);
        let gone = match there {
            Some(dtype) => check_clips(&folder, dtype, &streams, &split.clips, found)?,
            None => Vec::new(),
        };
        let dtype = survey::dtype(there.map(|dtype| (folder.as_path(), dtype)), found)?;
        let info = describe(args, &plan, split, &streams, &dims, dtype);
        shares.push(open(args, &plan, split, &gone, info, &folder)?);
    }
    let mut done = BTreeMap::new();
    for ((split, found), (store, heartbeat)) in plan.splits.iter().zip(&found).zip(&mut shares) {
        let work =
            Work { streams: &streams, clips: &split.clips, found, folder: &args.dir, fps: fps(args, &plan) };
        done.insert(split.name.clone(), import(&work, &split.name, store, heartbeat)?);
    }
    report(args, &plan, &out, &done)
}

/// The stores of splits that there are in the folder of the import.
fn stores(out: &Path) -> Result<Vec<(PathBuf, StoreInfo)>> {
    let mut stores = Vec::new();
    for entry in std::fs::read_dir(out).map_err(Error::io(out))? {
        let folder = entry.map_err(Error::io(out))?.path();
        if folder.join(STORE_FILE).is_file() {
            let info = StoreInfo::read(&folder)?;
            stores.push((folder, info));
        }
    }
    stores.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(stores)
}

/// The streams of the flags, sorted by name as a store has them.
fn streams(args: &ImportArgs) -> Result<Vec<Foreign>> {
    let mut streams = args.streams.clone();
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    match streams.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => {
            let what = format!("--stream {}: given twice", pair[0].name);
            Err(Error::usage(what, "give each stream once"))
        }
        None => Ok(streams),
    }
}

/// Frames per second of the features.
fn fps(args: &ImportArgs, plan: &Plan) -> f64 {
    args.fps.unwrap_or(plan.dataset.fps)
}

fn describe(
    args: &ImportArgs,
    plan: &Plan,
    split: &Split,
    streams: &[Foreign],
    dims: &[usize],
    dtype: StoreDtype,
) -> StoreInfo {
    let described =
        streams.iter().zip(dims).map(|(stream, &dim)| (stream.name.clone(), stream.describe(dim)));
    StoreInfo {
        format: FORMAT,
        dataset: plan.dataset.name.clone(),
        split: split.name.clone(),
        language: plan.dataset.language.clone(),
        text: plan.dataset.text,
        dtype,
        fps: fps(args, plan),
        streams: described.collect(),
        config: serde_json::json!({}),
        tool: format!("signclip extract import {}", env!("CARGO_PKG_VERSION")),
    }
}

/// The store of a split, in which the clips `gone` are that the data set has no longer.
fn open(
    args: &ImportArgs,
    plan: &Plan,
    split: &Split,
    gone: &[String],
    info: StoreInfo,
    folder: &Path,
) -> Result<(StoreWriter, Heartbeat)> {
    if let (Some(first), true) = (gone.first(), args.selection.all_clips()) {
        let (count, folder) = (gone.len(), folder.display());
        tracing::warn!("{folder}: {count} clips are not in the data set any more and stay, e.g. {first}");
    }
    let mut store = StoreWriter::open(folder, info, 0)?;
    for id in &args.selection.only {
        if store.reopen_damaged(id)? {
            tracing::warn!("{id}: its bytes are not those that were written; it is imported again");
        }
    }
    if args.selection.all_clips() {
        let known: HashSet<&str> = split.clips.iter().map(|clip| clip.id.as_str()).collect();
        store.forget_failures(|id| known.contains(id))?;
    }
    store::expect(folder, plan.to_be(split, &args.selection, store::expected(folder)?))?;
    let rank = Rank { number: 0, world: 1, source: "", local: None };
    let heartbeat = Heartbeat::new(folder, &rank, split.clips.len());
    Ok((store, heartbeat))
}

fn import(work: &Work, split: &str, store: &mut StoreWriter, heartbeat: &Heartbeat) -> Result<Imported> {
    let frames = work.frames(store);
    let progress = Progress::new(split, frames, "frames");
    heartbeat.count(work.clips.iter().filter(|clip| store.is_done(&clip.id)).count(), 0);
    heartbeat.begin(frames);
    let done = work.run(store, &progress, heartbeat);
    progress.finish();
    let state = match &done {
        Ok(done) if done.left > 0 => State::Interrupted,
        Ok(_) => State::Finished,
        Err(_) => State::Stopped,
    };
    heartbeat.end(state, progress.done());
    done
}

/// Prints what was done. Exit code 1 where clips failed, 130 where some were not tried.
fn report(args: &ImportArgs, plan: &Plan, out: &Path, done: &BTreeMap<String, Imported>) -> Result<ExitCode> {
    let failures: Vec<&Failure> = done.values().flat_map(|d| &d.failures).collect();
    let left: usize = done.values().map(|d| d.left).sum();
    let unknown: usize = done.values().map(|d| d.frames_unknown).sum();
    if args.json {
        print_json(done)?;
    } else {
        println!("split      stored  already there  failed     frames   frames/s");
        for (name, d) in done {
            let (failed, rate) = (d.failures.len(), d.frames as f64 / d.seconds.max(1e-9));
            println!(
                "{name:<8} {:>8} {:>14} {failed:>7} {:>10} {rate:>10.1}",
                d.stored, d.already_done, d.frames
            );
        }
        for failure in &failures {
            println!("failed: {}: {}", failure.id, failure.reason);
        }
        if unknown > 0 {
            println!(
                "{unknown} clips: how many frames they have is not known, as no stream has a row for each and no pictures are \
                 there; the least number is stored, marked as such (\"frames_unknown\")"
            );
        }
        println!("\nfeatures: {}", out.display());
        if !failures.is_empty() {
            println!(
                "{} clips failed (failures-00000.jsonl); make their features again and run the same command",
                failures.len()
            );
        }
        if left > 0 {
            println!("interrupted: {left} clips were not tried; the same command resumes with them");
        }
        println!("check:    extract --verify --out {}", out.display());
        println!("next:     {}", next_step(plan, out));
    }
    Ok(match (left, failures.is_empty()) {
        (0, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(1),
        _ => ExitCode::from(interrupt::EXIT_CODE),
    })
}
