//! The objects of an ASF file (WMV): each says how long it is, and the one with the data how many packets it holds.

use std::io::Result;

use super::structure::{Parts, Structure};

const HEADER: [u8; 16] = *b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c";
const DATA: [u8; 16] = *b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c";
const PROPERTIES: [u8; 16] = *b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\0\xc0\x0c\x20\x53\x65";

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let cut_off = |byte| Ok(Structure::cut_off(byte, "the file ends before its header says"));
    // A recording that is being sent does not know its end.
    let mut packets = None;
    while parts.at < parts.total {
        let begin = parts.at;
        let Some(object) = parts.bytes::<24>()? else { return cut_off(begin) };
        let size = long(&object[16..]);
        let end = begin.saturating_add(size);
        if object[..16] == HEADER {
            packets = properties(parts, end)?;
        } else if object[..16] == DATA {
            let Some(packets) = &packets else { return Ok(Structure::default()) };
            if end > parts.total {
                return cut_off(begin);
            }
            let Some(data) = parts.bytes::<26>()? else { return cut_off(begin) };
            if long(&data[16..]) != packets.count || size != 50 + packets.count.saturating_mul(packets.size) {
                return Ok(Structure::missing(begin));
            }
            // Packets may begin with the length of a sum that nobody computes: all do, or none.
            let mut first = None;
            for _ in 0..packets.count {
                let place = parts.at;
                let Some(mark) = parts.byte()? else { return cut_off(place) };
                if mark >> 7 != *first.get_or_insert(mark >> 7) {
                    return Ok(Structure::foreign(place));
                }
                parts.skip(packets.size - 1)?;
            }
        } else if begin == 0 || size < 24 || end > parts.total {
            return Ok(Structure::missing(begin));
        }
        if !parts.go_to(end)? {
            return cut_off(begin);
        }
    }
    Ok(if packets.is_some() { Structure::whole() } else { Structure::default() })
}

struct Packets {
    count: u64,
    size: u64,
}

/// Number and size of the packets, out of the header that ends at `end`; `None` where it does not know them.
fn properties(parts: &mut Parts, end: u64) -> Result<Option<Packets>> {
    parts.skip(6)?;
    while parts.at < end.min(parts.total) {
        let begin = parts.at;
        let Some(object) = parts.bytes::<24>()? else { return Ok(None) };
        if object[..16] == PROPERTIES {
            let Some(body) = parts.bytes::<80>()? else { return Ok(None) };
            let number = |at: usize| u32::from_le_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
            let (flags, least, most) = (number(64), number(68), number(72));
            let known = flags & 1 == 0 && least == most && least > 0;
            return Ok(known.then(|| Packets { count: long(&body[32..]), size: least.into() }));
        }
        let size = long(&object[16..]);
        if size < 24 || !parts.go_to(begin.saturating_add(size))? {
            return Ok(None);
        }
    }
    Ok(None)
}

fn long(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
