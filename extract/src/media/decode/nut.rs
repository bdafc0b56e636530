//! The index at the end of a NUT file, which says where its parts begin.

use std::io::Result;

use super::parts::{Parts, Structure};

const INDEX: [u8; 8] = *b"NX\xdd\x67\x2f\x23\xe6\x4e";
const PART: [u8; 8] = *b"NK\xe4\xad\xee\xca\x45\x69";

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let missing = "the index at the end is missing";
    let Some(place) = parts.total.checked_sub(12) else { return Ok(Structure::default()) };
    parts.go_to(place)?;
    let length = parts.bytes::<8>()?.map_or(0, u64::from_be_bytes);
    let Some(index) = parts.total.checked_sub(length).filter(|_| length > 0) else {
        return Ok(Structure::default());
    };
    parts.go_to(index)?;
    if parts.bytes()? != Some(INDEX) {
        return Ok(Structure::cut_off(parts.total, missing));
    }
    let size = number(parts)?;
    if size > 4096 {
        parts.skip(4)?;
    }
    // The time of the last frame.
    number(parts)?;
    let count = number(parts)?;
    let mut places = Vec::new();
    for _ in 0..count.min(length) {
        let last: u64 = places.last().copied().unwrap_or(0);
        places.push(last.saturating_add(16 * number(parts)?));
    }
    let last = places.last().copied();
    for place in places {
        // The places are rounded.
        let mut found = false;
        for at in place..place + 16 {
            parts.go_to(at)?;
            found |= parts.bytes()? == Some(PART);
        }
        if !found {
            return Ok(Structure::missing(place));
        }
    }
    // None that the index does not know may come before it.
    parts.go_to(last.map_or(0, |last| last + 16))?;
    let mut window = [0; 8];
    while parts.at < index
        && let Some(byte) = parts.byte()?
    {
        window.rotate_left(1);
        window[7] = byte;
        if window == PART && last.is_some_and(|last| parts.at > last + 24) {
            return Ok(Structure::missing(parts.at));
        }
    }
    Ok(Structure::whole())
}

/// A number of seven bits a byte, the first bit of each telling whether another follows.
fn number(parts: &mut Parts) -> Result<u64> {
    let mut number: u64 = 0;
    while let Some(byte) = parts.byte()? {
        number = ((number << 7) & (u64::MAX >> 8)) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(number)
}
