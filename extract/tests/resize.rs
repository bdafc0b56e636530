//! Resizing against the numbers that Pillow and OpenCV give.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::disallowed_methods)]

use std::path::PathBuf;

use serde_json::Value;
use signclip_extract::media::frame::Frame;
use signclip_extract::media::resize::{clip_resize_crop, pil_bicubic, squash_lanczos};

/// The arrays of a golden case, all of them unsigned bytes here, with its description.
struct Golden {
    description: Value,
    header: Value,
    bytes: Vec<u8>,
}

impl Golden {
    /// `None`, with a message, where the golden folder is not at hand.
    fn load(case: &str) -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
        let folder = std::env::var_os("SIGNCLIP_GOLDEN").map_or(root, PathBuf::from);
        let Ok(file) = std::fs::read(folder.join(format!("{case}.safetensors"))) else {
            println!("skipped: no golden numbers in {} (set SIGNCLIP_GOLDEN)", folder.display());
            return None;
        };
        let description = std::fs::read_to_string(folder.join(format!("{case}.json"))).expect("description");
        let length = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
        Some(Self {
            description: serde_json::from_str(&description).expect("JSON"),
            header: serde_json::from_slice(&file[8..8 + length]).expect("JSON"),
            bytes: file[8 + length..].to_vec(),
        })
    }

    /// `[height, width, 3]`
    fn frame(&self, name: &str) -> Frame {
        let entry = &self.header[name];
        let number = |value: &Value| value.as_u64().expect("number") as usize;
        let range = number(&entry["data_offsets"][0])..number(&entry["data_offsets"][1]);
        Frame {
            rgb: self.bytes[range].to_vec(),
            width: number(&entry["shape"][1]),
            height: number(&entry["shape"][0]),
        }
    }

    fn sum(&self, name: &str) -> u64 {
        self.description["checksums"][name].as_u64().expect("checksum")
    }
}

fn sum(frame: &Frame) -> u64 {
    frame.rgb.iter().map(|&value| u64::from(value)).sum()
}

fn every_16th_row(frame: &Frame) -> Vec<u8> {
    frame.rgb.chunks_exact(frame.width * 3).step_by(16).flatten().copied().collect()
}

#[test]
fn clip_processor_is_exact() {
    let Some(golden) = Golden::load("clip_vit_l14") else { return };
    let (a, b) = (golden.frame("frame_a"), golden.frame("frame_b"));
    let squash = squash_lanczos(&a, 256, 256).expect("resize");
    assert_eq!(every_16th_row(&squash), golden.frame("c_squash_rows_u8").rgb);
    assert_eq!(sum(&squash), golden.sum("c_squash_u8_sum"));
    for (name, frame) in [("a", &a), ("b", &b), ("c", &squash)] {
        let out = clip_resize_crop(frame, 224);
        assert_eq!((out.width, out.height), (224, 224));
        assert_eq!(every_16th_row(&out), golden.frame(&format!("{name}_rows_u8")).rgb, "{name}");
        assert_eq!(sum(&out), golden.sum(&format!("u8_sum_{name}")), "{name}");
    }
}

/// The pictures that `pillow_sums` was computed from: a fixed pseudo-random sequence.
fn noise(width: usize, height: usize) -> Frame {
    let mut state = (width * 1000 + height) as u32;
    let rgb = (0..width * height * 3).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    Frame { rgb: rgb.collect(), width, height }
}

#[test]
fn crop_equals_full_resize() {
    for (w, h) in [(1280, 720), (210, 260), (224, 224), (300, 224), (224, 301), (64, 97)] {
        let frame = noise(w, h);
        let (long_w, long_h) = (224 * w / w.min(h), 224 * h / w.min(h));
        let full = pil_bicubic(&frame, long_w, long_h);
        let expected = full.crop((long_w - 224) / 2, (long_h - 224) / 2, 224, 224);
        assert_eq!(clip_resize_crop(&frame, 224), expected, "{w}x{h}");
    }
}

type Size = (usize, usize);

/// Picture size, target size, and the sum of the result's bytes weighted by (index mod 65521) + 1, computed with
/// Pillow 13.0.0 `Image.resize(size, Image.BICUBIC)`.
const PILLOW: [(Size, Size, u64); 18] = [
    ((1, 1), (7, 5), 424830),
    ((1, 1), (1, 1), 357),
    ((1, 9), (4, 3), 87620),
    ((13, 1), (5, 8), 944712),
    ((2, 2), (64, 48), 6297403008),
    ((64, 48), (2, 2), 10085),
    ((64, 48), (1, 1), 779),
    ((64, 48), (64, 31), 2294649936),
    ((64, 48), (33, 48), 1463145587),
    ((64, 48), (64, 48), 5500175706),
    ((100, 37), (101, 38), 8467703918),
    ((37, 100), (120, 333), 462120387730),
    ((210, 260), (224, 277), 739656851086),
    ((260, 210), (277, 224), 741167482075),
    ((640, 480), (298, 224), 822879808123),
    ((17, 400), (224, 5270), 14784572872086),
    ((255, 3), (3, 255), 338333450),
    ((1280, 720), (398, 224), 1097032698477),
];

#[test]
fn bicubic_is_pillows() {
    for ((w, h), (to_w, to_h), expected) in PILLOW {
        let out = pil_bicubic(&noise(w, h), to_w, to_h);
        assert_eq!((out.width, out.height, out.rgb.len()), (to_w, to_h, to_w * to_h * 3));
        let weighted = out.rgb.iter().enumerate().map(|(i, &v)| u64::from(v) * (i as u64 % 65521 + 1));
        assert_eq!(weighted.sum::<u64>(), expected, "{w}x{h} -> {to_w}x{to_h}");
    }
}
