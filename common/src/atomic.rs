//! Files that are either complete or absent: write beside, fsync, rename.

use crate::regular_file;
use crate::{Error, Result, disk};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Replace `path` by `bytes`: a crash leaves the old content or the new, never a part. Errors: it is a link, which would be
/// lost.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| disk::write(bytes, |bytes| file.write_all(bytes)))
}

/// Like [`write`], with the content written by `fill`.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    regular_file::refuse_link(path).map_err(Error::io(path))?;
    let beside = beside(path);
    let attempt = || {
        disk::call(|| fill(&mut regular_file::create_new(&beside)?))?;
        disk::call(|| regular_file::open(&beside)?.sync_all())?;
        disk::call(|| fs::rename(&beside, path))?;
        sync_folder(path)
    };
    attempt().map_err(|e| {
        // What was written so far is of no use to anyone, and may be what fills the disk.
        let _ = disk::call(|| fs::remove_file(&beside));
        Error::io(path)(e)
    })
}

/// Replace `to` by a copy of the file `from`.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = regular_file::open(from).map_err(Error::io(from))?;
    write_with(to, |copy| std::io::copy(&mut source, copy).map(|_| ()))
}

/// Make `path` with this content unless it exists already: of several processes the first one wins.
pub fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = beside(path);
    let attempt = || {
        let mut file = disk::call(|| regular_file::create_new(&beside))?;
        disk::write(bytes, |bytes| file.write_all(bytes))?;
        disk::call(|| file.sync_all())?;
        match disk::call(|| fs::hard_link(&beside, path)) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            // File systems without hard links.
            Err(_) => disk::call(|| fs::rename(&beside, path))?,
            Ok(()) => {}
        }
        sync_folder(path)
    };
    let done = attempt().map_err(Error::io(path));
    let _ = disk::call(|| fs::remove_file(&beside));
    done
}

/// Make a rename or a new file in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk::call(|| regular_file::sync_folder(folder))
}

/// A name no other thread, process or machine uses: process ids repeat across the nodes of a cluster.
fn beside(path: &Path) -> PathBuf {
    let random = RandomState::new().build_hasher().finish();
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{random:016x}.tmp"));
    path.with_file_name(name)
}
