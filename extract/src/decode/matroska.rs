//! Whether the elements of a Matroska or WebM file follow each other.
//!
//! FFmpeg looks for the next cluster where one is damaged, and leaves out a frame that the end of the file cuts off. In
//! both cases it says nothing of what is lost. Only headers of elements are read here.

use signclip_common::regular_file;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
/// What a segment is made of, besides clusters; these end a cluster of unknown size.
const TOP: [u32; 9] = [
    0x114d_9b74, // index of elements
    0x1549_a966, // information
    0x1654_ae6b, // tracks
    0x1c53_bb6b, // index of times
    0x1941_a469, // attachments
    0x1043_a770, // chapters
    0x1254_c367, // tags
    0x1b53_8667, // signatures
    SEGMENT,
];

/// Elements of a cluster that hold frames.
const FRAMES: [u32; 3] = [
    0xa3, // one
    0xa0, // with what else is known of it
    0xaf, // encrypted
];

/// What is wrong with a file, and the byte where it begins.
#[derive(Debug, PartialEq)]
pub(super) enum Damage {
    /// Bytes that are not an element.
    Foreign(u64),
    /// A frame that the file ends in. A file that ends in its index has all its frames.
    CutOff(u64),
}

/// The first damage, if there is any.
pub(super) fn first_damage(file: &Path) -> Result<Option<Damage>> {
    let mut reader = BufReader::new(regular_file::open(file)?);
    let total = reader.seek(SeekFrom::End(0))?;
    reader.rewind()?;
    let (mut at, mut length) = (0, total);
    while at < length {
        let Some(Element { id, header, size }) = element(&mut reader)? else {
            // Fewer bytes than a header has: a file that ends too early.
            return Ok((at + 12 < length).then_some(Damage::Foreign(at)));
        };
        let begin = at;
        at += header;
        if FRAMES.contains(&id) && size.is_some_and(|size| at + size > total) {
            return Ok(Some(Damage::CutOff(begin)));
        }
        // Segments and clusters are gone into, so that what they hold is looked at; the rest is passed over.
        if matches!(id, SEGMENT | CLUSTER) {
            if let (SEGMENT, Some(size)) = (id, size) {
                length = length.min(at + size);
            }
            continue;
        }
        let Some(size) = size else { return Ok(Some(Damage::Foreign(begin))) };
        at += size;
        if at < length {
            reader.seek_relative(size as i64)?;
        }
    }
    Ok(None)
}

struct Element {
    id: u32,
    /// Bytes of the element's header.
    header: u64,
    /// Bytes that follow it; absent where whoever wrote it did not know.
    size: Option<u64>,
}

/// The element whose header comes next; `None` at the end, and where the bytes are not the header of a known kind.
fn element(reader: &mut impl Read) -> Result<Option<Element>> {
    let Some((id, id_length)) = number(reader)? else { return Ok(None) };
    let Some((size, size_length)) = number(reader)? else { return Ok(None) };
    let (Ok(id), true) = (u32::try_from(id), id_length <= 4) else { return Ok(None) };
    // The bits of the length are no part of the size.
    let bits = 7 * size_length;
    let size = size & ((1 << bits) - 1);
    let unknown = size == (1 << bits) - 1;
    // Only elements at the top have names of four bytes. Shorter names are too many to be listed.
    let known = id_length < 4 || id == CLUSTER || TOP.contains(&id) || id == 0x1a45_dfa3;
    let sensible = size < 1 << 48;
    Ok((known && (unknown || sensible)).then_some(Element {
        id,
        header: id_length + size_length,
        size: (!unknown).then_some(size),
    }))
}

/// A number whose first byte says how long it is, that byte's mark included, and its length.
fn number(reader: &mut impl Read) -> Result<Option<(u64, u64)>> {
    let mut bytes = [0; 8];
    if reader.read(&mut bytes[..1])? == 0 || bytes[0] == 0 {
        return Ok(None);
    }
    let length = bytes[0].leading_zeros() as usize + 1;
    if let Err(error) = reader.read_exact(&mut bytes[1..length]) {
        return if error.kind() == std::io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    Ok(Some((bytes[..length].iter().fold(0, |n, &byte| n << 8 | u64::from(byte)), length as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(bytes: &[u8]) -> Option<Damage> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        first_damage(file.path()).expect("read")
    }

    #[test]
    fn elements_follow_each_other() {
        let header = b"\x1a\x45\xdf\xa3\x82hi";
        let cluster = b"\x1f\x43\xb6\x75\x8a\xe7\x81\0\xa3\x85block";
        let live = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\0\xa3\x40\x05block";
        for (size, cluster) in
            [(&b"\xff"[..], &cluster[..]), (&b"\x01\0\0\0\0\0\0\x1e"[..], cluster), (b"\xff", live)]
        {
            let segment = [&header[..], b"\x18\x53\x80\x67", size].concat();
            let whole = [&segment[..], cluster, b"\xec\x83\0\0\0", cluster].concat();
            assert_eq!(damage(&whole), None);
            let mut damaged = whole.clone();
            damaged[segment.len()..segment.len() + 4].fill(0);
            assert_eq!(damage(&damaged), Some(Damage::Foreign(segment.len() as u64)));
            let mut damaged = whole.clone();
            let header = if cluster == live { 8 } else { 7 };
            let block = segment.len() + cluster.len() - header;
            damaged[block] = 0;
            assert_eq!(damage(&damaged), Some(Damage::Foreign(block as u64)));
            // The last frame is five bytes long.
            for end in whole.len() - 5..whole.len() {
                let last = Damage::CutOff((whole.len() - header) as u64);
                assert_eq!(damage(&whole[..end]), Some(last), "cut off at {end}");
            }
            let index = b"\x1c\x53\xbb\x6b\x84cues";
            let indexed = [b"\x1a\x45\xdf\xa3\x82hi\x18\x53\x80\x67\xff", cluster, index].concat();
            for end in indexed.len() - index.len()..=indexed.len() {
                assert_eq!(damage(&indexed[..end]), None, "the index is cut off at {end}");
            }
        }
    }
}
