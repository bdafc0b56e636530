//! JPEG pictures (and WebP and BMP): the walk over segments, EXIF data, the pixels.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_extract::media::picture_file::{picture_size, read_picture};
use std::sync::LazyLock;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("a.jpg"));

fuzz_target!(
    init: fuzzing::sow([
        seeds::ffmpeg("testsrc2=size=32x24", "-frames:v 1", "jpg"),
        seeds::ffmpeg("testsrc2=size=16x16", "-frames:v 1 -pix_fmt yuvj444p", "jpg"),
        seeds::turned(&seeds::ffmpeg("testsrc2=size=16x8", "-frames:v 1", "jpg")),
        seeds::ffmpeg("testsrc2=size=16x16", "-frames:v 1", "bmp"),
        seeds::ffmpeg("testsrc2=size=16x16", "-frames:v 1 -c:v libwebp -lossless 1", "webp"),
    ]),
    |data: &[u8]| {
        let path = PLACE.put(data);
        if let Some(picture) = answer(read_picture(path)) {
            assert_eq!(picture.frame.rgb.len(), 3 * picture.frame.width * picture.frame.height);
            assert_eq!(answer(picture_size(path)), Some((picture.frame.width, picture.frame.height)));
        }
    }
);
