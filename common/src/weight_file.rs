//! Opening a file of weights, of whatever format.

use crate::map::Map;
use crate::{Error, Result};
use std::path::Path;

/// Map `path` for reading. Errors: missing, empty, or a Git LFS pointer.
pub(crate) fn map(path: &Path) -> Result<Map> {
    if path.is_dir() {
        let remedy = "a folder is where a file should be; give another path";
        return Err(Error::input(path, "", "this is a folder", remedy));
    }
    let map = Map::open(path).map_err(Error::io(path))?;
    if map.is_empty() {
        return Err(Error::input(path, "", "the file is empty", "download it again"));
    }
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
