//! `evaluate export`: the language model of a run with its adapter added to the weights.

use signclip_common::progress::start_log;
use signclip_common::{Error, Result, atomic, lock};
use signclip_train::language::adapter;
use signclip_train::language::family::LanguageConfig;
use signclip_train::training::checkpoint::ADAPTER;
use signclip_train::training::places::PlaceFlags;
use signclip_train::training::run::RunInfo;
use std::fs;
use std::path::{Path, PathBuf};

/// Write the language model of a run with its adapter merged, as a Hugging Face folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that trains an adapter
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder to write; it must be new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    places: PlaceFlags,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    start_log(None)?;
    let mut info = RunInfo::read(&args.run)?;
    info.find_language_model(&args.run, &args.places)?;
    let Some(base) = &info.language_model else {
        let what = "the language model of this run is trained from nothing: there is no adapter to merge";
        return Err(Error::input(&args.run, "language_model", what, "its weights are in best.safetensors"));
    };
    let adapter = args.run.join(ADAPTER);
    if !adapter.is_dir() {
        let remedy = "train an adapter (language_model.tuning=lora) until the first validation";
        return Err(Error::input(&adapter, "", "the run has no adapter", remedy));
    }
    if args.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) && !args.out.join(LOCK).is_file()
    {
        return Err(Error::input(&args.out, "--out", "the folder is not empty", "give a new folder"));
    }
    // A name to put another one beside: `.` and links have none.
    let out = args.out.canonicalize().unwrap_or_else(|_| args.out.clone());
    let unfinished = Unfinished::begin(&out)?;
    adapter::merge(base, &adapter, &unfinished.folder)?;
    unfinished.finish(&out)?;
    println!("merged {} and {} into {}", base.display(), adapter.display(), args.out.display());
    let class = LanguageConfig::read(base)?.transformers_class();
    println!("next: {class}.from_pretrained({:?})", args.out.display().to_string());
    Ok(())
}

/// A folder that becomes the export when it is complete: `NAME.unfinished` beside it. One that a kill left there is begun anew.
struct Unfinished {
    folder: PathBuf,
    lock: fs::File,
}

/// The file in it that tells it from a user's folder of that name, and keeps a second export out.
const LOCK: &str = ".lock-export";

impl Unfinished {
    fn begin(out: &Path) -> Result<Self> {
        let mut name = out.file_name().unwrap_or(out.as_os_str()).to_owned();
        name.push(".unfinished");
        let folder = out.with_file_name(name);
        let ours = folder.join(LOCK);
        // Killed between the last two steps.
        if out.join(LOCK).is_file() && !folder.exists() {
            fs::rename(out, &folder).map_err(Error::io(out))?;
        }
        if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) && !ours.is_file() {
            let what = "this folder is in the way, and is not what an export left behind";
            return Err(Error::input(&folder, "", what, "move it away, or give another --out"));
        }
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let lock = lock::alone(&ours, "another process is exporting there")?;
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let file = entry.map_err(Error::io(&folder))?.path();
            if file != ours {
                fs::remove_file(&file).map_err(Error::io(&file))?;
            }
        }
        Ok(Self { folder, lock })
    }

    fn finish(self, out: &Path) -> Result<()> {
        fs::rename(&self.folder, out).map_err(Error::io(out))?;
        let ours = out.join(LOCK);
        fs::remove_file(&ours).map_err(Error::io(&ours))?;
        atomic::sync_folder(out).map_err(Error::io(out))?;
        drop(self.lock);
        Ok(())
    }
}
