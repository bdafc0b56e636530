//! What the targets share: one file that each input is written to, and what must hold of every answer.

pub mod seeds;

use signclip_common::Result;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder, in memory where the machine has such a place, and the file in it that inputs replace.
pub struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    /// An empty folder; inputs are written to `name` in it.
    pub fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a temporary folder");
        Self { file: folder.path().join(name), folder }
    }

    /// The same with files beside the one that is replaced.
    pub fn with(name: &str, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let place = Self::new(name);
        for (name, bytes) in files {
            std::fs::write(place.folder.path().join(name), bytes).expect("written");
        }
        place
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Write an input and return where.
    pub fn put(&self, bytes: &[u8]) -> &Path {
        std::fs::write(&self.file, bytes).expect("written");
        &self.file
    }
}

/// An error is one line with a remedy and nothing that a terminal would obey.
pub fn answer<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "not one line: {text:?}");
            assert!(text.contains("; ") || text.starts_with("libtorch: "), "no remedy: {text:?}");
            None
        }
    }
}

/// Write the seeds into the corpus that the fuzzer was started on, the first folder on its command line.
pub fn sow(seeds: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let Some(corpus) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else { return };
    let corpus = Path::new(&corpus);
    if corpus.is_dir() {
        for (number, seed) in seeds.into_iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number:02}")), seed).expect("a seed");
        }
    }
}
