//! `train`: learn the fusion and the adapters on cached features.

#![allow(clippy::print_stdout)]
#![cfg_attr(feature = "mpi", allow(clippy::print_stderr))]

use clap::Parser;
use signclip_common::collective::{Collective, ThreadRank, threads};
use signclip_common::launcher::Environment;
use signclip_common::panics::{guarded, program};
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, command_line, commit, devices, environment, lock, memory};
use signclip_train::config::TrainConfig;
use signclip_train::data::corpus::Corpus;
use signclip_train::language::settings::language_model_folder;
use signclip_train::language::text::Text;
use signclip_train::training::best::{Choice, Decider};
use signclip_train::training::checkpoint::{self, Progress};
use signclip_train::training::origin::Origin;
use signclip_train::training::places::PlaceFlags;
use signclip_train::training::run::RunInfo;
use signclip_train::training::setting_flags::SettingFlags;
use signclip_train::training::trainer::Trainer;
use signclip_train::training::unwritable::Unwritable;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tch::Device;

/// How long a device waits for the others before it gives up. One that fails says so at once; this is for one that
/// hangs, and must be longer than the loading of a model and the translation of a split.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

const EXAMPLES: &str = "\
Examples:
  train --features cache/phoenix              the paper's recipe (Flan-T5-XL) into runs/phoenix
  train --features cache/phoenix --set optimiser.epochs=10 --set head.streams=spatial --run runs/s
  train --features demo/cache --preset tiny   a small model trained from nothing, in minutes
  train --features cache/phoenix --gpus 0,1   on two devices, 16 clips a step together
  train --features cache/phoenix --check      open everything, train nothing
  train --features cache/own --from runs/phoenix --run runs/own   begin with the weights of a run

Running the same command again continues after the last checkpoint, also with more epochs: the
learning rates then follow the schedule of the new number from there on. docs/cluster.md shows
mpirun and Slurm. All settings with their values are in <run>/config.json; any of them can be set
with --set or in a --config file.

Exit codes: 0 done; 2 could not run.";

/// What `--version` says: whether this program can be one of the processes of an MPI job.
const VERSION: &str = if cfg!(feature = "mpi") {
    concat!(env!("CARGO_PKG_VERSION"), " with MPI")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Train SignClip on cached features.
#[derive(Debug, Parser)]
#[command(name = "train", version = VERSION, about, after_help = EXAMPLES)]
struct Args {
    /// Folder that extract wrote (with train/ and dev/ in it); given several times, the streams of all are joined by the
    /// clips' ids
    #[arg(long, value_name = "DIR", required = true)]
    features: Vec<PathBuf>,
    /// Folder of the run [default: runs/<name of the features folder>]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
    /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Folder of the language model, where it is not below the weights folder
    #[arg(long, value_name = "DIR")]
    language_model: Option<PathBuf>,
    /// Begin a new run with the best weights of this one: its head and its adapter, or the whole small model
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Devices: CUDA numbers or cpu, as in 0,1 [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "LIST")]
    gpus: Option<String>,
    /// Open features and model, say what would be trained, and stop
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let (args, _) = command_line::read::<Args>(commit!(), &[]);
    environment::for_gpus();
    memory::start();
    program(|| run(&args).map(|()| ExitCode::SUCCESS))
}

fn run(args: &Args) -> Result<(), Vec<Error>> {
    let mpi_job = Environment::here().is_mpi_job().map_err(|e| vec![e])?;
    #[cfg(not(feature = "mpi"))]
    if mpi_job {
        return Err(vec![Error::usage(
            "started by mpirun or as an MPI job, but built without MPI",
            "build with: cargo build --release --workspace --bins --features signclip-train/mpi",
        )]);
    }
    #[cfg(feature = "mpi")]
    if mpi_job {
        return mpi_run(args);
    }
    prepare(args, &Collective::Solo)
}

/// As one process of an MPI job. A failure ends the job on all machines.
#[cfg(feature = "mpi")]
fn mpi_run(args: &Args) -> Result<(), Vec<Error>> {
    use signclip_common::collective::MpiRank;
    let Some(mpi) = MpiRank::start(PATIENCE) else {
        return Err(vec![Error::usage("MPI cannot be started", "start the job again")]);
    };
    let collective = Collective::Mpi(mpi);
    let errors = match guarded(|| Ok(prepare(args, &collective))) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(errors)) => errors,
        Err(error) => vec![error],
    };
    // Printed before the job is ended, which ends this process too.
    errors.iter().for_each(|e| eprintln!("error: device number {}: {e}", collective.rank()));
    match &collective {
        Collective::Mpi(mpi) => mpi.abort(),
        _ => Err(errors),
    }
}

/// Open everything and train. In an MPI job each process takes one device of the list.
fn prepare(args: &Args, collective: &Collective) -> Result<(), Vec<Error>> {
    let one = |e| vec![e];
    let settings = args.settings.effective().map_err(one)?;
    // Everything that may be missing is looked for before anything is done, so that it can be fixed together.
    let mut problems = Vec::new();
    let processes = collective.size() > 1;
    let list = args.gpus.clone().unwrap_or_else(|| match processes {
        true => devices::default_list(),
        false => devices::default_device(),
    });
    let devices = devices::open(&list).and_then(|all| match processes {
        true => Environment::here().one_of(&all).map(|own| vec![own]),
        false => Ok(all),
    });
    let devices = devices.map_err(|e| problems.push(e)).unwrap_or_default();
    let mut open = |split| Corpus::open(&args.features, split, &settings).map_err(|e| problems.push(e)).ok();
    let (train, dev) = (open("train"), open(&settings.validation_split));
    let language_model = language_model(args, &settings).map_err(|e| problems.push(e)).unwrap_or_default();
    let (Some(train), Some(dev), true) = (train, dev, problems.is_empty()) else {
        return Err(problems);
    };
    share_cores(devices.len());
    train_on(args, settings, language_model.as_deref(), train, dev, &devices, collective).map_err(one)
}

/// Folder of the run.
fn run_folder(args: &Args) -> PathBuf {
    let name = args.features[0].file_name().unwrap_or_default();
    args.run.clone().unwrap_or_else(|| Path::new("runs").join(name))
}

/// The language model's folder, none for one that is trained from nothing. A run that has begun knows where its own was.
fn language_model(args: &Args, settings: &TrainConfig) -> Result<Option<PathBuf>> {
    let (path, weights) = (&settings.language_model.path, args.weights.as_deref());
    let there = language_model_folder(path, weights, args.language_model.as_deref());
    let Err(error) = there else { return there };
    let folder = run_folder(args);
    let begun =
        folder.join(checkpoint::FOLDER).exists() && args.language_model.is_none() && weights.is_none();
    let Some(mut info) = begun.then(|| RunInfo::read(&folder).ok()).flatten() else { return Err(error) };
    if info.settings.language_model.path != *path {
        return Err(error);
    }
    info.find_language_model(&folder, &PlaceFlags::default())?;
    Ok(info.language_model)
}

/// Threads of one process share its CPU cores evenly, unless the user said otherwise. Once, before any thread is
/// started: libtorch's setting is partly of the process and partly of the thread.
fn share_cores(devices: usize) {
    if devices > 1 && std::env::var_os("OMP_NUM_THREADS").is_none() {
        tch::set_num_threads((tch::get_num_threads() / devices as i32).max(1));
    }
}

fn train_on(
    args: &Args,
    settings: TrainConfig,
    language_model: Option<&Path>,
    mut train: Corpus,
    mut dev: Corpus,
    devices: &[Device],
    collective: &Collective,
) -> Result<()> {
    let folder = run_folder(args);
    let allowed = args.settings.allow_missing;
    let mut info = RunInfo::new(&args.features, settings, language_model, [&train, &dev], allowed)?;
    let begun = folder.join(checkpoint::FOLDER).exists();
    info.from = args.from.as_deref().map(|from| Origin::of(from, &info)).transpose()?;
    let mut lock = None;
    if collective.leads() && args.check && !begun {
        start_log(None)?;
    } else if collective.leads() {
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        // The log comes first, for the lock may have a warning to give.
        start_log(Some(&folder.join("train.log.jsonl")))?;
        lock = Some(lock::alone(&folder.join(".lock"), "another process is training in this folder")?);
        if begun {
            info.resume(&folder, args.check)?;
        } else if !args.check {
            info.begin(&folder, &train)?;
        }
    }
    // The others read what the first one has written.
    collective.barrier()?;
    if begun {
        info.from = RunInfo::read(&folder)?.from;
    }
    let text = if args.check && !begun { info.text_of(&train) } else { info.text(&folder) }?;
    let limit = info.settings.text.max_target_tokens;
    train.tokenise(&text, limit)?;
    dev.tokenise(&text, limit)?;
    let unwritable = Unwritable::of(&train, &text, &info.settings.decoding)?;
    if collective.leads() {
        unwritable.tell("train");
        Unwritable::of(&dev, &text, &info.settings.decoding)?.tell(&info.settings.validation_split);
    }
    if !begun {
        unwritable.check(&train, info.settings.text.allow_unknown_words)?;
    }
    if collective.leads() {
        let sharing = devices.len().max(collective.size());
        let on_cpu = devices.iter().filter(|&&device| device == Device::Cpu).count();
        info.requirements(&folder, &train, &text, devices[0], sharing)?.tell(on_cpu);
    }
    let job = Job { check: args.check, info, train, dev, text, folder };
    let state = match devices {
        [device] => job.on_device(*device, collective),
        devices => job.on_devices(devices),
    }?;
    if collective.leads() {
        job.summary(state);
    }
    drop(lock);
    Ok(())
}

/// A run, whichever devices it is on.
struct Job {
    check: bool,
    info: RunInfo,
    train: Corpus,
    dev: Corpus,
    text: Text,
    folder: PathBuf,
}

impl Job {
    /// Train as one of the ranks. `None` where everything was only to be opened.
    fn on_device(&self, device: Device, collective: &Collective) -> Result<Option<Progress>> {
        let model = self.info.model(&self.folder, &self.train, &self.text, device)?;
        if collective.leads() {
            let folders = self.info.folders();
            let features =
                folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ");
            let clips = [self.train.len(), self.dev.len()];
            tracing::info!("{} training and {} dev clips from {features}, on {device:?}", clips[0], clips[1]);
            for folder in self.train.unused() {
                tracing::warn!("{}: no stream of head.streams is in it", folder.display());
            }
            if device == Device::Cpu {
                // Sums are added up in the order of the threads' shares.
                let threads = tch::get_num_threads();
                tracing::info!(
                    "{threads} threads a device; to repeat this run to the bit, keep OMP_NUM_THREADS={threads}"
                );
            }
            if collective.size() > 1 {
                tracing::info!("{} devices", collective.size());
            }
            tracing::info!("prompt: {}", self.info.prompt);
        }
        if checkpoint::all(&self.folder)?.is_empty() {
            match &self.info.from {
                None => model.whiten(&self.train),
                Some(from) => {
                    from.load(&model, &self.info)?;
                    if collective.leads() {
                        let run = from.run.display();
                        tracing::info!("beginning with the weights of {run}, epoch {}", from.epoch);
                    }
                }
            }
        }
        if self.check {
            return Ok(None);
        }
        let trainer = Trainer {
            info: &self.info,
            model: &model,
            train: &self.train,
            dev: &self.dev,
            text: &self.text,
            folder: &self.folder,
            collective,
        };
        trainer.run().map(Some)
    }

    /// One thread a device. The error is that of the device that stopped first.
    fn on_devices(&self, devices: &[Device]) -> Result<Option<Progress>> {
        let ranks = threads(devices.len(), PATIENCE);
        let results: Vec<Result<Option<Progress>>> = std::thread::scope(|scope| {
            let work = |device: Device, rank: ThreadRank| {
                let collective = Collective::Threads(rank);
                let result = guarded(|| self.on_device(device, &collective));
                if let (Err(e), Collective::Threads(rank)) = (&result, &collective) {
                    rank.stop(&e.to_string());
                }
                result
            };
            let seats = devices.iter().copied().zip(ranks);
            let running: Vec<_> = seats.map(|(d, rank)| scope.spawn(move || work(d, rank))).collect();
            let gone = || Error::Peer("a device's thread has ended".to_owned());
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(gone()))).collect()
        });
        let is_cause = |result: &&Result<_>| !matches!(result, Err(Error::Peer(_)) | Ok(_));
        match results.iter().position(|result| is_cause(&result)) {
            Some(cause) => results.into_iter().nth(cause).unwrap_or(Ok(None)),
            None => results.into_iter().next().unwrap_or(Ok(None)),
        }
    }

    fn summary(&self, state: Option<Progress>) {
        let Some(state) = state else {
            println!("everything opens; nothing was trained");
            return;
        };
        let folder = self.folder.display();
        let Choice { best_epoch, best_bleu4, best_chrf, decided_by, .. } = state.choice;
        println!("run:         {folder} (settings in config.json)");
        println!(
            "best:        epoch {}, {} BLEU-4 {:.2}{} (best.safetensors)",
            best_epoch,
            self.info.settings.validation_split,
            best_bleu4.unwrap_or(0.0),
            match (decided_by, best_chrf) {
                (Some(Decider::Chrf), Some(chrf)) => format!(", chosen by chrF {chrf:.2}"),
                _ => String::new(),
            }
        );
        println!("checkpoints: {folder}/{}", checkpoint::FOLDER);
        println!("log:         {folder}/log.jsonl");
        println!("curves:      tensorboard --logdir {folder}");
        println!("next:        evaluate --run {folder} --split test");
    }
}
