//! Single picture files: which kind they are by their first bytes, whether they are whole, and their upright pixels.

use signclip_common::regular_file::{self, PICTURE};
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use signclip_common::{Error, Result};

use crate::media::decode::{Coding, decode_still};
use crate::media::frame::{Frame, MAX_PIXELS};
use crate::media::jpeg;
use crate::media::orientation::Orientation;

const COPY_AGAIN: &str = "copy or unpack the file again";

/// The kind of a picture file, which its first bytes decide; its name may say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Read by the `png` crate, the others by FFmpeg's decoders.
    Png,
    /// Baseline and progressive.
    Jpeg,
    /// With or without loss, not animated.
    Webp,
    /// Windows bitmaps.
    Bmp,
}

/// As many bytes as tell the kind.
const SIGNATURE: u64 = 18;

impl Kind {
    /// By the first bytes of a file.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // "BM" alone begins many a text: the sizes of the headers that exist must follow.
        let bitmap =
            |b: &[u8]| b[6..10] == [0; 4] && matches!(b[14], 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124);
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [b'B', b'M', ..] if bytes.len() >= 18 && bitmap(bytes) => Some(Self::Bmp),
            _ => None,
        }
    }

    /// By the first bytes of the file at `path`.
    pub fn of_file(path: &Path) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        let file = regular_file::open(path).map_err(Error::io(path))?;
        file.take(SIGNATURE).read_to_end(&mut bytes).map_err(Error::io(path))?;
        Ok(Self::of(&bytes))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Webp => "WebP",
            Self::Bmp => "BMP",
        }
    }
}

/// An upright picture.
#[derive(Debug)]
pub struct Picture {
    pub frame: Frame,
    /// Its pixels are stored turned or mirrored, and its EXIF data say how.
    pub turned: bool,
}

/// Decode one picture file completely; a damaged one is an error that names the file.
pub fn read_picture(file: &Path) -> Result<Picture> {
    let bytes = regular_file::read(file, PICTURE).map_err(Error::io(file))?;
    let (frame, orientation) = match Kind::of(&bytes) {
        Some(Kind::Png) => read_png(file, bytes)?,
        Some(Kind::Jpeg) => read_jpeg(file, &bytes)?,
        Some(Kind::Webp) => read_webp(file, &bytes)?,
        Some(Kind::Bmp) => read_bitmap(file, &bytes)?,
        None => return Err(no_picture(file, &bytes)),
    };
    Ok(Picture { frame: orientation.apply(frame), turned: !orientation.is_upright() })
}

/// Width and height of an upright picture, of PNG files by their header alone.
pub fn picture_size(file: &Path) -> Result<(usize, usize)> {
    if Kind::of_file(file)? == Some(Kind::Png) {
        let input = regular_file::open(file).map_err(Error::io(file))?;
        let reader = png_reader(file, BufReader::new(input))?;
        let info = reader.info();
        return Ok(png_orientation(info).size((info.width as usize, info.height as usize)));
    }
    let Picture { frame, .. } = read_picture(file)?;
    Ok((frame.width, frame.height))
}

fn no_picture(file: &Path, bytes: &[u8]) -> Error {
    if bytes.is_empty() {
        return Error::input(file, "", "is empty (0 bytes)", COPY_AGAIN);
    }
    let what = match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "it is HEIC, AVIF or a video",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "it is TIFF",
        [b'G', b'I', b'F', b'8', ..] => "it is GIF",
        _ => "its first bytes are of no kind of picture",
    };
    let what = format!("no picture that can be read: {what}");
    Error::input(
        file,
        "",
        what,
        "PNG, JPEG, WebP and BMP are read: convert it to PNG, or copy the file again",
    )
}

fn damaged(file: &Path, kind: Kind, error: impl std::fmt::Display) -> Error {
    let text = error.to_string().replace('\n', " ");
    let remedy = match kind {
        Kind::Png => COPY_AGAIN.to_owned(),
        _ => format!("{COPY_AGAIN}, or convert it to PNG"),
    };
    Error::input(file, "", format!("not a complete {} picture ({text})", kind.name()), remedy)
}

fn check_size(file: &Path, (width, height): (usize, usize)) -> Result<()> {
    if width.saturating_mul(height) > MAX_PIXELS {
        let what = format!("{width}x{height} pixels are more than the 8192x8192 that are accepted");
        return Err(Error::input(file, "", what, "make the picture smaller"));
    }
    Ok(())
}

/// Open a PNG and read up to its pixels, expanding every colour type to 8-bit gray or RGB with or without alpha.
fn png_reader<R: BufRead + Seek>(file: &Path, input: R) -> Result<png::Reader<R>> {
    let mut decoder = png::Decoder::new(input);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_limits(png::Limits { bytes: MAX_PIXELS * 8 });
    let reader = decoder.read_info().map_err(|error| damaged(file, Kind::Png, error))?;
    check_size(file, (reader.info().width as usize, reader.info().height as usize))?;
    Ok(reader)
}

/// How the eXIf chunk says that a PNG is turned.
fn png_orientation(info: &png::Info) -> Orientation {
    info.exif_metadata.as_deref().map_or_else(Orientation::default, from_exif)
}

/// Of EXIF data with or without the name that JPEG puts before them.
fn from_exif(data: &[u8]) -> Orientation {
    Orientation::from_exif(data.strip_prefix(b"Exif\0\0").unwrap_or(data))
}

/// A PNG of any colour type, depth and interlacing as RGB. Alpha is dropped, 16 bits lose their lower half, gray is
/// repeated: as OpenCV's `imread` does, and PIL's `convert("RGB")` but for gray of 16 bits, which PIL cuts off at 255.
fn read_png(file: &Path, bytes: Vec<u8>) -> Result<(Frame, Orientation)> {
    let damaged = |error: &dyn std::fmt::Display| damaged(file, Kind::Png, error);
    let mut reader = png_reader(file, Cursor::new(bytes))?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| damaged(&"too large"))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(|error| damaged(&error))?;
    // An animated PNG may hold more pictures; the default one is complete, the rest is not read.
    if reader.info().animation_control.is_none() {
        reader.finish().map_err(|error| damaged(&error))?;
    }
    pixels.truncate(info.buffer_size());
    let rgb = match info.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Rgba => pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => pixels.iter().flat_map(|&v| [v; 3]).collect(),
        png::ColorType::GrayscaleAlpha => pixels.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => return Err(damaged(&"palette was not expanded")),
    };
    if rgb.len() != width * height * 3 {
        return Err(damaged(&"pixels are missing"));
    }
    // The chunk may stand behind the pixels.
    Ok((Frame { rgb, width, height }, png_orientation(reader.info())))
}

/// A JPEG whose main picture is all there: it has its end mark, or pixels of which none comes from behind the file's end.
fn read_jpeg(file: &Path, bytes: &[u8]) -> Result<(Frame, Orientation)> {
    let damaged = |what: &str| damaged(file, Kind::Jpeg, what);
    let jpeg = jpeg::walk(bytes).map_err(damaged)?;
    check_size(file, jpeg.size)?;
    let decode = |bytes: &[u8]| decode_still(bytes, Coding::Jpeg);
    let frame = if jpeg.ended {
        decode(jpeg.picture).map_err(|what| damaged(&what))?
    } else {
        // Where pixels are missing, they are decoded from what is put in their place, and differ with it.
        let mut filled = [0x00, 0x55, 0xaa].map(|filling| {
            decode(&[jpeg.picture, &[filling; 64], &[0xff, 0xd9]].concat())
                .ok()
                .filter(|_| jpeg.has_all_scans())
        });
        match &mut filled {
            [Some(a), Some(b), Some(c)] if a == b && b == c => {
                std::mem::replace(a, Frame::filled(0, 0, [0; 3]))
            }
            _ => return Err(damaged("it is truncated")),
        }
    };
    Ok((frame, jpeg.exif.map_or_else(Orientation::default, from_exif)))
}

/// A WebP file, a sequence of chunks.
fn read_webp(file: &Path, bytes: &[u8]) -> Result<(Frame, Orientation)> {
    let damaged = |what: &str| damaged(file, Kind::Webp, what);
    let size = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let end = size(4).map_or(usize::MAX, |length| length + 8);
    if bytes.len() < end {
        return Err(damaged("it is truncated"));
    }
    let (mut orientation, mut at) = (Orientation::default(), 12);
    while let Some(length) = size(at + 4).filter(|_| at < end) {
        match (&bytes[at..at + 4], bytes.get(at + 8..at + 8 + length)) {
            (b"ANIM", _) => {
                let what = "an animated WebP holds several pictures";
                return Err(Error::input(file, "", what, "write each frame into a file of its own"));
            }
            (b"EXIF", Some(data)) => orientation = from_exif(data),
            _ => {}
        }
        at += 8 + length + length % 2;
    }
    let frame = decode_still(&bytes[..end], Coding::Webp).map_err(|what| damaged(&what))?;
    Ok((frame, orientation))
}

/// A Windows bitmap, which has no EXIF data.
fn read_bitmap(file: &Path, bytes: &[u8]) -> Result<(Frame, Orientation)> {
    let damaged = |what: &str| damaged(file, Kind::Bmp, what);
    let promised = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
    if bytes.len() < promised {
        return Err(damaged("it is truncated"));
    }
    let frame = decode_still(bytes, Coding::Bmp).map_err(|what| damaged(&what))?;
    Ok((frame, Orientation::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn write_png(
        file: &Path,
        colour: png::ColorType,
        depth: png::BitDepth,
        (width, height): (u32, u32),
        bytes: &[u8],
    ) {
        let mut encoder = png::Encoder::new(File::create(file).expect("create"), width, height);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == png::ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
            encoder.set_trns(vec![255, 0]);
        }
        encoder.write_header().and_then(|mut w| w.write_image_data(bytes)).expect("write");
    }

    #[test]
    fn every_colour_type() {
        use png::{BitDepth::*, ColorType::*};
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("x.png");
        let cases: [(png::ColorType, png::BitDepth, &[u8], [u8; 6]); 7] = [
            (Rgb, Eight, &[9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4]),
            (Rgba, Eight, &[9, 8, 7, 0, 6, 5, 4, 255], [9, 8, 7, 6, 5, 4]),
            (Grayscale, Eight, &[77, 200], [77, 77, 77, 200, 200, 200]),
            (GrayscaleAlpha, Eight, &[77, 0, 200, 9], [77, 77, 77, 200, 200, 200]),
            (Grayscale, One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]),
            (Rgb, Sixteen, &[9, 255, 8, 0, 7, 0, 6, 0, 5, 0, 4, 128], [9, 8, 7, 6, 5, 4]),
            (Indexed, Eight, &[1, 0], [40, 50, 60, 1, 2, 3]),
        ];
        for (colour, depth, bytes, expected) in cases {
            write_png(&file, colour, depth, (2, 1), bytes);
            let frame = read_picture(&file).expect("valid").frame;
            assert_eq!((frame.width, frame.height), (2, 1));
            assert_eq!(frame.rgb, expected, "{colour:?} {depth:?}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("images0001.png");
        let pixels: Vec<u8> = (0..30 * 20 * 3).map(|i| (i * i % 251) as u8).collect();
        write_png(&file, png::ColorType::Rgb, png::BitDepth::Eight, (30, 20), &pixels);
        let whole = std::fs::read(&file).expect("read");
        assert_eq!(read_picture(&file).expect("whole").frame.rgb, pixels);
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            std::fs::write(&file, &whole[..length]).expect("write");
            let error = read_picture(&file).expect_err("truncated").to_string();
            assert!(error.contains("images0001.png") && error.lines().count() == 1, "{error}");
        }
        for position in (8..whole.len()).step_by(11) {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x55;
            std::fs::write(&file, &bytes).expect("write");
            if let Ok(picture) = read_picture(&file) {
                assert_eq!(picture.frame.rgb, pixels, "damage at byte {position} went unnoticed");
            }
        }
    }
}
