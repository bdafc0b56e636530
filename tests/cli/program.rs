//! Running one of the programs and looking at what came out of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

/// The folder the programs are in: the one that `$SIGNCLIP_PROGRAMS` names (`just check-wheel`), else the one they are built
/// into, which is that of the test without `deps`.
pub(crate) fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("SIGNCLIP_PROGRAMS") {
        return folder.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(2).expect("deps lies in a build folder").to_path_buf()
}

/// The path of a program.
pub(crate) fn path(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.is_file(), "{} is not there: run `cargo build --release --bins` first", path.display());
    path
}

/// The program `name` with nothing of this machine's settings in its environment.
pub(crate) fn command(name: &str) -> Command {
    command_at(&path(name))
}

/// The program at `path`, as [`command`].
pub(crate) fn command_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    for variable in ["RANK", "WORLD_SIZE", "LOCAL_RANK"] {
        command.env_remove(variable);
    }
    // The tests may run inside a job.
    for (variable, _) in std::env::vars_os() {
        if ["SIGNCLIP_", "SLURM_", "OMPI_", "PMI_", "PMIX_", "MPI_LOCAL"]
            .iter()
            .any(|begin| variable.to_string_lossy().starts_with(begin))
        {
            command.env_remove(variable);
        }
    }
    command
}

/// Run `name` with `arguments` in the folder `place`.
pub(crate) fn run<A: AsRef<OsStr>>(place: &Path, name: &str, arguments: impl IntoIterator<Item = A>) -> Done {
    let mut command = command(name);
    command.current_dir(place).args(arguments);
    finish(command)
}

/// `extract` with small networks on the processor.
pub(crate) fn extract(place: &Path, arguments: &str) -> Done {
    run(place, "extract", words("--preset tiny --gpus cpu").chain(words(arguments)))
}

/// `train` with a small model and a short search, on the spatial stream alone.
pub(crate) fn train(place: &Path, arguments: &str) -> Done {
    run(place, "train", words(TRAIN).chain(words(arguments)))
}

/// What [`train`] always says.
pub(crate) const TRAIN: &str = "--preset tiny --gpus cpu --set head.streams=spatial --set optimiser.epochs=2 \
    --set validate_every=1 --set decoding.max_length=12 --set decoding.num_beams=2";

/// The words of a command line without quotes.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

/// The `ffmpeg` program.
pub(crate) fn ffmpeg(place: &Path, arguments: &str) {
    let mut command = Command::new("ffmpeg");
    command.current_dir(place).args(["-v", "error", "-nostdin", "-y"]).args(words(arguments));
    finish(command).exits(0);
}

/// Wait for a program that must end within `limit`, looking at it now and then.
pub(crate) fn ended(child: &mut Child, limit: Duration, mut look: impl FnMut(&Child)) -> ExitStatus {
    let begun = Instant::now();
    loop {
        look(child);
        if let Some(status) = child.try_wait().expect("a process") {
            return status;
        }
        if begun.elapsed() > limit {
            child.kill().expect("a kill");
            panic!("process {} has not ended after {limit:?}", child.id());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Send a signal, as `-TERM`.
pub(crate) fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill");
    assert!(sent.success(), "{signal} was not sent");
}

/// A running process whose command line begins with `program` and has `argument` somewhere.
pub(crate) fn process(program: &str, argument: &str) -> Option<u32> {
    let line = |process: &Path| std::fs::read(process.join("cmdline")).ok();
    let is_it = |line: Vec<u8>| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.split('\0').next().is_some_and(|first| first.ends_with(program)) && line.contains(argument)
    };
    let processes = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let found = processes.map(|entry| entry.path()).find(|process| line(process).is_some_and(is_it));
    found.and_then(|process| process.file_name()?.to_str()?.parse().ok())
}

/// Run a command to its end.
pub(crate) fn finish(mut command: Command) -> Done {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let done = Done {
        line: format!("{command:?}"),
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    };
    for never in ["panicked at", "stack backtrace", "RUST_BACKTRACE", "frame #0", "Exception raised"] {
        let said = done.stdout.contains(never) || done.stderr.contains(never);
        assert!(!said, "{never:?} is nothing for a user\n{done}");
    }
    done
}

/// What a program did.
pub(crate) struct Done {
    line: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(f, "{line}\nexit code {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

impl Done {
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "exit code\n{self}");
        self
    }

    /// Each of `parts` stands somewhere in the output.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            let said = self.stdout.contains(part) || self.stderr.contains(part);
            assert!(said, "{part:?} is not said\n{self}");
        }
        self
    }

    /// The program did not run (exit code 2): one line for each of `problems`, with all the parts of it.
    #[track_caller]
    pub(crate) fn refuses(&self, problems: &[&[&str]]) {
        self.exits(2);
        let (errors, other): (Vec<&str>, Vec<&str>) =
            self.stderr.lines().partition(|line| line.starts_with("error: "));
        let logged = |line: &&str| [" INFO", " WARN"].iter().any(|level| line.starts_with(level));
        assert!(other.iter().all(logged), "an error is one line\n{self}");
        assert_eq!(errors.len(), problems.len(), "number of errors\n{self}");
        for (error, parts) in errors.iter().zip(problems) {
            for part in *parts {
                assert!(error.contains(part), "{part:?} is not in {error:?}\n{self}");
            }
            assert!(error.contains("; "), "no remedy in {error:?}\n{self}");
        }
    }

    /// The clip `id` failed, said in one line with all of `parts`, and others did not stop (exit code 1).
    #[track_caller]
    pub(crate) fn fails(&self, id: &str, parts: &[&str]) -> &Self {
        self.exits(1);
        let begin = format!("failed: {id}: ");
        let mut lines = self.stdout.lines().filter(|line| line.starts_with(&begin));
        let line = lines.next().unwrap_or_else(|| panic!("no failure of {id}\n{self}"));
        assert_eq!(lines.count(), 0, "{id} is named once\n{self}");
        for part in parts.iter().chain(&["; "]) {
            assert!(line.contains(part), "{part:?} is not in {line:?}\n{self}");
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}\n{self}"))
    }
}
