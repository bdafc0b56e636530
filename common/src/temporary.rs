//! Folders for what a program needs while it runs.

use crate::{Error, Result};
use tempfile::TempDir;

/// A new folder where `TMPDIR` says (`/tmp` where it says nothing), removed when it is dropped.
pub fn folder() -> Result<TempDir> {
    tempfile::tempdir().map_err(|e| {
        let place = std::env::temp_dir();
        let remedy = "set TMPDIR to a folder that is there, has room, and may be written";
        Error::input(place, "TMPDIR", format!("no temporary folder can be made there: {}", e.kind()), remedy)
    })
}
