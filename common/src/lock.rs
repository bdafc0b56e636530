//! Locks of files. All are `flock`s: they end with the process, also with one that was killed on another machine, as
//! soon as the file server notices.

use crate::{Error, Result, disk, machine, regular_file};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Others hold a lock for a moment to see whether anybody else does.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn open(path: &Path) -> Result<File> {
    let open = || regular_file::create(path);
    disk::call(open).map_err(Error::io(path))
}

/// Try until `patience` is over.
pub(crate) fn wait(file: &File, patience: Duration) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Keep a second process from writing the same files: the lock of `path`, held until it is dropped. Where another
/// process holds it, the error says `busy`. On a file system without locks there is a warning and no protection.
pub fn alone(path: &Path, busy: &str) -> Result<File> {
    let file = open(path)?;
    let folder = path.parent().unwrap_or(path);
    match wait(&file, PATIENCE) {
        Ok(()) => {
            sign(&file);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(Error::input(
            folder,
            "",
            format!("{busy}{}", holder(path)),
            "wait for it, or stop it; if its machine is gone, delete the file .lock* there",
        )),
        Err(TryLockError::Error(e)) if has_no_locks(&e) => {
            tracing::warn!("{}: no file locks here; do not start the same twice", folder.display());
            Ok(file)
        }
        Err(TryLockError::Error(e)) => Err(Error::io(path)(e)),
    }
}

/// Write into a lock who holds it. A lock works without that.
fn sign(mut file: &File) {
    let line = format!("process {} on {}\n", std::process::id(), machine::host());
    if let Err(e) = file.set_len(0).and_then(|()| file.write_all(line.as_bytes())) {
        tracing::debug!("a lock is not signed: {e}");
    }
}

/// " (process 17 on node3)", where the lock says so.
fn holder(path: &Path) -> String {
    const LONGEST: u64 = 1024;
    let line = regular_file::read_to_string(path, LONGEST).unwrap_or_default();
    let line = line.trim();
    if line.is_empty() { String::new() } else { format!(" ({line})") }
}

/// Whether the error says that the file system has no locks, rather than that this one was refused.
fn has_no_locks(error: &std::io::Error) -> bool {
    /// ENOTSUPP of the kernel, which is not the EOPNOTSUPP of the C library: some NFS servers answer with it.
    const ENOTSUPP: i32 = 524;
    // ENOLCK: NFS without a lock server.
    error.kind() == std::io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| [libc::ENOLCK, libc::EOPNOTSUPP, ENOTSUPP].contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_without_locks() {
        let says = |code| has_no_locks(&std::io::Error::from_raw_os_error(code));
        assert!([libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOSYS, 524].into_iter().all(says));
        assert!(![libc::EACCES, libc::EIO, libc::EBADF].into_iter().any(says));
    }
}
