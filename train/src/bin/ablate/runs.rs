//! The runs of a table: `train` and `evaluate`, for every row and seed that is not done yet.

use crate::Args;
use crate::rows::Row;
use serde::{Deserialize, Serialize};
use signclip_common::progress::Progress;
use signclip_common::regular_file::{self, LINES, SETTINGS};
use signclip_common::{Error, Result, atomic, json};
use signclip_train::children;
use signclip_train::training::checkpoint;
use signclip_train::training::run::RunInfo;
use signclip_train::training::step_log;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// One row under one seed.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    /// What the run is: its settings, and how its features were made.
    info: RunInfo,
    /// Updates that its training has.
    steps: u64,
    /// The run's folder.
    pub(crate) folder: PathBuf,
}

/// What a finished run was, and on what it was evaluated; written into its folder after that.
const FINISHED: &str = "finished.json";

#[derive(Serialize, Deserialize)]
struct Finished {
    run: RunInfo,
    split: String,
}

impl Run {
    pub(crate) fn new(out: &Path, row: &Row, info: &RunInfo, seed: u64, steps: u64) -> Self {
        let mut info = info.clone();
        info.settings.seed = seed;
        Self { row: row.clone(), seed, info, steps, folder: out.join(&row.name).join(format!("seed-{seed}")) }
    }

    /// Refuse a folder whose run began as another one.
    pub(crate) fn check(&self) -> Result<()> {
        if self.folder.join(checkpoint::FOLDER).exists() {
            self.info.check_resumable(&self.folder)
        } else {
            Ok(())
        }
    }

    /// Train and evaluate, unless that is done: a run that was interrupted resumes. Errors: one of the programs failed.
    fn finish(&self, args: &Args, threads: Option<usize>) -> Result<bool> {
        let file = self.folder.join(FINISHED);
        let finished =
            regular_file::read(&file, SETTINGS).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(Finished { run, split }) = finished
            && split == args.split
            && self.info.difference(&run, &self.folder)?.is_none()
        {
            return Ok(false);
        }
        let folder = self.folder.display().to_string();
        let mut train = args.shared_arguments();
        for setting in self.row.settings.iter().cloned().chain([format!("seed={}", self.seed)]) {
            train.extend(["--set".to_owned(), setting]);
        }
        self.program("train", train.iter().map(String::as_str).chain(["--run", &folder]), threads)?;
        let mut evaluate = vec!["--run", &folder, "--split", &args.split];
        let first = args.gpus.as_ref().and_then(|list| list.split(',').next());
        evaluate.extend(first.iter().flat_map(|device| ["--gpus", device]));
        evaluate.extend(args.settings.allow_missing.then_some("--allow-missing"));
        self.program("evaluate", evaluate.into_iter(), threads)?;
        let finished = Finished { run: self.info.clone(), split: args.split.clone() };
        atomic::write(&file, json::pretty(&finished)?.as_bytes())?;
        Ok(true)
    }

    /// Run a program that lies beside this one. What it says goes into a file beside the run's folder.
    fn program<'a>(
        &self,
        name: &str,
        arguments: impl Iterator<Item = &'a str>,
        threads: Option<usize>,
    ) -> Result<()> {
        let own = std::env::current_exe().map_err(Error::io(name))?;
        let program = own.with_file_name(name);
        let log = self.folder.with_extension("log");
        let above = log.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(above).map_err(Error::io(above))?;
        let file = regular_file::append(&log).map_err(Error::io(&log))?;
        let before = file.metadata().map_err(Error::io(&log))?.len() as usize;
        let mut command = Command::new(&program);
        command.args(arguments).stdout(file.try_clone().map_err(Error::io(&log))?).stderr(file);
        if let Some(threads) = threads.filter(|_| std::env::var_os("OMP_NUM_THREADS").is_none()) {
            command.env("OMP_NUM_THREADS", threads.to_string());
        }
        let (status, _) = children::run(&mut command).map_err(Error::io(&program))?;
        if status.success() {
            return Ok(());
        }
        // It ends with a line for each problem, of which the first is passed on.
        let said = regular_file::read(&log, LINES).unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(before..).unwrap_or_default());
        let error = said.lines().rev().map_while(|line| line.strip_prefix("error: ")).last();
        let which = format!("{} with seed {}: {name}", self.row.name, self.seed);
        Err(match error.and_then(|error| error.rsplit_once("; ")) {
            Some((what, remedy)) => Error::usage(format!("{which}: {what}"), remedy),
            None => {
                let what = format!("{which} ended with {status}");
                Error::input(&log, "", what, "read what it said there, and run the same command to resume")
            }
        })
    }
}

/// Finish `runs`, `args.jobs` at a time. The first failure is returned when those that run have ended.
pub(crate) fn finish(runs: &[Run], args: &Args) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (args.jobs > 1).then(|| (processors / args.jobs).max(1));
    let left = Mutex::new(runs.iter().enumerate());
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let work = || {
        loop {
            let stop = failed.lock().map_or(true, |failed| failed.is_some());
            let next = left.lock().ok().and_then(|mut left| left.next());
            let Some((number, run)) = next.filter(|_| !stop) else { return };
            let Run { row, seed, .. } = run;
            match run.finish(args, threads) {
                Ok(true) => {
                    tracing::info!("{} of {}: {}, seed {seed}: done", number + 1, runs.len(), row.name)
                }
                Ok(false) => {
                    tracing::info!(
                        "{} of {}: {}, seed {seed}: there already",
                        number + 1,
                        runs.len(),
                        row.name
                    );
                }
                Err(error) => {
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let (working, ended) = channel::<()>();
        scope.spawn(move || watch(runs, &ended));
        for _ in 0..args.jobs {
            let working = working.clone();
            scope.spawn(move || {
                work();
                drop(working);
            });
        }
    });
    failed.into_inner().ok().flatten().map_or(Ok(()), Err)
}

/// Show how far the trainings are, by their logs, until nobody works any more.
fn watch(runs: &[Run], ended: &Receiver<()>) {
    const EVERY: Duration = Duration::from_secs(2);
    let done = || runs.iter().map(|run| step_log::steps_done(&run.folder).min(run.steps)).collect::<Vec<_>>();
    let mut before = done();
    let left = |done: &[u64]| runs.iter().zip(done).map(|(run, done)| run.steps - done).sum::<u64>();
    let mut least = left(&before);
    let progress = Progress::new("ablate", least, "steps");
    while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = done();
        let at_work = runs.iter().zip(before.iter().zip(&now)).filter(|(_, (before, now))| now > before);
        let at_work = at_work.map(|(run, (_, now))| {
            format!("{}, seed {}: {:.0} %", run.row.name, run.seed, 100.0 * *now as f64 / run.steps as f64)
        });
        let at_work = at_work.collect::<Vec<_>>().join(" · ");
        // A run that resumes repeats the steps since its checkpoint, which were counted before.
        progress.advance(least.saturating_sub(left(&now)), || at_work);
        least = least.min(left(&now));
        before = now;
    }
    progress.finish();
}
