//! What a GPU wants that a CPU does not. **Not checked on a GPU: none was at hand.**
//!
//! A card is filled by many frames, and every kernel that is started costs some microseconds. So the requests of several clips
//! pass a network together, in batches of few sizes, and while one thread waits for results another one has asked for more.
//! There a row depends on what else is in its batch as far as kernels for batches of other sizes round differently; on the
//! CPU it depends on nothing.

use tch::{Cuda, Device};

/// Frames that pass CLIP with S² together: 320 images.
pub const FRAMES: usize = 64;
/// Windows that pass VideoMAE together.
pub const WINDOWS: usize = 16;
/// Faces that pass FAN together.
pub const FACES: usize = 64;
/// Pictures of any size that are looked at for faces together, and pixels of those of one size that pass RetinaFace together:
/// 16 pictures of 1280×720.
pub const PICTURES: usize = 64;
pub const PIXELS: usize = 16 << 20;

/// Once, before the networks compute on these devices: cuDNN tries its algorithms for every shape, of which there are few.
pub fn prepare(devices: &[Device]) {
    if devices.iter().any(|device| device.is_cuda()) {
        Cuda::cudnn_set_benchmark(true);
    }
}

/// Threads that serve a device: of a card one asks for work while the other fetches results.
pub fn threads(device: Device) -> usize {
    if device.is_cuda() { 2 } else { 1 }
}

/// Threads that see clips through, on a machine of so many cores. Beside a card nothing else computes.
pub fn readers(devices: &[Device], cores: usize) -> usize {
    let most = if devices.iter().any(|device| device.is_cuda()) { cores } else { cores.min(8) };
    most.max(devices.len() + 1)
}

/// The items of a batch, on a card filled up to the next power of two by repeating the last. Rows of what was repeated are to
/// be left out.
pub fn filled<T>(items: &[T], device: Device) -> Vec<&T> {
    let count = if device.is_cuda() { items.len().next_power_of_two() } else { items.len() };
    let more = items.last().into_iter().cycle().take(count - items.len());
    items.iter().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_a_card_have_few_sizes() {
        let items: Vec<usize> = (0..70).collect();
        for (count, size) in [(1, 1), (2, 2), (3, 4), (33, 64), (64, 64)] {
            let batch = filled(&items[..count], Device::Cuda(0));
            assert_eq!(batch.len(), size);
            assert!(batch[..count].iter().copied().eq(&items[..count]));
            assert!(batch[count..].iter().all(|&&item| item == count - 1));
            assert_eq!(filled(&items[..count], Device::Cpu).len(), count);
        }
    }

    #[test]
    fn a_card_has_all_cores_for_its_pictures() {
        assert_eq!(readers(&[Device::Cpu; 4], 32), 8);
        assert_eq!(readers(&[Device::Cpu; 4], 2), 5);
        assert_eq!(readers(&[Device::Cuda(0)], 32), 32);
        assert_eq!(readers(&[Device::Cuda(0), Device::Cpu], 1), 3);
    }
}
