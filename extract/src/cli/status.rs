//! `extract status`: what a store has, who is at work on it, and what is missing. Reads only.

use crate::cli::args::StatusArgs;
use crate::run::heartbeat::{self, BEAT, RankProgress, State};
use crate::run::plan::{Plan, Selection};
use serde::Serialize;
use signclip_common::manifest::Split;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::store::{self, Failure, STORE_FILE, StoreInfo};
use signclip_common::{Error, Result, json, machine};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::process::ExitCode;

/// Seconds without a sign of life after which a rank that says it is running is called stalled.
const SILENT: u64 = 60;
/// Seconds with signs of life, but without a finished frame or clip.
const STUCK: u64 = 300;
/// Ids and failures shown to people; all of them are in the JSON.
const SHOWN: usize = 10;

/// One split of a store.
#[derive(Debug, Serialize)]
pub struct SplitStatus {
    /// Clips of the split: by the data set where one was named, else as the store says.
    pub expected: Option<usize>,
    pub done: usize,
    pub frames: usize,
    pub failed: usize,
    /// Neither done nor failed.
    pub missing: Option<usize>,
    /// Their ids, where a data set was named.
    pub missing_ids: Option<Vec<String>>,
    pub ranks: Vec<RankStatus>,
    pub failures: Vec<Failure>,
}

/// One rank of a split.
#[derive(Debug, Serialize)]
pub struct RankStatus {
    pub rank: u32,
    /// Clips in its index.
    pub stored: usize,
    /// `waiting`, `running`, `stalled`, `dead`, `interrupted`, `stopped`, `finished`; `unknown` without a progress file.
    pub state: &'static str,
    /// Why it is called stalled or dead.
    pub reason: Option<String>,
    /// Seconds since the progress file was written, by this machine's clock.
    pub age: Option<u64>,
    pub progress: Option<RankProgress>,
}

/// Print the state of the store in `args.dir`.
#[allow(clippy::print_stdout)]
pub fn report(args: &StatusArgs) -> Result<ExitCode, Vec<Error>> {
    let splits = look(args).map_err(|e| vec![e])?;
    if args.json {
        print!("{}", json::pretty(&splits).map_err(|e| vec![e])?);
    } else {
        splits.iter().for_each(|(name, split)| print!("{}", split.table(name)));
    }
    Ok(ExitCode::SUCCESS)
}

fn look(args: &StatusArgs) -> Result<BTreeMap<String, SplitStatus>> {
    let dir = &args.dir;
    if !dir.is_dir() {
        return Err(Error::input(dir, "", "no such folder", "name one that extract writes"));
    }
    let (dataset, mut planned) =
        args.dataset.as_ref().map(|dataset| planned(dataset, args)).transpose()?.unzip();
    let mut splits = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let folder = entry.map_err(Error::io(dir))?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if folder.join(STORE_FILE).is_file() {
            let made_of = StoreInfo::read(&folder)?.dataset;
            if let Some(dataset) = dataset.as_ref().filter(|dataset| **dataset != made_of) {
                let what = format!("the store is of {made_of:?}, not of {dataset:?}");
                return Err(Error::input(&folder, "dataset", what, "correct --dataset"));
            }
            let ids = planned.as_mut().and_then(|planned| planned.remove(&name));
            splits.insert(name, SplitStatus::look(&folder, ids)?);
        }
    }
    if splits.is_empty() && planned.is_none() {
        return Err(Error::input(dir, "", "no feature store here", "make one with: extract --dataset NAME"));
    }
    // Splits that nobody has begun.
    for (name, ids) in planned.into_iter().flatten() {
        let nothing = SplitStatus {
            expected: Some(ids.len()),
            done: 0,
            frames: 0,
            failed: 0,
            missing: Some(ids.len()),
            missing_ids: Some(ids),
            ranks: Vec::new(),
            failures: Vec::new(),
        };
        splits.insert(name, nothing);
    }
    Ok(splits)
}

/// The data set's name, and the ids of its clips by split.
fn planned(dataset: &str, args: &StatusArgs) -> Result<(String, BTreeMap<String, Vec<String>>)> {
    let (dataset, root) = (Some(dataset.to_owned()), args.root.clone());
    let plan = Plan::of_features(&Selection { dataset, root, ..Selection::default() })?;
    let ids = |split: Split| (split.name, split.clips.into_iter().map(|clip| clip.id).collect());
    Ok((plan.dataset.name, plan.splits.into_iter().map(ids).collect()))
}

impl SplitStatus {
    fn look(folder: &Path, planned: Option<Vec<String>>) -> Result<Self> {
        let indexes = store::indexes(folder)?;
        let mut progress: BTreeMap<u32, RankProgress> = BTreeMap::new();
        for (rank, path) in store::rank_files(folder, "progress-", ".json")? {
            let text = regular_file::read(&path, SETTINGS).map_err(Error::io(&path))?;
            let read = serde_json::from_slice(&text).map_err(|e| {
                Error::input(&path, "", e.to_string(), "delete it; the next extract writes it anew")
            })?;
            progress.insert(rank, read);
        }
        let recorded = store::expected(folder)?;
        let mut failures: Vec<Failure> = store::failures(folder)?.into_iter().map(|(_, f)| f).collect();
        let asked: Option<HashSet<&str>> =
            planned.as_ref().map(|ids| ids.iter().map(String::as_str).collect());
        let counts = |id: &str| asked.as_ref().is_none_or(|asked| asked.contains(id));
        let ids = indexes.values().flatten().map(|record| record.id.as_str());
        let done: HashSet<&str> = ids.filter(|id| counts(id)).collect();
        failures.retain(|failure| counts(&failure.id));
        let failed: HashSet<&str> = failures.iter().map(|f| f.id.as_str()).collect();
        let missing_ids = planned.as_ref().map(|ids| {
            let missing =
                ids.iter().filter(|id| !done.contains(id.as_str()) && !failed.contains(id.as_str()));
            missing.cloned().collect::<Vec<_>>()
        });
        let expected = planned.map(|ids| ids.len()).or(recorded);
        let left = |expected: usize| expected.saturating_sub(done.len() + failed.len());
        let ranks: BTreeSet<u32> = indexes.keys().chain(progress.keys()).copied().collect();
        let ranks = ranks.into_iter().map(|rank| {
            let stored = indexes.get(&rank).map_or(0, Vec::len);
            RankStatus::new(folder, rank, stored, progress.remove(&rank))
        });
        Ok(Self {
            expected,
            done: done.len(),
            frames: indexes.values().flatten().map(|record| record.frames).sum(),
            failed: failures.len(),
            missing: missing_ids.as_ref().map(Vec::len).or(expected.map(left)),
            missing_ids,
            ranks: ranks.collect(),
            failures,
        })
    }

    /// For people.
    fn table(&self, name: &str) -> String {
        let number = |n: Option<usize>| n.map_or("?".to_owned(), |n| n.to_string());
        let mut out = format!(
            "{name}: {} of {} clips done, {} failed, {} missing\n",
            self.done,
            number(self.expected),
            self.failed,
            number(self.missing)
        );
        if !self.ranks.is_empty() {
            out += "   rank  stored  share done  failed  frames/s  last sign  state        process\n";
        }
        for RankStatus { rank, stored, state, reason, age, progress } in &self.ranks {
            let Some(p) = progress else {
                out +=
                    &format!("  {rank:>5} {stored:>7}           -       -         -          -  {state}\n");
                continue;
            };
            let rate = p.rate();
            let share = format!("{}/{}", p.done, p.clips);
            let age = format!("{} s", age.unwrap_or(0));
            out += &format!(
                "  {rank:>5} {stored:>7} {share:>11} {:>7} {rate:>9.1} {age:>10}  {state:<11}  {} pid {}, rank {rank} of {}",
                p.failed, p.host, p.pid, p.world
            );
            out += &reason.as_ref().map_or("\n".to_owned(), |reason| format!(": {reason}\n"));
        }
        let list = |out: &mut String, what: &str, lines: Vec<String>| {
            for line in lines.iter().take(SHOWN) {
                *out += &format!("  {what}: {line}\n");
            }
            if lines.len() > SHOWN {
                *out += &format!("  {what}: {} more; --json lists all\n", lines.len() - SHOWN);
            }
        };
        list(&mut out, "failed", self.failures.iter().map(|f| format!("{}: {}", f.id, f.reason)).collect());
        list(&mut out, "missing", self.missing_ids.clone().unwrap_or_default());
        let gone = self.ranks.iter().any(|r| matches!(r.state, "dead" | "interrupted" | "stopped"));
        if gone && self.missing != Some(0) {
            out += "  resume with: the same command for that rank (--shard I/N), or without --shard for all that is missing\n";
        }
        out
    }
}

impl RankStatus {
    fn new(folder: &Path, rank: u32, stored: usize, progress: Option<RankProgress>) -> Self {
        let held = store::is_held(folder, rank);
        let age = progress.as_ref().map(|p| heartbeat::now().saturating_sub(p.updated));
        let (state, reason) = match (&progress, held) {
            (None, Some(true)) => ("running", None),
            (None, _) => ("unknown", None),
            (Some(p), held) => judge(p, held, age.unwrap_or(0)),
        };
        Self { rank, stored, state, reason, age, progress }
    }
}

/// What a rank's last word is worth. `held`: whether a process holds the rank's lock, where that can be seen.
fn judge(p: &RankProgress, held: Option<bool>, age: u64) -> (&'static str, Option<String>) {
    let state = match p.state {
        State::Finished => return ("finished", None),
        State::Interrupted => return ("interrupted", None),
        State::Stopped => return ("stopped", Some("ended by an error, see extract*.log.jsonl".to_owned())),
        State::Waiting => "waiting",
        State::Running => "running",
    };
    let here = p.host == machine::host();
    // Some file systems keep locks on each machine for itself: there a free lock proves nothing about another one.
    if held == Some(false) && (here || age > 3 * BEAT.as_secs()) {
        return ("dead", Some("its process has ended without a word".to_owned()));
    }
    if held.is_none() && here && !Path::new("/proc").join(p.pid.to_string()).exists() {
        return ("dead", Some(format!("there is no process {}", p.pid)));
    }
    if state == "running" && age > SILENT {
        return ("stalled", Some(format!("no sign of life for {age} s")));
    }
    let stuck = p.updated.saturating_sub(p.advanced);
    if state == "running" && stuck > STUCK {
        return ("stalled", Some(format!("alive, but no frame finished for {stuck} s")));
    }
    (state, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::stages::Shares;

    #[test]
    fn ranks_are_judged() {
        let progress = |state, host: &str, advanced| RankProgress {
            rank: 0,
            world: 2,
            host: host.to_owned(),
            pid: u32::MAX,
            started: 0,
            updated: 1000,
            advanced,
            state,
            clips: 2,
            done: 1,
            failed: 0,
            frames: 9,
            frames_total: 20,
            seconds: 3.0,
            stages: Shares::default(),
        };
        let here = machine::host();
        for (state, host, advanced, held, age, wanted) in [
            (State::Running, "elsewhere", 999, Some(true), 2, "running"),
            (State::Running, "elsewhere", 999, Some(true), 61, "stalled"),
            (State::Running, "elsewhere", 600, Some(true), 2, "stalled"),
            (State::Running, "elsewhere", 999, Some(false), 2, "running"),
            (State::Running, "elsewhere", 999, Some(false), 16, "dead"),
            (State::Running, here.as_str(), 999, Some(false), 2, "dead"),
            (State::Running, here.as_str(), 999, None, 2, "dead"),
            (State::Waiting, "elsewhere", 0, Some(true), 9000, "waiting"),
            (State::Waiting, here.as_str(), 0, Some(false), 0, "dead"),
            (State::Interrupted, "elsewhere", 0, Some(false), 9000, "interrupted"),
            (State::Finished, "elsewhere", 0, Some(false), 9000, "finished"),
        ] {
            let (judged, _) = judge(&progress(state, host, advanced), held, age);
            assert_eq!(judged, wanted, "{state:?} {host} {advanced} {held:?} {age}");
        }
    }
}
