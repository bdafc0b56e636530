//! What an FLV file says of its own size. FFmpeg holds the length of each part against the next one.

use std::io::Result;

use super::parts::{Parts, Structure};

/// Where a file says it, it does so among the first bytes.
const LOOKED_AT: usize = 8192;

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let mut head = Vec::new();
    while head.len() < LOOKED_AT
        && let Some(byte) = parts.byte()?
    {
        head.push(byte);
    }
    let Some(size) = number(&head, b"\0\x08filesize\0") else { return Ok(Structure::default()) };
    Ok(match parts.total as f64 {
        total if total < size => Structure::cut_off(parts.total, "the file ends before its header says"),
        // Who changed the file did not change its header.
        total if total > size => Structure::default(),
        _ => Structure::whole(),
    })
}

/// The positive number after `name`.
fn number(head: &[u8], name: &[u8]) -> Option<f64> {
    let at = head.windows(name.len()).position(|window| window == name)? + name.len();
    let bytes = head.get(at..at + 8)?.try_into().ok()?;
    Some(f64::from_be_bytes(bytes)).filter(|&number| number > 0.0)
}
