//! The blocks of a GIF, up to the one that ends it. Nothing tells how many pictures there should be.

use std::io::Result;

use super::parts::{Parts, Structure};

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    match blocks(parts)? {
        Some(structure) => Ok(structure),
        None => Ok(Structure::cut_off(parts.total, "the file ends before its end mark")),
    }
}

/// `None`: the file ends inside of a block, or after one.
fn blocks(parts: &mut Parts) -> Result<Option<Structure>> {
    let Some(header) = parts.bytes::<13>()? else { return Ok(None) };
    if !parts.skip(colours(header[10]))? {
        return Ok(None);
    }
    let mut pictures = 0;
    loop {
        let begin = parts.at;
        match parts.byte()? {
            None => return Ok(None),
            // An extension, with its kind.
            Some(b'!') => {
                if !parts.skip(1)? {
                    return Ok(None);
                }
            }
            // A picture: place, size, colours, width of the first code.
            Some(b',') => {
                let Some(picture) = parts.bytes::<9>()? else { return Ok(None) };
                if !parts.skip(colours(picture[8]) + 1)? {
                    return Ok(None);
                }
                pictures += 1;
            }
            Some(b';') => {
                return Ok(Some(Structure { pictures: Some(pictures), ..Structure::default() }));
            }
            Some(_) => return Ok(Some(Structure::foreign(begin))),
        }
        loop {
            match parts.byte()? {
                None => return Ok(None),
                Some(0) => break,
                Some(size) if parts.skip(size.into())? => {}
                Some(_) => return Ok(None),
            }
        }
    }
}

/// Bytes of the table of colours that these flags announce.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
