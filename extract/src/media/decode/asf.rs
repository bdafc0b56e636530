//! The objects of an ASF file (WMV): each says how long it is, and the one with the data how many packets it holds. Frames are
//! cut into the payloads of packets, which say of which frame they are, and where in it.

use std::collections::HashMap;
use std::io::Result;

use super::parts::{Parts, Structure};

const HEADER: [u8; 16] = *b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c";
const DATA: [u8; 16] = *b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c";
const PROPERTIES: [u8; 16] = *b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\0\xc0\x0c\x20\x53\x65";

/// Bytes of a packet, which are read at once.
const LARGEST_PACKET: u32 = 1 << 20;

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
            let mut frames = Frames::default();
            let mut packet = vec![0; packets.size as usize];
            for _ in 0..packets.count {
                let place = parts.at;
                if !parts.fill(&mut packet)? {
                    return cut_off(place);
                }
                if frames.follow(&packet).is_none() {
                    return Ok(Structure::missing(place));
                }
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

/// The frame of each stream that payloads belong to: its number, its bytes, and how many of them have come.
#[derive(Default)]
struct Frames(HashMap<u8, Option<(u32, u32, u32)>>);

impl Frames {
    /// Take the payloads of a packet; `None` where they do not follow those before. The layout is that of section 5.2 of the
    /// specification of ASF.
    fn follow(&mut self, packet: &[u8]) -> Option<()> {
        let mut fields = Fields(packet);
        let mut flags = fields.number(1)?;
        if flags & 0x80 != 0 {
            fields.bytes(flags & 0xf)?;
            flags = fields.number(1)?;
        }
        let kinds = fields.number(1)?;
        fields.number(flags >> 5)?; // length of the packet
        fields.number(flags >> 1)?; // its number
        let padding = fields.number(flags >> 3)?;
        fields.bytes(4 + 2)?; // when to send it, and for how long
        let many = flags & 1 != 0;
        let (count, length_kind) = match many {
            true => fields.number(1).map(|payloads| (payloads & 0x3f, payloads >> 6))?,
            false => (1, 0),
        };
        for _ in 0..count {
            let stream = fields.number(1)? as u8 & 0x7f;
            let number_kind = kinds >> 4 & 3;
            let number = fields.number(number_kind)?;
            let offset = fields.number(kinds >> 2)?;
            let more = fields.number(kinds)?;
            let known = fields.bytes(more)?;
            let length = match many {
                true => fields.number(length_kind)?,
                false => (fields.0.len() as u32).checked_sub(padding)?,
            };
            fields.bytes(length)?;
            let last = self.0.entry(stream).or_default();
            if more < 8 || number_kind == 0 {
                // Several small frames at once, or frames that are not counted.
                *last = None;
                continue;
            }
            let size = u32::from_le_bytes([known[0], known[1], known[2], known[3]]);
            let done = match *last {
                Some((before, _, done)) if offset > 0 => {
                    (number == before && offset == done).then_some(done)?
                }
                Some((before, size, done)) => {
                    let next = before.wrapping_add(1) & [0, 0xff, 0xffff, u32::MAX][number_kind as usize];
                    (number == next && done == size).then_some(0)?
                }
                // A recording may begin in the middle of a frame.
                None if offset > 0 => continue,
                None => 0,
            };
            *last = Some((number, size, done.checked_add(length).filter(|&done| done <= size)?));
        }
        Some(())
    }
}

/// What is left of a packet.
struct Fields<'p>(&'p [u8]);

impl<'p> Fields<'p> {
    /// A number of a kind, of which the lowest two bits count: none, a byte, two, or four.
    fn number(&mut self, kind: u32) -> Option<u32> {
        let bytes = self.bytes([0, 1, 2, 4][kind as usize & 3])?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn bytes(&mut self, count: u32) -> Option<&'p [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count as usize)?;
        self.0 = rest;
        Some(bytes)
    }
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
            let known = flags & 1 == 0 && least == most && (1..=LARGEST_PACKET).contains(&least);
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
