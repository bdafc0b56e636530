//! Clips stored as folders of pictures: PHOENIX14T and its relatives.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use signclip_common::{Error, Result};

use crate::decode::decode_picture;
use crate::frame::{Frame, MAX_PIXELS};
use crate::resample::Timed;

/// The pictures of one folder in the order of their names, at a constant rate.
pub struct FrameFolder {
    files: std::vec::IntoIter<PathBuf>,
    index: usize,
    fps: f64,
}

impl FrameFolder {
    /// List `folder`; no picture is opened yet. Fails on a missing folder, on one without pictures, and on one with PNG and
    /// JPEG pictures. Warns of numbers that are left out.
    pub fn open(folder: &Path, fps: f64) -> Result<Self> {
        let files = list(folder)?;
        if let Some((before, after)) = gap(&files) {
            let folder = folder.display();
            tracing::warn!(
                "{folder}: frames are missing between {before} and {after}; the clip is shorter by them"
            );
        }
        Ok(Self { files: files.into_iter(), index: 0, fps })
    }
}

impl Iterator for FrameFolder {
    type Item = Result<Timed<Frame>>;

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.files.next()?;
        let time = self.index as f64 / self.fps;
        self.index += 1;
        Some(read_picture(&file).map(|frame| Timed { time, duration: 1.0 / self.fps, frame }))
    }
}

/// The `*.png` files of a folder in natural order (`images2` before `images10`), or its `*.jpg` and `*.jpeg` files; not
/// both. Hidden files are passed over (`._images0001.png` is no picture).
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut png, mut jpeg) = (Vec::new(), Vec::new());
    for entry in folder.read_dir().map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("png") if !hidden => png.push(path),
            Some("jpg" | "jpeg") if !hidden => jpeg.push(path),
            _ => {}
        }
    }
    if !png.is_empty() && !jpeg.is_empty() {
        let what = format!("{} *.png and {} *.jpg files: which are the frames?", png.len(), jpeg.len());
        return Err(Error::input(folder, "", what, "take the others out of the folder"));
    }
    let mut files = if png.is_empty() { jpeg } else { png };
    if files.is_empty() {
        return Err(Error::input(
            folder,
            "",
            "no frames: the folder has neither *.png nor *.jpg files",
            "check the path and that the archive was unpacked completely",
        ));
    }
    files.sort_by(|a, b| natural(a.file_name().unwrap_or_default(), b.file_name().unwrap_or_default()));
    Ok(files)
}

/// The names around the first numbers that are left out, where the files are numbered in even steps elsewhere.
fn gap(files: &[PathBuf]) -> Option<(String, String)> {
    let names: Vec<&str> = files.iter().map(|file| file.file_name()?.to_str()).collect::<Option<_>>()?;
    let (first, last) = (names.first()?, names.last()?);
    let begin = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let begin = first[..begin].trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = |name: &&str| {
        let digits = name.get(begin..)?;
        digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse::<u64>().ok()
    };
    let numbers: Vec<u64> = names.iter().map(number).collect::<Option<_>>()?;
    let steps: Vec<u64> = numbers.windows(2).map(|two| two[1].saturating_sub(two[0])).collect();
    let usual = *steps.iter().min()?;
    let wide = steps.iter().position(|&step| step > usual).filter(|_| usual > 0)?;
    Some((names[wide].to_owned(), names[wide + 1].to_owned()))
}

/// Width and height of the first picture's header.
pub fn first_size(files: &[PathBuf]) -> Result<(usize, usize)> {
    let Some(first) = files.first() else { return Ok((0, 0)) };
    if is_png(first) {
        let reader = png_reader(first)?;
        let info = reader.info();
        Ok((info.width as usize, info.height as usize))
    } else {
        let frame = read_picture(first)?;
        Ok((frame.width, frame.height))
    }
}

/// Decode one picture file completely; a damaged one is an error that names the file.
pub fn read_picture(file: &Path) -> Result<Frame> {
    if is_png(file) { read_png(file) } else { decode_picture(file) }
}

fn is_png(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

fn damaged(file: &Path, error: impl std::fmt::Display) -> Error {
    let text = error.to_string().replace('\n', " ");
    Error::input(file, "", format!("not a complete PNG picture ({text})"), "copy or unpack the file again")
}

/// Open a PNG and read up to its pixels, expanding every colour type to 8-bit gray or RGB with or without alpha.
fn png_reader(file: &Path) -> Result<png::Reader<BufReader<File>>> {
    let input = File::open(file).map_err(Error::io(file))?;
    let mut decoder = png::Decoder::new(BufReader::new(input));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_limits(png::Limits { bytes: MAX_PIXELS * 8 });
    let reader = decoder.read_info().map_err(|error| damaged(file, error))?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(damaged(file, format_args!("{width}x{height} pixels are beyond 8192x8192")));
    }
    Ok(reader)
}

/// A PNG of any colour type, depth and interlacing as RGB. Alpha is dropped, 16 bits lose their lower half, gray is
/// repeated: as PIL's `convert("RGB")` and OpenCV's `imread` do.
fn read_png(file: &Path) -> Result<Frame> {
    let mut reader = png_reader(file)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| damaged(file, "too large"))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(|error| damaged(file, error))?;
    // An animated PNG may hold more pictures; the default one is complete, the rest is not read.
    if reader.info().animation_control.is_none() {
        reader.finish().map_err(|error| damaged(file, error))?;
    }
    pixels.truncate(info.buffer_size());
    let rgb = match info.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Rgba => pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => pixels.iter().flat_map(|&v| [v; 3]).collect(),
        png::ColorType::GrayscaleAlpha => pixels.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => return Err(damaged(file, "palette was not expanded")),
    };
    if rgb.len() != width * height * 3 {
        return Err(damaged(file, "pixels are missing"));
    }
    Ok(Frame { rgb, width, height })
}

/// Order of names in which runs of digits count as numbers.
fn natural(a: &OsStr, b: &OsStr) -> Ordering {
    let (mut x, mut y) = (a.as_encoded_bytes(), b.as_encoded_bytes());
    loop {
        let (Some(&p), Some(&q)) = (x.first(), y.first()) else {
            // Equal numbers with a different count of zeros: any fixed order.
            return x.len().cmp(&y.len()).then_with(|| a.cmp(b));
        };
        if p.is_ascii_digit() && q.is_ascii_digit() {
            let (number_x, rest_x) = split_number(x);
            let (number_y, rest_y) = split_number(y);
            let order = number_x.len().cmp(&number_y.len()).then_with(|| number_x.cmp(number_y));
            if order != Ordering::Equal {
                return order;
            }
            (x, y) = (rest_x, rest_y);
        } else if p != q {
            return p.cmp(&q);
        } else {
            (x, y) = (&x[1..], &y[1..]);
        }
    }
}

/// The leading digits without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let zeros = text[..digits].iter().take_while(|&&c| c == b'0').count();
    (&text[zeros..digits], &text[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn natural_order() {
        let mut names = ["b1", "images10.png", "images0009.png", "images1.png", "images01.png", "a"];
        names.sort_by(|a, b| natural(OsStr::new(a), OsStr::new(b)));
        assert_eq!(names, ["a", "b1", "images01.png", "images1.png", "images0009.png", "images10.png"]);
    }

    #[test]
    fn numbers_left_out() {
        let gap = |names: &[&str]| gap(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        let found = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(gap(&["images0009.png", "images0010.png", "images0011.png"]), None);
        assert_eq!(
            gap(&["images0009.png", "images0010.png", "images0012.png"]),
            found("images0010.png", "images0012.png")
        );
        assert_eq!(gap(&["x_fn000000-0.png", "x_fn000002-0.png", "x_fn000004-0.png"]), None);
        assert_eq!(
            gap(&["x_fn000000-0.png", "x_fn000001-0.png", "x_fn000004-0.png"]),
            found("x_fn000001-0.png", "x_fn000004-0.png")
        );
        assert_eq!(gap(&["a.png", "b.png"]), None);
        assert_eq!(gap(&["1.png"]), None);
        assert_eq!(gap(&[]), None);
    }

    #[test]
    fn pictures_of_two_kinds() {
        let folder = tempfile::tempdir().expect("tempdir");
        for name in ["1.png", "2.png", "thumbnail.jpg"] {
            std::fs::write(folder.path().join(name), b"x").expect("write");
        }
        let error = list(folder.path()).expect_err("two kinds").to_string();
        assert!(error.contains("2 *.png and 1 *.jpg"), "{error}");
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
            let frame = read_picture(&file).expect("valid");
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
        assert_eq!(read_picture(&file).expect("whole").rgb, pixels);
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            std::fs::write(&file, &whole[..length]).expect("write");
            let error = read_picture(&file).expect_err("truncated").to_string();
            assert!(error.contains("images0001.png") && error.lines().count() == 1, "{error}");
        }
        for position in (8..whole.len()).step_by(11) {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x55;
            std::fs::write(&file, &bytes).expect("write");
            if let Ok(frame) = read_picture(&file) {
                assert_eq!(frame.rgb, pixels, "damage at byte {position} went unnoticed");
            }
        }
    }

    #[test]
    fn folders_without_frames() {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("._images0001.png"), b"x").expect("write");
        std::fs::write(folder.path().join("notes.txt"), b"x").expect("write");
        let error = list(folder.path()).expect_err("empty").to_string();
        assert!(error.contains("no frames"), "{error}");
        assert!(list(&folder.path().join("missing")).is_err());
    }
}
