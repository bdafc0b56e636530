//! Locks of a store.

use crate::regular_file;
use crate::{Result, lock};
use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Adding a line takes milliseconds. Whoever holds the lock for longer has been stopped, or hangs in a dead mount, and
/// must not take the other ranks with it.
const INDEX_PATIENCE: Duration = Duration::from_secs(20);

fn rank_path(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!(".lock-{rank:05}"))
}

/// Keep a second process from writing the same files. The lock ends with the process.
pub(super) fn rank_lock(folder: &Path, rank: u32) -> Result<File> {
    lock::alone(&rank_path(folder, rank), &format!("another process is writing rank {rank} of this store"))
}

/// The lock of a rank that no process is writing, held until it is dropped; nothing where one is, or where that cannot
/// be seen.
pub(super) fn idle_rank(folder: &Path, rank: u32) -> Option<File> {
    regular_file::open(&rank_path(folder, rank)).ok().filter(|file| file.try_lock().is_ok())
}

/// Whether a process is writing this rank; `None` where that cannot be seen.
pub fn is_held(folder: &Path, rank: u32) -> Option<bool> {
    let file = regular_file::open(&rank_path(folder, rank)).ok()?;
    match file.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Held while a rank looks at the others' indexes and adds a line to its own, so that no clip is stored twice.
pub(super) struct IndexLock {
    path: PathBuf,
    file: File,
    patience: Duration,
    /// The last wait was in vain. There is no second one until the lock has been free: a run that was asked to end would
    /// wait as often as it has clips to write.
    gave_up: Cell<bool>,
}

/// The lock, held until it is dropped.
pub(super) struct Held<'f>(&'f File);

impl IndexLock {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(".lock-index");
        Ok(Self { file: lock::open(&path)?, path, patience: INDEX_PATIENCE, gave_up: Cell::new(false) })
    }

    /// Wait for it. `None` where there are no locks, or where their holder hangs: ranks of one launch have no
    /// clip in common, so it matters only to runs with different numbers of ranks at the same time.
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        let again = self.gave_up.take();
        match lock::wait(&self.file, if again { Duration::ZERO } else { self.patience }) {
            Ok(()) => Some(Held(&self.file)),
            Err(TryLockError::WouldBlock) => {
                self.gave_up.set(true);
                if !again {
                    let seconds = self.patience.as_secs();
                    tracing::warn!(
                        "{}: held by another rank for {seconds} s; continuing without it until it is free",
                        self.path.display()
                    );
                }
                None
            }
            Err(TryLockError::Error(e)) => {
                tracing::debug!("{}: {e}", self.path.display());
                None
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.0.unlock() {
            tracing::debug!("not unlocked: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_rank_that_hangs_is_waited_for_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lock = IndexLock::open(folder.path()).expect("opened");
        lock.patience = Duration::from_millis(400);
        let other = lock::open(&lock.path).expect("opened");
        let waits = || {
            let begun = Instant::now();
            assert!(lock.hold().is_none());
            begun.elapsed() >= lock.patience
        };
        for _ in 0..2 {
            other.lock().expect("locked");
            assert_eq!([waits(), waits(), waits()], [true, false, false]);
            other.unlock().expect("unlocked");
            assert!(lock.hold().is_some());
        }
    }
}
