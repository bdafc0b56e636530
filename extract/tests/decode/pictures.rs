//! Single pictures: kinds by their first bytes, JPEG's end, EXIF orientation, other formats.

use super::*;
use signclip_extract::media::picture_file::read_picture;

/// One picture with colours everywhere, in the format of `name`.
fn picture(videos: &Videos, name: &str, more: &[&str]) -> PathBuf {
    let path = videos.path(name);
    let target = path.display().to_string();
    let source = ["-f", "lavfi", "-i", "testsrc2=size=50x34:rate=1", "-frames:v", "1"];
    ffmpeg(&[&source[..], more, &[&target]].concat(), b"");
    path
}

fn read(bytes: &[u8], name: &str, videos: &Videos) -> Result<Frame> {
    let path = videos.path(name);
    std::fs::write(&path, bytes).expect("write");
    read_picture(&path).map(|picture| picture.frame)
}

/// A JPEG segment.
fn segment(mark: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, mark], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat()
}

/// EXIF data that say how a picture is turned.
fn exif(orientation: u8) -> Vec<u8> {
    [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation, 0, 0, 0, 0, 0, 0]].concat()
}

#[test]
fn the_first_bytes_decide() {
    let videos = Videos::new();
    let png = picture(&videos, "a.png", &["-pix_fmt", "rgb24"]);
    let wanted = read_picture(&png).expect("PNG").frame;
    for (name, more) in
        [("a.bmp", &["-pix_fmt", "bgr24"][..]), ("a.webp", &["-lossless", "1", "-pix_fmt", "bgra"])]
    {
        let bytes = std::fs::read(picture(&videos, name, more)).expect("read");
        for named in ["x.png", "x.jpg", "x.webp", "x.bmp"] {
            assert!(read(&bytes, named, &videos).expect(named) == wanted, "{name} as {named}");
        }
        for length in [0, 1, 20, bytes.len() / 2, bytes.len() - 1] {
            let error = read(&bytes[..length], "cut.png", &videos).expect_err("cut off").to_string();
            assert!(error.contains("cut.png") && error.lines().count() == 1, "{error}");
        }
    }
    for (bytes, word) in [
        (&b"GIF89a        "[..], "GIF"),
        (b"II*\0          ", "TIFF"),
        (b"\0\0\0\x18ftypheic  ", "HEIC"),
        (b"text", "no kind"),
    ] {
        let error = read(bytes, "x.png", &videos).expect_err("no picture").to_string();
        assert!(error.contains(word) && error.contains("convert"), "{error}");
    }
}

/// Read as before by way of FFmpeg's demultiplexers.
#[test]
fn jpeg_is_what_a_video_of_it_is() {
    let videos = Videos::new();
    for (name, more) in
        [("a.jpg", &["-pix_fmt", "yuvj420p"][..]), ("b.jpg", &["-pix_fmt", "yuvj444p", "-q:v", "1"])]
    {
        let path = picture(&videos, name, more);
        let (frames, _) = frames(&video(&path)).expect("decodes");
        assert!(frames[0] == read_picture(&path).expect("decodes").frame, "{name}");
    }
}

#[test]
fn a_jpeg_is_whole_or_refused() {
    let videos = Videos::new();
    // Whole blocks, so that no coded pixel lies outside of the picture.
    let bytes = std::fs::read(picture(&videos, "a.jpg", &["-q:v", "2", "-vf", "scale=64:48"])).expect("read");
    let whole = read(&bytes, "whole.jpg", &videos).expect("whole");
    // A thumbnail with an end mark of its own, and an end mark by chance.
    let thumbnail = segment(0xe1, &[b"Exif\0\0", &exif(1)[..], &bytes[..600], b"\xff\xd9"].concat());
    let with = [&bytes[..2], &thumbnail, &segment(0xfe, b"\xff\xd9"), &bytes[2..]].concat();
    assert!(read(&with, "thumbnail.jpg", &videos).expect("whole") == whole);
    assert!(
        read(&[&with[..], b"appended by a camera"].concat(), "more.jpg", &videos).expect("whole") == whole
    );
    // Without its end mark, all pixels are there all the same.
    assert!(read(&with[..with.len() - 2], "unended.jpg", &videos).expect("whole") == whole);
    assert!(read(&with[..with.len() - 1], "unended.jpg", &videos).expect("whole") == whole);
    let head = with.len() - bytes.len();
    for lost in (3..bytes.len() - 700).step_by(97).chain([4, 5, 6, 8, 12]) {
        let cut = read(&with[..with.len() - lost], "cut.jpg", &videos);
        let error = cut.map(drop).expect_err("cut off").to_string();
        assert!(error.contains("cut.jpg") && error.contains("truncated"), "{lost}: {error}");
    }
    // An end mark where half of the pixels are.
    let half = [&with[..head + bytes.len() / 2], b"\xff\xd9"].concat();
    assert!(read(&half, "half.jpg", &videos).is_err());
}

/// Stored pixel at (x, y) of the upright picture, for each of EXIF's numbers.
fn place(number: u8, x: usize, y: usize, (w, h): (usize, usize)) -> (usize, usize) {
    match number {
        1 => (x, y),
        2 => (w - 1 - x, y),
        3 => (w - 1 - x, h - 1 - y),
        4 => (x, h - 1 - y),
        5 => (y, x),
        6 => (y, w - 1 - x),
        7 => (h - 1 - y, w - 1 - x),
        _ => (h - 1 - y, x),
    }
}

#[test]
fn exif_turns_pictures_of_all_kinds() {
    let videos = Videos::new();
    for (name, more) in
        [("a.png", &["-pix_fmt", "rgb24"][..]), ("a.jpg", &["-q:v", "2"]), ("a.webp", &["-lossless", "1"])]
    {
        let bytes = std::fs::read(picture(&videos, name, more)).expect("read");
        let stored = read(&bytes, "stored", &videos).expect("stored");
        for number in 1..=8 {
            let tiff = exif(number);
            let with = match name {
                "a.png" => {
                    // Behind the header: length, name, data, checksum.
                    let chunk = [&b"eXIf"[..], &tiff].concat();
                    let sum = crc(&chunk).to_be_bytes();
                    [&bytes[..33], &(tiff.len() as u32).to_be_bytes(), &chunk, &sum, &bytes[33..]].concat()
                }
                "a.jpg" => {
                    [&bytes[..2], &segment(0xe1, &[b"Exif\0\0", &tiff[..]].concat()), &bytes[2..]].concat()
                }
                _ => webp_with(&bytes, &tiff, (stored.width, stored.height)),
            };
            let path = videos.path("turned");
            std::fs::write(&path, with).expect("write");
            let picture = read_picture(&path).unwrap_or_else(|e| panic!("{name} {number}: {e}"));
            assert_eq!(picture.turned, number != 1, "{name} {number}");
            let got = picture.frame;
            let size = if number < 5 { (stored.width, stored.height) } else { (stored.height, stored.width) };
            assert_eq!((got.width, got.height), size, "{name} {number}");
            for (x, y) in (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y))) {
                let (from_x, from_y) = place(number, x, y, size);
                let (to, from) = ((y * got.width + x) * 3, (from_y * stored.width + from_x) * 3);
                assert_eq!(got.rgb[to..to + 3], stored.rgb[from..from + 3], "{name} {number} at {x}, {y}");
            }
        }
    }
}

/// An extended WebP file: header chunk, picture, EXIF data.
fn webp_with(bytes: &[u8], tiff: &[u8], (width, height): (usize, usize)) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        [&name[..], &(data.len() as u32).to_le_bytes(), data, &[0][..data.len() % 2]].concat()
    };
    let three = |n: usize| [n as u8, (n >> 8) as u8, (n >> 16) as u8];
    let flags = [&[0x08, 0, 0, 0][..], &three(width - 1), &three(height - 1)].concat();
    let picture = bytes.windows(4).position(|w| w == b"VP8L").expect("without loss");
    let content = [b"WEBP", &chunk(b"VP8X", &flags)[..], &bytes[picture..], &chunk(b"EXIF", tiff)].concat();
    [&b"RIFF"[..], &(content.len() as u32).to_le_bytes(), &content].concat()
}

/// The checksum of PNG chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Each picture of a folder by its own EXIF data; the clip says that some were turned.
#[test]
fn a_folder_with_turned_pictures() {
    let videos = Videos::new();
    let bytes = std::fs::read(picture(&videos, "a.jpg", &["-q:v", "2"])).expect("read");
    let folder = videos.path("clip");
    std::fs::create_dir(&folder).expect("folder");
    let turned = |number: u8| {
        [&bytes[..2], &segment(0xe1, &[b"Exif\0\0", &exif(number)[..]].concat()), &bytes[2..]].concat()
    };
    std::fs::write(folder.join("1.jpg"), &bytes).expect("write");
    std::fs::write(folder.join("2.jpg"), turned(1)).expect("write");
    let (_, timing) = frames(&Media::Frames(folder.clone())).expect("decodes");
    assert!(!timing.turned);
    std::fs::write(folder.join("2.jpg"), turned(8)).expect("write");
    let (got, timing) = frames(&Media::Frames(folder.clone())).expect("decodes");
    assert!(timing.turned);
    assert_eq!(got.iter().map(|f| (f.width, f.height)).collect::<Vec<_>>(), [(50, 34), (34, 50)]);
    std::fs::write(folder.join("1.jpg"), turned(6)).expect("write");
    let probed = probe(&Media::Frames(folder), 25.0).expect("probe");
    assert_eq!((probed.width, probed.height), (34, 50));
}
