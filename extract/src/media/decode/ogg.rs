//! The pages of an Ogg file: numbered, the last one of each track marked. FFmpeg checks their sums, and neither of these.

use std::collections::BTreeMap;
use std::io::Result;

use super::parts::{Parts, Structure};

const FIRST: u8 = 2;
const LAST: u8 = 4;

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    // Number of the next page of each track; absent after the last one.
    let mut tracks: BTreeMap<u32, Option<u32>> = BTreeMap::new();
    while parts.at < parts.total {
        let begin = parts.at;
        let cut_off = Ok(Structure::cut_off(begin, "the file ends inside of a page"));
        let Some(header) = parts.bytes::<27>()? else { return cut_off };
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if &header[..4] != b"OggS" {
            return Ok(Structure::foreign(begin));
        }
        let (kind, track, number) = (header[5], word(14), word(18));
        let expected = tracks.get(&track).copied().flatten();
        let follows = if kind & FIRST != 0 { expected.is_none() } else { expected == Some(number) };
        if !follows {
            return Ok(Structure::missing(begin));
        }
        tracks.insert(track, (kind & LAST == 0).then(|| number.wrapping_add(1)));
        let mut size = 0;
        for _ in 0..header[26] {
            let Some(segment) = parts.byte()? else { return cut_off };
            size += u64::from(segment);
        }
        if !parts.skip(size)? {
            return cut_off;
        }
    }
    match tracks.values().any(Option::is_some) {
        true => Ok(Structure::cut_off(parts.total, "the page that is marked as the last one is missing")),
        false => Ok(Structure::whole()),
    }
}
