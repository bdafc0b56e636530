//! What other ranks have finished, seen while they run.

use super::index::{index_files, parse_index};
use crate::regular_file::{self, LINES};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A clip that another rank finished in the last moment is not begun: looking more often would only load the file
/// server, as nothing is written without looking again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The finished clips of all ranks but one.
struct Others {
    folder: PathBuf,
    rank: u32,
    done: HashSet<String>,
    /// Inode of each index, and the bytes and lines that were read.
    read: BTreeMap<PathBuf, (u64, u64, usize)>,
    looked: Instant,
}

/// A look at the other ranks' indexes from any thread.
#[derive(Clone)]
pub struct Watch(Arc<Mutex<Others>>);

impl Watch {
    pub(super) fn new(folder: &Path, rank: u32) -> Result<Self> {
        let (folder, looked) = (folder.to_path_buf(), Instant::now());
        let mut others = Others { folder, rank, done: HashSet::new(), read: BTreeMap::new(), looked };
        others.look()?;
        Ok(Self(Arc::new(Mutex::new(others))))
    }

    /// Whether another rank has finished the clip, as far as is known here.
    pub fn knows(&self, id: &str) -> bool {
        self.with(|others| others.done.contains(id))
    }

    /// Whether another rank has finished the clip by about now. Errors: an index that cannot be read.
    pub fn finds(&self, id: &str) -> Result<bool> {
        self.with(|others| {
            if !others.done.contains(id) && others.looked.elapsed() >= LOOK_EVERY {
                others.look()?;
            }
            Ok(others.done.contains(id))
        })
    }

    /// Read what has been added to the indexes.
    pub(super) fn look(&self) -> Result<()> {
        self.with(Others::look)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Others) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Others {
    fn look(&mut self) -> Result<()> {
        for (rank, path) in index_files(&self.folder)? {
            if rank == self.rank {
                continue;
            }
            let metadata = fs::metadata(&path).map_err(Error::io(&path))?;
            // A clip that is made again may replace the index by another file with the same clips.
            let same = self.read.get(&path).filter(|(inode, ..)| *inode == metadata.ino());
            let (begin, lines) = same.map_or((0, 0), |&(_, bytes, lines)| (bytes, lines));
            if metadata.len() > begin {
                let added = regular_file::read_from(&path, begin, LINES).map_err(Error::io(&path))?;
                let (records, whole) = parse_index(&path, &added, lines)?;
                let read = (metadata.ino(), begin + whole as u64, lines + records.len());
                self.read.insert(path, read);
                self.done.extend(records.into_iter().map(|record| record.id));
            }
        }
        self.looked = Instant::now();
        Ok(())
    }
}
