//! The runs of a table: `train` and `evaluate`, for every row and seed that is not done yet.

use crate::Args;
use crate::rows::Row;
use signclip_common::{Error, Result, atomic};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// One row under one seed.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    /// The run's folder.
    pub(crate) folder: PathBuf,
}

/// What a finished run was made with; written into its folder when it has been evaluated.
const FINISHED: &str = "finished.json";

impl Run {
    pub(crate) fn new(out: &Path, row: Row, seed: u64) -> Self {
        Self { row, seed, folder: out.join(row.name).join(format!("seed-{seed}")) }
    }

    fn train_arguments(&self, args: &Args) -> Vec<String> {
        let mut line: Vec<String> = args.shared_arguments();
        let own = self.row.settings.iter().map(|setting| (*setting).to_owned());
        for setting in own.chain([format!("seed={}", self.seed)]) {
            line.extend(["--set".to_owned(), setting]);
        }
        line
    }

    /// Train and evaluate, unless that is done: a run that was interrupted goes on. Errors: one of the programs failed.
    fn finish(&self, args: &Args, threads: Option<usize>) -> Result<bool> {
        let train = self.train_arguments(args);
        let finished = self.folder.join(FINISHED);
        let made_with = format!("{:#}\n", serde_json::json!({ "train": train, "split": args.split }));
        if std::fs::read_to_string(&finished).is_ok_and(|text| text == made_with) {
            return Ok(false);
        }
        let folder = self.folder.display().to_string();
        self.program("train", train.iter().map(String::as_str).chain(["--run", &folder]), threads)?;
        let mut evaluate = vec!["--run", &folder, "--split", &args.split];
        evaluate.extend(args.gpus.iter().flat_map(|list| ["--gpus", list]));
        self.program("evaluate", evaluate.into_iter(), threads)?;
        atomic::write(&finished, made_with.as_bytes())?;
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
        let file = OpenOptions::new().create(true).append(true).open(&log).map_err(Error::io(&log))?;
        let mut command = Command::new(&program);
        command.args(arguments).stdout(file.try_clone().map_err(Error::io(&log))?).stderr(file);
        if let Some(threads) = threads.filter(|_| std::env::var_os("OMP_NUM_THREADS").is_none()) {
            command.env("OMP_NUM_THREADS", threads.to_string());
        }
        let status = command.status().map_err(Error::io(&program))?;
        if status.success() {
            return Ok(());
        }
        // It ends with a line for each problem, of which the first is passed on.
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let error = said.lines().rev().map_while(|line| line.strip_prefix("error: ")).last();
        let which = format!("{} with seed {}: {name}", self.row.name, self.seed);
        Err(match error.and_then(|error| error.rsplit_once("; ")) {
            Some((what, remedy)) => Error::usage(format!("{which}: {what}"), remedy),
            None => {
                let what = format!("{which} ended with {status}");
                Error::input(&log, "", what, "read what it said there, and run the same command to go on")
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
    std::thread::scope(|scope| (0..args.jobs).for_each(|_| drop(scope.spawn(work))));
    failed.into_inner().ok().flatten().map_or(Ok(()), Err)
}
