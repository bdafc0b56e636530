//! The packs and packets of an MPEG program stream: each begins with a code, and says how long it is.

use std::io::Result;

use super::parts::{Parts, Structure};

const END: u8 = 0xb9;
const PACK: u8 = 0xba;

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let mut last = 0;
    loop {
        let begin = parts.at;
        let cut_off = Ok(Structure::cut_off(begin, "the file ends inside of a packet"));
        // Zeros may stand before a code.
        let mut zeros = 0;
        let code = loop {
            match parts.byte()? {
                None => return Ok(Structure { ends: last == END, ..Structure::default() }),
                Some(0) => zeros += 1,
                Some(1) if zeros >= 2 => break parts.byte()?,
                Some(_) => return Ok(Structure::foreign(begin)),
            }
        };
        let Some(code) = code else { return cut_off };
        last = code;
        let inside = match code {
            END => true,
            PACK => match parts.byte()? {
                // MPEG-2, with filling of a length of its own.
                Some(byte) if byte >> 6 == 1 => match parts.bytes::<9>()? {
                    Some(pack) => parts.skip(u64::from(pack[8] & 7))?,
                    None => false,
                },
                Some(byte) if byte >> 4 == 2 => parts.skip(7)?,
                Some(_) => return Ok(Structure::foreign(begin)),
                None => false,
            },
            0xbb.. => match parts.bytes::<2>()? {
                Some(length) => parts.skip(u16::from_be_bytes(length).into())?,
                None => false,
            },
            // Codes of the video itself are inside of packets.
            _ => return Ok(Structure::foreign(begin)),
        };
        if !inside {
            return cut_off;
        }
    }
}
