//! Pictures as the image networks read them, and how many of them at once.

use signclip_common::devices;
use tch::{Device, Kind, Tensor};

/// Values of one activation that stay in the CPU's cache: measured, five images of ViT-L run faster than more.
const CACHED_VALUES: i64 = 1 << 20;

/// How many inputs pass a network together on the CPU: as many as keep an activation, of so many values for each of them, in
/// the cache.
pub(crate) fn at_once_on_cpu(values: i64) -> usize {
    (CACHED_VALUES / values).clamp(1, 16) as usize
}

/// 8-bit RGB pictures of one size on the device, `[n, size, size, 3]`.
pub(crate) fn upload<'a>(pictures: impl Iterator<Item = &'a [u8]>, size: i64, device: Device) -> Tensor {
    let pictures: Vec<Tensor> = pictures.map(|rgb| Tensor::from_slice(rgb).view([size, size, 3])).collect();
    devices::upload(&Tensor::stack(&pictures, 0), device)
}

/// (x / 255 - mean) / std by channel: 8-bit `[n, h, w, 3]` to float32 `[n, 3, h, w]`.
pub(crate) fn normalise(rgb_nhw3: &Tensor, mean: [f64; 3], std: [f64; 3]) -> Tensor {
    let device = rgb_nhw3.device();
    let [mean, std] =
        [mean, std].map(|v| Tensor::from_slice(&v.map(|x| x as f32)).view([3, 1, 1]).to_device(device));
    ((rgb_nhw3.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0 - mean) / std).contiguous()
}
