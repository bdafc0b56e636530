//! The chunks of an AVI file: each says how long it is, and so does the list around it.

use std::io::Result;

use super::structure::{Parts, Structure};

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let mut lists: Vec<u64> = Vec::new();
    while parts.at < parts.total {
        let begin = parts.at;
        if let Some(&end) = lists.last()
            && begin >= end
        {
            // A list of odd length is followed by a byte that fills up.
            if begin > end + 1 {
                return Ok(Structure::missing(end));
            }
            lists.pop();
            continue;
        }
        let Some(chunk) = parts.bytes::<8>()? else {
            // Fewer bytes than a chunk's header: filling.
            break;
        };
        let (name, size) = (&chunk[..4], u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
        let list = matches!(name, b"RIFF" | b"LIST");
        if lists.is_empty() && name != b"RIFF" {
            // Behind the end: nothing of the video, unless the file has become longer inside.
            return Ok(if begin > 0 && name.iter().all(|&byte| byte == 0) {
                Structure::whole()
            } else {
                Structure::missing(begin)
            });
        }
        if !name.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Ok(Structure::foreign(begin));
        }
        // Some recorders that were stopped early, and those that write more than 4 GB, leave a list's length open.
        if list && (size == 0 || size == u32::MAX) {
            return Ok(Structure::default());
        }
        let end = parts.at + u64::from(size);
        if end > parts.total {
            return Ok(Structure::cut_off(begin, "the file ends before its header says"));
        }
        if lists.last().is_some_and(|&around| end > around + 1) {
            return Ok(Structure::missing(begin));
        }
        if list {
            parts.skip(4)?;
            lists.push(end);
        } else {
            parts.go_to((end + u64::from(size & 1)).min(parts.total))?;
        }
    }
    Ok(Structure::whole())
}
