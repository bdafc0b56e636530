//! Headers of NumPy files that others wrote.

use npyz::NpyHeader;
use signclip_common::{Error, Result};
use std::path::Path;

/// NumPy writes 118 bytes for an array of numbers. A long header is refused before it is parsed.
pub const LONGEST_HEADER: usize = 1024;

/// Brackets of a header that are open at once: its own, and those of a list of records. The parser takes twice as long for
/// each one more.
const DEEPEST: usize = 4;

/// The header of the NumPy file that begins with `bytes`, and where the numbers begin.
pub fn parse_header(path: &Path, bytes: &[u8]) -> Result<(NpyHeader, usize)> {
    let head = &bytes[..bytes.len().min(LONGEST_HEADER)];
    let refused = |what: &str| Error::input(path, "header", what, "write the array with numpy.save");
    if !head.starts_with(b"\x93NUMPY") {
        return Err(refused("not a NumPy file"));
    }
    // Version 1 has 16 bits for the length of the text that follows, later versions have 32.
    let end = match head[6..] {
        [1, _, low, high, ..] => 10 + usize::from(u16::from_le_bytes([low, high])),
        [_, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize).saturating_add(12),
        _ => return Err(refused("the file ends inside its header")),
    };
    if end > head.len() {
        return Err(refused("it is cut off, or too long for an array of numbers"));
    }
    if depth(&head[..end]) > DEEPEST {
        return Err(refused("more brackets inside of each other than an array of numbers has"));
    }
    let header = NpyHeader::from_reader(&head[..end]).map_err(|error| refused(&error.to_string()))?;
    Ok((header, end))
}

/// The most brackets that are open at once.
fn depth(text: &[u8]) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}
