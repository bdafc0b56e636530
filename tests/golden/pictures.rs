//! Pictures of the cases, and how alike two features are.

#![allow(clippy::print_stdout)]

use crate::case::Case;
use signclip_extract::media::frame::Frame;
use tch::{Device, Kind, Tensor};

/// Two arrays of one shape, on any device, whose cosine is at least `least`.
pub(crate) fn same_direction(case: &Case, what: &str, got: &Tensor, want: &Tensor, least: f64) {
    let [got, want] = [got, want].map(|x| x.to_device(Device::Cpu).to_kind(Kind::Float).flatten(0, -1));
    let cosine = f64::try_from(got.dot(&want) / (got.norm() * want.norm())).unwrap_or(0.0);
    println!("{} {what}: cosine {cosine:.6}; at least {least}", case.name);
    assert!(cosine >= least, "{what}: cosine {cosine}");
}

pub(crate) fn frame(rgb_hw3: &Tensor) -> Frame {
    let size = rgb_hw3.size();
    let rgb = Vec::<u8>::try_from(rgb_hw3.contiguous().view(-1)).expect("8-bit image");
    Frame { rgb, width: size[1] as usize, height: size[0] as usize }
}

/// 8-bit `[h, w, 3]`.
pub(crate) fn pixels(frame: &Frame) -> Tensor {
    Tensor::from_slice(&frame.rgb).view([frame.height as i64, frame.width as i64, 3])
}
