//! Opening a file of weights, of whatever format.

use crate::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// Map `path` for reading. Errors: missing, empty, or a Git LFS pointer.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    if path.is_dir() {
        let remedy = "a folder is where a file should be; give another path";
        return Err(Error::input(path, "", "this is a folder", remedy));
    }
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    if length == 0 {
        return Err(Error::input(path, "", "the file is empty", "download it again"));
    }
    // SAFETY: weight files are only read, and replaced by rename (a new inode), never rewritten in place.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
    if is_lfs_pointer(&map) {
        return Err(Error::input(
            path,
            "",
            "this is a Git LFS pointer, not the weights",
            "run `git lfs pull` where it came from, or download the file itself",
        ));
    }
    Ok(map)
}

/// Whether the bytes are the small text file that Git LFS leaves in place of a large one.
pub fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.len() < 1024 && bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}
