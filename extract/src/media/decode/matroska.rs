//! Whether the elements of a Matroska or WebM file follow each other.
//!
//! FFmpeg looks for the next cluster where one is damaged, and leaves out a frame that the end of the file cuts off. In
//! both cases it says nothing of what is lost. Only headers of elements are read here.

use std::io::Result;

use super::parts::{Parts, Structure};

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

/// Everything that a cluster may be made of.
const IN_CLUSTER: [u32; 9] = [
    0xa3, 0xa0, 0xaf,   // frames
    0xe7,   // its time
    0xa7,   // its place
    0xab,   // size of the one before
    0x5854, // tracks that are silent
    0xec,   // nothing
    0xbf,   // a checksum
];

/// The first damage, and whether the file says how long it is. A file that ends in its index has all its frames.
pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let (mut length, mut ends) = (parts.total, false);
    // Of the cluster that the place is in, where its size is known.
    let mut cluster_end = None;
    while parts.at < length {
        cluster_end = cluster_end.filter(|end| parts.at < *end);
        let begin = parts.at;
        let Some(Element { id, size }) = element(parts)? else {
            // Fewer bytes than a header has: a file that ends too early.
            return Ok(if begin + 12 < length { Structure::foreign(begin) } else { Structure::default() });
        };
        let beyond =
            cluster_end.is_some_and(|end| size.is_none_or(|size| parts.at.saturating_add(size) > end));
        if beyond || (cluster_end.is_some() && !IN_CLUSTER.contains(&id)) {
            return Ok(Structure::foreign(begin));
        }
        if FRAMES.contains(&id) && size.is_some_and(|size| parts.at + size > parts.total) {
            return Ok(Structure::cut_off(begin, "the file ends inside of a frame"));
        }
        // Segments and clusters are gone into, so that what they hold is looked at; the rest is passed over.
        if matches!(id, SEGMENT | CLUSTER) {
            if let (SEGMENT, Some(size)) = (id, size) {
                ends = parts.at + size <= parts.total;
                length = length.min(parts.at + size);
            }
            if id == CLUSTER {
                cluster_end = size.map(|size| parts.at.saturating_add(size));
            }
            continue;
        }
        let Some(size) = size else { return Ok(Structure::foreign(begin)) };
        parts.skip(size)?;
    }
    Ok(Structure { ends, ..Structure::default() })
}

struct Element {
    id: u32,
    /// Bytes that follow its header; absent where whoever wrote it did not know.
    size: Option<u64>,
}

/// The element whose header comes next; `None` at the end, and where the bytes are not the header of a known kind.
fn element(parts: &mut Parts) -> Result<Option<Element>> {
    let Some((id, id_length)) = number(parts)? else { return Ok(None) };
    let Some((size, size_length)) = number(parts)? else { return Ok(None) };
    let (Ok(id), true) = (u32::try_from(id), id_length <= 4) else { return Ok(None) };
    // The bits of the length are not part of the size.
    let bits = 7 * size_length;
    let size = size & ((1 << bits) - 1);
    let unknown = size == (1 << bits) - 1;
    let known = IN_CLUSTER.contains(&id) || id == CLUSTER || TOP.contains(&id) || id == 0x1a45_dfa3;
    let sensible = size < 1 << 48;
    Ok((known && (unknown || sensible)).then_some(Element { id, size: (!unknown).then_some(size) }))
}

/// A number whose first byte says how long it is, that byte's mark included, and its length.
fn number(parts: &mut Parts) -> Result<Option<(u64, u64)>> {
    let Some(first) = parts.byte()?.filter(|&first| first > 0) else { return Ok(None) };
    let length = first.leading_zeros() + 1;
    let mut number = u64::from(first);
    for _ in 1..length {
        let Some(byte) = parts.byte()? else { return Ok(None) };
        number = number << 8 | u64::from(byte);
    }
    Ok(Some((number, length.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The byte where it begins, and whether it is the end of the file.
    fn damage(bytes: &[u8]) -> Option<(u64, bool)> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let structure = walk(&mut Parts::open(file.path()).expect("opened")).expect("read");
        structure.damage.map(|damage| (damage.byte, damage.end))
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
            assert_eq!(damage(&damaged), Some((segment.len() as u64, false)));
            let mut damaged = whole.clone();
            let header = if cluster == live { 8 } else { 7 };
            let block = segment.len() + cluster.len() - header;
            // No name at all, and the name of something that no cluster has.
            for name in [0, 0x86] {
                damaged[block] = name;
                assert_eq!(damage(&damaged), Some((block as u64, false)));
            }
            // The last frame is five bytes long.
            for end in whole.len() - 5..whole.len() {
                let last = ((whole.len() - header) as u64, true);
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
