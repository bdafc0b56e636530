//! Dropout whose masks are a function of (seed, number, element) alone, on every device and in every thread.
//!
//! libtorch draws every element of a mask on the CPU from one Mersenne twister, on one thread: in a step of Flan-T5 base
//! with adapters that takes longer than all matrix products in bfloat16. And its generators are shared by the threads
//! of a process, and cannot be wound back to where a block began. Here each thread has a generator of its own: masks are
//! numbered, and four elements share the 64 bits of one splitmix64.

use signclip_common::synthetic::Random;
use std::cell::Cell;
use tch::{Device, Kind, Tensor};

/// A place in the sequence of masks of a thread: its generator, and how many masks it has given.
#[derive(Debug, Clone, Copy)]
pub struct Mark(Random, u64);

thread_local! {
    static MASKS: Cell<Mark> = const { Cell::new(Mark(Random::seeded(0), 0)) };
}

/// Make all that follows on this thread a function of `seed`.
pub fn seed(seed: i64) {
    rewind(Mark(Random::new("dropout", seed.cast_unsigned()), 0));
}

/// Remember this place, so that [`rewind`] can give the same masks again.
pub fn mark() -> Mark {
    MASKS.get()
}

/// Continues with the masks that followed `mark`.
pub fn rewind(mark: Mark) {
    MASKS.set(mark);
}

/// Dropout as `torch.nn.Dropout`: in training, elements are zeroed with probability `p` and the others scaled by
/// `1 / (1 - p)`.
///
/// Deviation: `p` is rounded to a multiple of 2^-16, and the scale follows the rounded value.
pub fn dropout(x: Tensor, p: f64, train: bool) -> Tensor {
    if !train || p <= 0.0 {
        return x;
    }
    let threshold = (p * f64::from(1 << 16)).round().min(f64::from(u16::MAX)) as u16;
    let kept = 1.0 / (1.0 - f64::from(threshold) / f64::from(1 << 16));
    let Mark(random, drawn) = MASKS.get();
    MASKS.set(Mark(random, drawn + 1));
    let random = Random::seeded(random.bits(drawn + 1));
    let mask = match x.device() {
        Device::Cpu => mask_on_cpu(&x.size(), threshold, random),
        device => mask_on(device, &x.size(), threshold, random),
    };
    (x * mask).g_mul_scalar_(kept)
}

/// `x + dropout(y)`.
pub fn add_dropout(x: &Tensor, y: Tensor, p: f64, train: bool) -> Tensor {
    x + dropout(y, p, train)
}

/// False with probability `threshold / 2^16`, else true. A byte an element: the backward pass needs every mask of a step.
fn mask_on_cpu(shape: &[i64], threshold: u16, random: Random) -> Tensor {
    let mask = Tensor::empty(shape, (Kind::Bool, Device::Cpu));
    // SAFETY: a new tensor on the CPU is contiguous, nobody else knows it, and it has `numel` elements of one byte.
    #[allow(unsafe_code)]
    let values = unsafe { std::slice::from_raw_parts_mut(mask.data_ptr().cast::<bool>(), mask.numel()) };
    for (i, four) in values.chunks_mut(4).enumerate() {
        let mut bits = random.bits(i as u64);
        for value in four {
            *value = bits as u16 >= threshold;
            bits >>= 16;
        }
    }
    mask
}

/// [`mask_on_cpu`] in tensor operations.
fn mask_on(device: Device, shape: &[i64], threshold: u16, random: Random) -> Tensor {
    let elements: i64 = shape.iter().product();
    // The lowest bits come first in memory, too. They are read with a sign: half of the range is taken off on both sides.
    let quarters = random.bits_on(device, (elements + 3) / 4).view_dtype(Kind::Int16);
    let values = quarters.narrow(0, 0, elements).bitwise_xor(i64::from(i16::MIN));
    values.ge(i64::from(threshold) + i64::from(i16::MIN)).view(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(kind: Kind) -> Tensor {
        Tensor::ones([50, 4001], (kind, Device::Cpu))
    }

    #[test]
    fn share_scale_and_seed() {
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            seed(3);
            let first = dropout(ones(kind), 0.1, true);
            let second = dropout(ones(kind), 0.1, true);
            seed(3);
            assert_eq!(first, dropout(ones(kind), 0.1, true), "same seed, {kind:?}");
            assert_ne!(first, second, "a mask of its own each time, {kind:?}");
            // 200,050 draws: five standard deviations are 0.0034.
            let dropped = first.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
            assert!((dropped - 0.1).abs() < 0.0034, "{kind:?}: {dropped}");
            let gap = (first.max().double_value(&[]) - 1.0 / 0.9).abs();
            assert!(gap < if kind == Kind::BFloat16 { 0.01 } else { 1e-4 }, "{kind:?}");
        }
    }

    /// Neighbours, rows and masks do not go together.
    #[test]
    fn elements_are_independent() {
        seed(4);
        let kept = |p| dropout(ones(Kind::Float), p, true).ne(0.0).to_kind(Kind::Double);
        let (a, b) = (kept(0.5), kept(0.5));
        let correlation =
            |a: &Tensor, b: &Tensor| ((a - 0.5) * (b - 0.5)).mean(Kind::Double).double_value(&[]) / 0.25;
        assert!(correlation(&a, &b).abs() < 0.012);
        for lag in [1, 2, 3, 4, 5, 8] {
            let n = 4001 - lag;
            assert!(correlation(&a.narrow(1, 0, n), &a.narrow(1, lag, n)).abs() < 0.012, "lag {lag}");
        }
        assert!(correlation(&a.narrow(0, 0, 49), &a.narrow(0, 1, 49)).abs() < 0.012);
    }

    /// What a GPU computes is what the CPU computes.
    #[test]
    fn masks_are_the_same_on_every_device() {
        for (shape, threshold) in
            [(vec![3, 5, 7], 6554), (vec![64, 129], 1), (vec![1], 32768), (vec![4, 4], 65535)]
        {
            for number in [0, 1, u64::MAX] {
                let random = Random::seeded(number);
                let (a, b) =
                    (mask_on_cpu(&shape, threshold, random), mask_on(Device::Cpu, &shape, threshold, random));
                assert_eq!(a, b, "{shape:?} {threshold} {number}");
            }
        }
    }

    #[test]
    fn evaluation_has_none() {
        let x = ones(Kind::Float);
        assert_eq!(dropout(x.shallow_clone(), 0.1, false), x);
        assert_eq!(add_dropout(&x, x.shallow_clone(), 0.1, false), &x * 2.0);
    }
}
