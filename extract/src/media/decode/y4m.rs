//! The size of an uncompressed Y4M file: a header, then frames of the same size, each behind a line.

use std::io::Result;

use super::parts::{Parts, Structure};

/// The header's line is no longer.
const LINE: usize = 256;

pub(super) fn walk(parts: &mut Parts) -> Result<Structure> {
    let Some(size) = line(parts)?.as_deref().and_then(frame_size) else { return Ok(Structure::default()) };
    while parts.at < parts.total {
        let begin = parts.at;
        match line(parts)? {
            Some(line) if !line.starts_with("FRAME") => return Ok(Structure::foreign(begin)),
            Some(_) if parts.skip(size)? => {}
            _ => return Ok(Structure::cut_off(begin, "the file ends inside of a frame")),
        }
    }
    Ok(Structure::default())
}

/// The next line; `None`: the file ends in it, or it is longer than any.
fn line(parts: &mut Parts) -> Result<Option<String>> {
    let mut line = Vec::new();
    while let Some(byte) = parts.byte()? {
        if byte == b'\n' {
            return Ok(String::from_utf8(line).ok());
        }
        line.push(byte);
        if line.len() > LINE {
            // Not a line at all.
            return Ok(Some(String::new()));
        }
    }
    Ok(None)
}

/// Bytes of a frame, where the header's words tell.
fn frame_size(header: &str) -> Option<u64> {
    let field = |name: char| header.split(' ').skip(1).find_map(|word| word.strip_prefix(name));
    let (width, height) = (field('W')?.parse::<u64>().ok()?, field('H')?.parse::<u64>().ok()?);
    let colour = field('C').unwrap_or("420jpeg");
    // Samples of more than 8 bits take two bytes.
    let (colour, bytes) = match colour.split_once('p') {
        Some((colour, bits)) if bits.parse::<u32>().is_ok_and(|bits| bits > 8) => (colour, 2),
        _ => (colour, 1),
    };
    let (half, rows) = (width.div_ceil(2), height.div_ceil(2));
    let samples = match colour {
        "mono" => width * height,
        "411" => width * height + 2 * width.div_ceil(4) * height,
        "422" => width * height + 2 * half * height,
        "444" => 3 * width * height,
        "444alpha" => 4 * width * height,
        _ if colour.starts_with("420") => width * height + 2 * half * rows,
        _ => return None,
    };
    (width < 1 << 16 && height < 1 << 16).then_some(samples * bytes)
}

#[cfg(test)]
mod tests {
    use super::frame_size;

    #[test]
    fn frames_of_all_colours() {
        // 5 x 3 of gray, 3 x 2 of each colour.
        for (colour, size) in [
            ("", Some(27)),
            (" C420mpeg2", Some(27)),
            (" C420p10", Some(54)),
            (" C422", Some(33)),
            (" C422p12", Some(66)),
            (" C444", Some(45)),
            (" C411", Some(27)),
            (" Cmono", Some(15)),
            (" Cmono16", None),
        ] {
            assert_eq!(frame_size(&format!("YUV4MPEG2 W5 H3 F25:1{colour}")), size, "{colour}");
        }
    }
}
