//! PNG pictures; the checksums of their chunks are made to agree, so that what lies behind them is reached.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_extract::media::picture_file::{picture_size, read_picture};
use std::sync::LazyLock;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("a.png"));

fuzz_target!(
    init: fuzzing::sow([
        seeds::ffmpeg("testsrc2=size=16x12", "-frames:v 1", "png"),
        seeds::ffmpeg("testsrc2=size=16x12", "-frames:v 1 -pix_fmt gray16be", "png"),
        seeds::ffmpeg("testsrc2=size=16x12", "-frames:v 1 -pix_fmt pal8", "png"),
        seeds::ffmpeg("testsrc2=size=16x12", "-frames:v 1 -pix_fmt rgba64be", "png"),
    ]),
    |data: &[u8]| {
        let path = PLACE.put(&seeds::with_checksums(data));
        if let Some(picture) = answer(read_picture(path)) {
            assert_eq!(picture.frame.rgb.len(), 3 * picture.frame.width * picture.frame.height);
            assert_eq!(answer(picture_size(path)), Some((picture.frame.width, picture.frame.height)));
        }
    }
);
