//! What both layouts have: the objects of a pickle, and where the numbers of storages lie.

use super::values::{Fault, Objects, Value};
use std::ops::Range;

/// A result whose failure knows its place in the file, but not the file.
pub(super) type Located<T> = std::result::Result<T, (String, Fault)>;

pub(super) fn at_byte(part: &str, at: usize, fault: Fault) -> (String, Fault) {
    (format!("{part} byte {at}"), fault)
}

/// A file of either layout, read: places are in the whole file.
pub(super) struct Contents {
    /// The bytes that the objects' texts are in.
    pub(super) pickle: Range<usize>,
    pub(super) root: Value,
    pub(super) objects: Objects,
    /// Where each storage's numbers lie.
    pub(super) storages: Vec<Range<usize>>,
}

/// A little-endian number.
pub(super) fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
}
