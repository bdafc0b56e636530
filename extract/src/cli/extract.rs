//! `extract`: from the resolved flags to the stores of each split.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use crate::cli::args::RunArgs;
use crate::cli::job::{self, Job, Problems};
use crate::cli::like::Like;
use crate::cli::summary::{Outcomes, summarise};
use crate::cli::unused::unused_without_videos;
use crate::recipe::Recipe;
use crate::run::changed::check_clips;
use crate::run::heartbeat::{Heartbeat, State};
use crate::run::in_flight::InFlight;
use crate::run::interrupt;
use crate::run::networks::Networks;
use crate::run::pipeline::{Outcome, Work};
use crate::run::plan::Plan;
use crate::run::rank::Rank;
use signclip_common::manifest::{Clip, Split};
use signclip_common::progress::{Progress, start_log};
use signclip_common::store::{self, StoreWriter};
use signclip_common::{Error, Result, devices, plural};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// A split, this rank's clips of it, and where they go.
struct Share<'p> {
    split: &'p Split,
    clips: Vec<Clip>,
    store: StoreWriter,
    heartbeat: Heartbeat,
    in_flight: InFlight,
}

/// Extracts what the flags ask for.
pub fn run(args: &RunArgs, like: Option<&Like>) -> Result<ExitCode, Problems> {
    let plan = job::plan(args, like).and_then(|plan| plan.check().map(|()| plan));
    let job = Job::resolve(args, like, plan)?;
    unused_without_videos(args, &job.plan).iter().for_each(|unused| eprintln!(" WARN {unused}"));
    extract(args, like, job).map_err(|e| vec![e])
}

fn extract(args: &RunArgs, like: Option<&Like>, job: Job) -> Result<ExitCode> {
    let Job { plan, rank, devices, recipe, sources } = job;
    let (plan, rank, devices) = (&plan, &rank, devices.as_slice());
    let out = args.out_of(&plan.dataset.name);
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
    if let Some(warning) = sources.warning() {
        tracing::warn!("{warning}");
    }
    recipe.streams.values().take(1).for_each(|stream| devices::warn_of_slow_bf16(stream.kind, devices));
    let root = plan.root.display().to_string();
    let from = if root.is_empty() { root } else { format!(" from {root}") };
    tracing::info!("{}{from} into {}", plan.dataset.title, out.display());
    recipe.lines().iter().chain(&sources.lines()).for_each(|line| tracing::info!("{line}"));
    if let Some(folder) = &args.inputs.landmarks {
        tracing::info!("landmarks from {}", folder.display());
    }
    tracing::info!("on {}", devices::names(devices).join(", "));
    if rank.world > 1 {
        tracing::info!("{rank}");
    }
    for remark in plan.splits.iter().flat_map(|s| &s.remarks) {
        tracing::warn!("{remark}");
    }
    // Before the stores: weights that do not load must not become part of a store's description.
    let mut networks = Networks::load_all(&recipe, &sources, devices)?;
    let recipe = sources.identify(recipe)?;
    for folder in plan.splits.iter().filter_map(|split| preview(args, split)) {
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    }
    let mut opened = Vec::new();
    for Portion { split, rank, clips, gone } in shares {
        let info = recipe.describe(&plan.dataset, &split.name)?;
        if let Some(like) = like {
            like.check(&info)?;
        }
        let folder = out.join(&split.name);
        if let (Some(first), true) = (gone.first(), args.selection.all_clips()) {
            let (count, folder) = (gone.len(), folder.display());
            tracing::warn!(
                "{folder}: {} not in the data set any more, kept in the store, e.g. {first}",
                plural(count, "clip")
            );
        }
        let mut store = StoreWriter::open(&folder, info, rank.number)?;
        for id in &args.selection.only {
            if store.reopen_damaged(id)? {
                tracing::warn!("{id}: its bytes are not those that were written; it is made again");
            }
        }
        if args.selection.all_clips() {
            let known: HashSet<&str> = split.clips.iter().map(|clip| clip.id.as_str()).collect();
            store.forget_failures(|id| known.contains(id))?;
        }
        store::expect(&folder, plan.to_be(split, &args.selection, store::expected(&folder)?))?;
        let heartbeat = Heartbeat::new(&folder, &rank, clips.len());
        let in_flight = InFlight::begin(&folder, rank.number)?;
        if args.retry_failed || !args.selection.only.is_empty() {
            in_flight.forgive(clips.iter().map(|clip| clip.id.as_str()))?;
        }
        opened.push(Share { split, clips, store, heartbeat, in_flight });
    }
    let mut outcomes = Outcomes::new();
    for share in &mut opened {
        let outcome = work(args, plan, &recipe, share, &mut networks)?;
        outcomes.insert(share.split.name.clone(), outcome);
    }
    opened.into_iter().for_each(|share| share.in_flight.finish());
    summarise(args, &recipe, plan, &out, &outcomes)
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
        let (rank, mut clips) = match args.selection.only.is_empty() {
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
    recipe: &Recipe,
    share: &mut Share,
    networks: &mut Vec<Arc<Networks>>,
) -> Result<Outcome> {
    let Share { split, clips, store, heartbeat, in_flight } = share;
    let expected = plan.frames(clips.iter().filter(|c| !store.is_done(&c.id)));
    let progress = Progress::new(&split.name, expected, "frames");
    let preview = preview(args, split);
    let work = Work {
        clips,
        recipe,
        landmarks: args.inputs.landmarks.as_deref(),
        require_face: args.require_face,
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
