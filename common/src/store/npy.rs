//! NPY 1.0 headers of a fixed 128 bytes, so that the row count can be rewritten in place while the payload grows.

use super::{NOT_OURS, StoreDtype};
use crate::regular_file;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Bytes before the payload: a multiple of 64, so the payload is aligned.
pub(super) const HEADER: usize = 128;

/// The header of a C-ordered `[rows, dim]` array.
pub(super) fn header(dtype: StoreDtype, rows: usize, dim: usize) -> [u8; HEADER] {
    let descr = match dtype {
        StoreDtype::F16 => "<f2",
        StoreDtype::F32 => "<f4",
    };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let mut bytes = [b' '; HEADER];
    bytes[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    bytes[8..10].copy_from_slice(&((HEADER - 10) as u16).to_le_bytes());
    bytes[10..10 + text.len()].copy_from_slice(text.as_bytes());
    bytes[HEADER - 1] = b'\n';
    bytes
}

/// Rows a shard's header promises. Errors where the file is not a shard of this type and width.
pub(super) fn rows(path: &Path, dtype: StoreDtype, dim: usize) -> Result<usize> {
    let mut bytes = [0; HEADER];
    let mut file = regular_file::open(path).map_err(Error::io(path))?;
    file.read_exact(&mut bytes).map_err(|_| damaged(path, "header", "the file ends inside its header"))?;
    let parsed =
        npyz::NpyHeader::from_reader(&bytes[..]).map_err(|e| damaged(path, "header", &e.to_string()))?;
    let rows = parsed.shape().first().copied().unwrap_or_default() as usize;
    if bytes != header(dtype, rows, dim) {
        let text = String::from_utf8_lossy(&bytes[10..]);
        let what = format!(
            "{:?} where the store's description wants {:?}",
            text.trim_end_matches(['\n', ' ', '\0']),
            String::from_utf8_lossy(&header(dtype, rows, dim)[10..]).trim_end()
        );
        return Err(Error::input(path, "header", what, NOT_OURS));
    }
    Ok(rows)
}

/// A store file that cannot be trusted.
pub(super) fn damaged(path: &Path, place: &str, what: &str) -> Error {
    Error::input(
        path,
        place,
        what,
        "the store is damaged here; move the split's folder away and extract again",
    )
}
