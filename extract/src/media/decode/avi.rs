//! The chunks of an AVI file: each says how long it is, and so does the list around it. The index names those with frames.

use std::io::Result;

use super::parts::{Parts, Structure};

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let mut lists: Vec<u64> = Vec::new();
    let (mut files, mut frames, mut index) = (0, Vec::new(), None);
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
            files += usize::from(name == b"RIFF");
            parts.skip(4)?;
            lists.push(end);
        } else {
            if is_video(name) && size > 0 {
                frames.push([chunk[..4].to_vec(), chunk[4..].to_vec()]);
            } else if name == b"idx1" {
                let mut entries = Vec::new();
                while parts.at + 16 <= end
                    && let Some(entry) = parts.bytes::<16>()?
                {
                    if is_video(&entry[..4]) && entry[12..] != [0; 4] {
                        entries.push([entry[..4].to_vec(), entry[12..].to_vec()]);
                    }
                }
                index = Some((begin, entries));
            }
            parts.go_to((end + u64::from(size & 1)).min(parts.total))?;
        }
    }
    // The index of a file of several parts is that of the first one.
    Ok(match index {
        Some((begin, entries)) if files == 1 && entries != frames => Structure::missing(begin),
        _ => Structure::whole(),
    })
}

/// "00dc" and "00db": compressed and plain pictures of stream 0.
fn is_video(name: &[u8]) -> bool {
    matches!(&name[2..], b"dc" | b"db") && name[..2].iter().all(u8::is_ascii_digit)
}
