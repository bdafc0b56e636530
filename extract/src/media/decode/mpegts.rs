//! The packets of an MPEG transport stream, all of one size. Nothing in them tells where the stream ends.

use std::io::Result;

use super::parts::{Parts, Structure};

/// Alone, behind a time stamp (Blu-ray, cameras), and before a sum.
const SIZES: [u64; 3] = [188, 192, 204];
const MARK: u8 = b'G';

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let Some((first, size)) = grid(parts)? else { return Ok(Structure::default()) };
    parts.go_to(first)?;
    while parts.at < parts.total {
        let begin = parts.at;
        // A mark that is not there: bytes are missing, or others.
        if parts.byte()? != Some(MARK) {
            return Ok(Structure::foreign(begin));
        }
        // What lies between two packets belongs to the next one, or to the one before: neither is missed at the end.
        if parts.total - begin < 188 {
            return Ok(Structure::cut_off(begin, "the file ends inside of a packet"));
        }
        parts.skip(size - 1)?;
    }
    Ok(Structure::default())
}

/// Place of the first mark, and how far it is from one to the next.
fn grid(parts: &mut Parts) -> Result<Option<(u64, u64)>> {
    for (first, size) in SIZES.map(|size| (if size == 192 { 4 } else { 0 }, size)) {
        // Two of three: any one may be damaged.
        let mut marks = 0;
        for number in 0..3 {
            marks += usize::from(parts.go_to(first + number * size)? && parts.byte()? == Some(MARK));
        }
        if marks >= 2 {
            return Ok(Some((first, size)));
        }
    }
    Ok(None)
}
