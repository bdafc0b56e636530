//! Pictures as the image networks read them, and how many of them at once.

use crate::streams::layers::frozen::Frozen;
use signclip_common::devices;
use tch::{Device, Kind, Tensor};

/// Values of one activation that stay in the CPU's cache: measured, five images of ViT-L run faster than more.
const CACHED_VALUES: i64 = 1 << 20;

/// How many inputs pass a network together on the CPU: as many as keep an activation, of so many values for each of them, in
/// the cache.
pub(crate) fn at_once_on_cpu(values: i64) -> usize {
    (CACHED_VALUES / values).clamp(1, 16) as usize
}

/// 8-bit RGB pictures of one size on the device, `[n, height, width, 3]`.
pub(crate) fn upload<'a>(
    pictures: impl Iterator<Item = &'a [u8]>,
    [height, width]: [i64; 2],
    device: Device,
) -> Tensor {
    let view = |rgb: &'a [u8]| {
        assert_eq!(rgb.len() as i64, 3 * height * width, "a picture of another size");
        // SAFETY: it has these bytes, which are read below and live longer than the view.
        #[allow(unsafe_code)]
        unsafe {
            let strides = [3 * width, 3, 1];
            Tensor::from_blob(rgb.as_ptr(), &[height, width, 3], &strides, Kind::Uint8, Device::Cpu)
        }
    };
    devices::upload(&Tensor::stack(&pictures.map(view).collect::<Vec<_>>(), 0), device)
}

/// (x / 255 - mean) / std by channel, with the constants on the device: uploaded for each batch they would stop it.
pub(crate) struct Normalise {
    mean: Frozen,
    std: Frozen,
}

impl Normalise {
    pub(crate) fn new(mean: [f64; 3], std: [f64; 3], device: Device) -> Self {
        let constant =
            |v: [f64; 3]| Tensor::from_slice(&v.map(|x| x as f32)).view([3, 1, 1]).to_device(device).into();
        Self { mean: constant(mean), std: constant(std) }
    }

    /// 8-bit `[n, h, w, 3]` to float32 `[n, 3, h, w]`.
    pub(crate) fn forward(&self, rgb_nhw3: &Tensor) -> Tensor {
        let x_n3hw = rgb_nhw3.permute([0, 3, 1, 2]).to_kind(Kind::Float);
        ((x_n3hw / 255.0 - &*self.mean) / &*self.std).contiguous()
    }
}
