//! The boxes of an MP4 or QuickTime file. FFmpeg holds frames against the table of them; what is written in fragments has
//! no table of all, and may end after any fragment.

use std::io::Result;

use super::parts::{Parts, Structure};

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let (mut fragments, mut index) = (false, false);
    while parts.at < parts.total {
        let begin = parts.at;
        let Some(header) = parts.bytes::<8>()? else { break };
        fragments |= &header[4..] == b"moof";
        index |= matches!(&header[4..], b"mfra" | b"sidx");
        let size = match u32::from_be_bytes([header[0], header[1], header[2], header[3]]) {
            // To the end of the file.
            0 => break,
            1 => parts.bytes::<8>()?.map_or(0, u64::from_be_bytes),
            size => size.into(),
        };
        if size < 8 || !parts.go_to(begin.saturating_add(size))? {
            break;
        }
    }
    Ok(Structure { ends: !fragments || index, ..Structure::default() })
}
