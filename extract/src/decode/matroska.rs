//! Whether the elements of a Matroska or WebM file follow each other.
//!
//! FFmpeg looks for the next cluster where one is damaged, and says nothing of what is lost in between. Only headers of
//! elements are read; that a file ends too early is seen by its duration.

use std::fs::File;
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

/// Where something stands between two elements that is none, if anywhere.
pub(super) fn first_gap(file: &Path) -> Result<Option<u64>> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut length = reader.seek(SeekFrom::End(0))?;
    reader.rewind()?;
    let mut at = 0;
    while at < length {
        let Some(Element { id, header, size }) = element(&mut reader)? else {
            // Fewer bytes than a header has: a file that ends too early.
            return Ok((at + 12 < length).then_some(at));
        };
        at += header;
        // Segments and clusters are gone into, so that what they hold is looked at; the rest is passed over.
        if matches!(id, SEGMENT | CLUSTER) {
            if let (SEGMENT, Some(size)) = (id, size) {
                length = length.min(at + size);
            }
            continue;
        }
        let Some(size) = size else { return Ok(Some(at - header)) };
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

/// The element whose header comes next; `None` where there is none, or where it is none of a known kind.
fn element(reader: &mut impl Read) -> Result<Option<Element>> {
    let Some((id, id_length)) = number(reader)? else { return Ok(None) };
    let Some((size, size_length)) = number(reader)? else { return Ok(None) };
    let (Ok(id), true) = (u32::try_from(id), id_length <= 4) else { return Ok(None) };
    // The bits of the length are no part of the size.
    let bits = 7 * size_length;
    let size = size & ((1 << bits) - 1);
    let unknown = size == (1 << bits) - 1;
    // Four bytes are used for what stands at the top alone; of those that are none of it, any would do.
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

    fn gap(bytes: &[u8]) -> Option<u64> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        first_gap(file.path()).expect("read")
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
            assert_eq!(gap(&whole), None);
            let mut damaged = whole.clone();
            damaged[segment.len()..segment.len() + 4].fill(0);
            assert_eq!(gap(&damaged), Some(segment.len() as u64));
            let mut damaged = whole.clone();
            let block = segment.len() + cluster.len() - if cluster == live { 8 } else { 7 };
            damaged[block] = 0;
            assert_eq!(gap(&damaged), Some(block as u64));
            // Ending early is another matter.
            for end in whole.len() - 6..whole.len() {
                assert_eq!(gap(&whole[..end]), None, "cut off at {end}");
            }
        }
    }
}
