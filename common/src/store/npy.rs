//! NPY 1.0 headers of a fixed 128 bytes, so that the row count can be rewritten in place while the payload grows.

use super::damage::{NOT_OURS, damaged};
use super::description::StoreDtype;
use crate::regular_file;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Bytes before the payload: a multiple of 64, so the payload is aligned.
pub(super) const HEADER: usize = 128;

/// Bytes of the header before its text: what it is, its version and its length.
const BEFORE_TEXT: usize = 10;

/// The header of a C-ordered `[rows, dim]` array.
pub(super) fn header(dtype: StoreDtype, rows: usize, dim: usize) -> [u8; HEADER] {
    let descr = match dtype {
        StoreDtype::F16 => "<f2",
        StoreDtype::F32 => "<f4",
    };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let mut bytes = [b' '; HEADER];
    bytes[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    bytes[8..BEFORE_TEXT].copy_from_slice(&((HEADER - BEFORE_TEXT) as u16).to_le_bytes());
    bytes[BEFORE_TEXT..BEFORE_TEXT + text.len()].copy_from_slice(text.as_bytes());
    bytes[HEADER - 1] = b'\n';
    bytes
}

/// Rows a shard's header promises. Errors where the file is not a shard of this type and width.
pub(super) fn rows(path: &Path, dtype: StoreDtype, dim: usize) -> Result<usize> {
    let mut bytes = [0; HEADER];
    let mut file = regular_file::open(path).map_err(Error::io(path))?;
    file.read_exact(&mut bytes).map_err(|_| damaged(path, "header", "the file ends inside its header"))?;
    // Other versions have other lengths, for which the parser would take whatever memory they ask for.
    if bytes[..BEFORE_TEXT] != header(dtype, 0, dim)[..BEFORE_TEXT] {
        let what = format!("not a NumPy file of version 1.0 whose header has {HEADER} bytes");
        return Err(Error::input(path, "header", what, NOT_OURS));
    }
    let rows = rows_of(&bytes[BEFORE_TEXT..]).unwrap_or(0);
    if bytes != header(dtype, rows, dim) {
        let text = String::from_utf8_lossy(&bytes[BEFORE_TEXT..]);
        let what = format!(
            "{:?} where the store's description wants {:?}",
            text.trim_end_matches(['\n', ' ', '\0']),
            String::from_utf8_lossy(&header(dtype, rows, dim)[BEFORE_TEXT..]).trim_end()
        );
        return Err(Error::input(path, "header", what, NOT_OURS));
    }
    Ok(rows)
}

/// The number of rows in a header's text. The caller compares the whole header with the one that it has to be.
fn rows_of(text: &[u8]) -> Option<usize> {
    let (_, shape) = std::str::from_utf8(text).ok()?.split_once("'shape': (")?;
    shape.split_once(',')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its header says that it has 660 MB, which are not to be made room for.
    #[test]
    fn a_header_of_another_version() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut bytes = header(StoreDtype::F16, 2, 3).to_vec();
        assert!(std::fs::write(file.path(), &bytes).is_ok());
        assert_eq!(rows(file.path(), StoreDtype::F16, 3).expect("ours"), 2);
        bytes[6..12].copy_from_slice(&[3, 0, 0x76, 0, 0x7b, 0x27]);
        std::fs::write(file.path(), bytes).expect("written");
        let error = rows(file.path(), StoreDtype::F16, 3).expect_err("another one").to_string();
        assert!(error.contains("not a NumPy file of version 1.0 whose header has 128 bytes"), "{error}");
    }

    /// A parser of Python's literals takes twice as long for each bracket inside of another.
    #[test]
    fn a_header_of_brackets_is_refused_at_once() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut bytes = header(StoreDtype::F16, 2, 3).to_vec();
        bytes[BEFORE_TEXT..].fill(b'{');
        std::fs::write(file.path(), bytes).expect("written");
        let begun = std::time::Instant::now();
        let error = rows(file.path(), StoreDtype::F16, 3).expect_err("another one").to_string();
        assert!(
            error.contains("where the store's description wants") && begun.elapsed().as_secs() < 5,
            "{error}"
        );
    }
}
