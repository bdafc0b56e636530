//! Clips stored as folders of pictures: PHOENIX14T and its relatives.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use signclip_common::{Error, Result};

use crate::media::frame::Frame;
use crate::media::picture_file::{Kind, picture_size, read_picture};
use crate::media::resample::Timed;

/// The pictures of one folder in the order of their names, at a constant rate.
pub struct FrameFolder {
    files: std::vec::IntoIter<PathBuf>,
    index: usize,
    fps: f64,
    turned: bool,
}

impl FrameFolder {
    /// List `folder`; no picture is opened yet. Fails on a missing folder, on one without pictures, and on one with pictures
    /// of several kinds. Warns of numbers that are left out.
    pub fn open(folder: &Path, fps: f64) -> Result<Self> {
        let files = list(folder)?;
        if let Some((before, after)) = gap(&files) {
            let folder = folder.display();
            tracing::warn!(
                "{folder}: frames are missing between {before} and {after}; the clip is shorter by them"
            );
        }
        Ok(Self { files: files.into_iter(), index: 0, fps, turned: false })
    }

    /// Whether EXIF data turned any of the pictures read so far.
    pub fn turned(&self) -> bool {
        self.turned
    }
}

impl Iterator for FrameFolder {
    type Item = Result<Timed<Frame>>;

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.files.next()?;
        let time = self.index as f64 / self.fps;
        self.index += 1;
        let picture = read_picture(&file).map(|picture| {
            self.turned |= picture.turned;
            Timed { time, duration: 1.0 / self.fps, frame: picture.frame }
        });
        Some(picture)
    }
}

/// Kind of pictures that a file's name speaks of.
fn named_kind(file: &Path) -> Option<Kind> {
    match file.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase)?.as_str() {
        "png" => Some(Kind::Png),
        "jpg" | "jpeg" | "jpe" | "jfif" => Some(Kind::Jpeg),
        "webp" => Some(Kind::Webp),
        "bmp" => Some(Kind::Bmp),
        _ => None,
    }
}

/// The pictures of a folder in natural order (`images2` before `images10`).
///
/// Names decide which files are pictures; where no name ends as a picture's does, the first bytes decide. Names of several
/// kinds are accepted where the first bytes of all are of one kind. Hidden files are left out (macOS writes
/// `._images0001.png` beside a picture).
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in folder.read_dir().map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")) {
            all.push(path);
        }
    }
    let (mut files, mut kinds) = (Vec::new(), BTreeMap::new());
    for file in &all {
        if let Some(kind) = named_kind(file) {
            files.push(file.clone());
            *kinds.entry(kind).or_insert(0_usize) += 1;
        }
    }
    // Only where names do not decide are files opened: a data set has a million of them.
    if kinds.len() != 1 {
        let candidates = if files.is_empty() { &all } else { &files };
        let mut pictures = Vec::new();
        kinds.clear();
        for file in candidates.iter().filter(|file| file.is_file()) {
            if let Some(kind) = Kind::of_file(file)? {
                pictures.push(file.clone());
                *kinds.entry(kind).or_default() += 1;
            } else if !files.is_empty() {
                // Read in its turn, it says what is wrong with it.
                pictures.push(file.clone());
            }
        }
        files = pictures;
    }
    if kinds.len() > 1 {
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {}", kind.name())).collect();
        let what = format!("{} pictures: which are the frames?", kinds.join(" and "));
        return Err(Error::input(folder, "", what, "take the others out of the folder"));
    }
    if files.is_empty() {
        let what = format!("no frames: {}", contents(&all));
        let remedy = match all.is_empty() {
            true => "check the path and that the archive was unpacked completely",
            false => "PNG, JPEG, WebP and BMP pictures are read: convert them to PNG, or check the path",
        };
        return Err(Error::input(folder, "", what, remedy));
    }
    files.sort_by(|a, b| natural(a.file_name().unwrap_or_default(), b.file_name().unwrap_or_default()));
    Ok(files)
}

/// What a folder without pictures holds: "the folder holds 20 *.tif and 1 *.txt".
fn contents(all: &[PathBuf]) -> String {
    const NAMED: usize = 4;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in all {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let what = match ending {
            _ if path.is_dir() => "folders".to_owned(),
            Some(ending) => format!("*.{ending}"),
            None => "files without an ending".to_owned(),
        };
        *counts.entry(what).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<String> = counts.iter().take(NAMED).map(|(what, n)| format!("{n} {what}")).collect();
    match (counts.len(), named.join(", ")) {
        (0, _) => "the folder is empty".to_owned(),
        (n, named) if n > NAMED => format!("the folder holds {named} and more"),
        (_, named) => format!("the folder holds {named}"),
    }
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

/// Width and height of the first picture, upright.
pub fn first_size(files: &[PathBuf]) -> Result<(usize, usize)> {
    files.first().map_or(Ok((0, 0)), |first| picture_size(first))
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
        let png = b"\x89PNG\r\n\x1a\n";
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("write");
        for name in ["1.png", "2.png"] {
            write(name, png);
        }
        write("thumbnail.jpg", b"\xff\xd8\xff\xe0");
        let error = list(folder.path()).expect_err("two kinds").to_string();
        assert!(error.contains("2 PNG and 1 JPEG"), "{error}");
        // By its first bytes, it is one of them.
        write("thumbnail.jpg", png);
        assert_eq!(list(folder.path()).expect("one kind").len(), 3);
    }

    #[test]
    fn folders_without_frames() {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("._images0001.png"), b"x").expect("write");
        std::fs::write(folder.path().join("notes.txt"), b"x").expect("write");
        for name in ["1.tif", "2.TIF", "noending"] {
            std::fs::write(folder.path().join(name), b"x").expect("write");
        }
        let error = list(folder.path()).expect_err("none").to_string();
        let parts = ["no frames: ", "holds 2 *.tif, 1 *.txt, 1 files without an ending; "];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        // Where no name speaks of pictures, the first bytes do.
        std::fs::write(folder.path().join("2.TIF"), b"\xff\xd8\xff\xe0").expect("write");
        assert_eq!(list(folder.path()).expect("one"), [folder.path().join("2.TIF")]);
        assert!(list(&folder.path().join("missing")).is_err());
    }
}
