//! Passes over wide activations on the CPU that libtorch makes in several, or slowly in bfloat16: softmax, and
//! CLIP's activation together with the bias before it.
//!
//! Plain loops over blocks of [`LANES`] values, compiled for several instruction sets of which the widest is taken. No
//! operation depends on the width, so that every CPU gives the same bits.

use half::bf16;
use multiversion::multiversion;
use tch::{Device, Kind, Tensor};

/// Values that one block of the loops holds.
const LANES: usize = 16;

/// An element: read as float32, written rounded to the nearest.
trait Element: Copy {
    fn read(self) -> f32;
    fn written(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn read(self) -> f32 {
        self
    }

    #[inline(always)]
    fn written(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn read(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// Ties to even, as libtorch rounds. The NaN that arithmetic makes stays one.
    #[inline(always)]
    fn written(value: f32) -> Self {
        let bits = value.to_bits();
        Self::from_bits((bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }
}

/// e^x to two units in the last place, for x from -87 to 88, and that of the nearer end beyond.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding this leaves the nearest whole number in the lowest bits (Cephes' expf is the model of what follows).
    const ROUND: f32 = 12_582_912.0;
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let bounded = x.clamp(-87.0, 88.0);
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = whole.mul_add(-LN_2[1], whole.mul_add(-LN_2[0], bounded));
    let series = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    let high = series.iter().fold(0.0_f32, |sum, &coefficient| sum.mul_add(rest, coefficient));
    let power = high.mul_add(rest * rest, rest) + 1.0;
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// `softmax(scale · x)` of the last axis, in place, for bfloat16 on the CPU; float32 inside. `x` is contiguous.
pub(crate) fn softmax(mut x: Tensor, scale: f64) -> Tensor {
    let width = x.size().last().copied().unwrap_or(1).max(1) as usize;
    softmax_bf16(values_mut(&mut x), &mut vec![0.0; width], scale as f32);
    x
}

/// `y · σ(1.702 y)` with `y = x + bias`, the activation of CLIP, in place; float32 inside. `x [..., n]` is contiguous.
pub(crate) fn bias_quick_gelu(mut x: Tensor, bias_n: &Tensor) -> Tensor {
    match (x.device(), x.kind()) {
        (Device::Cpu, Kind::Float) => quick_gelu_f32(values_mut(&mut x), values(bias_n)),
        (Device::Cpu, Kind::BFloat16) => quick_gelu_bf16(values_mut(&mut x), values(bias_n)),
        _ => {
            let y = x + bias_n;
            return (&y * QUICK_GELU).sigmoid() * y;
        }
    }
    x
}

/// The factor in CLIP's activation.
pub(crate) const QUICK_GELU: f64 = 1.702;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn softmax_bf16(x: &mut [bf16], powers: &mut [f32], scale: f32) {
    x.chunks_exact_mut(powers.len()).for_each(|row| softmax_row(row, powers, scale));
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn quick_gelu_f32(x: &mut [f32], bias: &[f32]) {
    x.chunks_exact_mut(bias.len()).for_each(|row| quick_gelu_row(row, bias));
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn quick_gelu_bf16(x: &mut [bf16], bias: &[bf16]) {
    x.chunks_exact_mut(bias.len()).for_each(|row| quick_gelu_row(row, bias));
}

/// `powers` is room for a row.
#[inline(always)]
fn softmax_row(row: &mut [bf16], powers: &mut [f32], scale: f32) {
    let mut highest = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (highest, x) in highest.iter_mut().zip(block) {
            let x = x.read();
            *highest = if x > *highest { x } else { *highest };
        }
    }
    let of_rest = rest.iter().map(|x| x.read()).fold(f32::NEG_INFINITY, f32::max);
    let highest = highest.iter().copied().fold(of_rest, f32::max) * scale;
    let power = |x: bf16| exp(x.read().mul_add(scale, -highest));
    let mut sums = [0.0; LANES];
    let (power_blocks, power_rest) = powers.as_chunks_mut::<LANES>();
    for (block, powers) in blocks.iter().zip(power_blocks) {
        for ((sum, &x), slot) in sums.iter_mut().zip(block).zip(powers) {
            *slot = power(x);
            *sum += *slot;
        }
    }
    rest.iter().zip(power_rest.iter_mut()).for_each(|(&x, slot)| *slot = power(x));
    let sum = sums.iter().sum::<f32>() + power_rest.iter().sum::<f32>();
    let share = 1.0 / sum;
    row.iter_mut().zip(powers).for_each(|(x, power)| *x = bf16::written(*power * share));
}

#[inline(always)]
fn quick_gelu_row<T: Element>(row: &mut [T], bias: &[T]) {
    let activation = |x: T, bias: T| {
        let y = x.read() + bias.read();
        // Rounded to what the product by itself would have given.
        let y = T::written(y).read();
        T::written(y / (1.0 + exp(-(QUICK_GELU as f32) * y)))
    };
    let ((blocks, rest), (bias_blocks, bias_rest)) =
        (row.as_chunks_mut::<LANES>(), bias.as_chunks::<LANES>());
    for (block, bias) in blocks.iter_mut().zip(bias_blocks) {
        block.iter_mut().zip(bias).for_each(|(x, &bias)| *x = activation(*x, bias));
    }
    rest.iter_mut().zip(bias_rest).for_each(|(x, &bias)| *x = activation(*x, bias));
}

/// The elements of a contiguous tensor on the CPU, of the type that its kind has.
fn values<T: Element>(x: &Tensor) -> &[T] {
    assert!(x.is_contiguous() && x.device() == Device::Cpu && x.kind().elt_size_in_bytes() == size_of::<T>());
    // SAFETY: a contiguous tensor has `numel` elements of this size from its pointer on.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts(x.data_ptr().cast::<T>(), x.numel())
    }
}

/// [`values`] to be changed; nobody else reads the tensor meanwhile.
fn values_mut<T: Element>(x: &mut Tensor) -> &mut [T] {
    let elements = values::<T>(x).len();
    // SAFETY: as in `values`.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts_mut(x.data_ptr().cast::<T>(), elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from -9 to 9 in no order.
    fn wave(shape: [i64; 3], kind: Kind) -> Tensor {
        let n = shape.iter().product::<i64>();
        ((Tensor::arange(n, (Kind::Float, Device::Cpu)) * 12.9898).sin() * 9.0).reshape(shape).to_kind(kind)
    }

    fn gap(a: &Tensor, b: &Tensor) -> f64 {
        (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
    }

    /// Against float64; widths with and without a rest after the blocks.
    #[test]
    fn softmax_is_that_of_the_definition() {
        for width in [1, 16, 257] {
            let x = wave([3, 5, width], Kind::BFloat16);
            let want = (x.to_kind(Kind::Double) * 0.125).softmax(-1, Kind::Double);
            let got = softmax(x, 0.125);
            assert!(gap(&got, &want) < 2e-3, "{width}: {}", gap(&got, &want));
        }
        // Far apart and equal values.
        let [x, want] = [[1000.0_f32, -1000.0, 1000.0], [0.5, 0.0, 0.5]]
            .map(|values| Tensor::from_slice(&values).to_kind(Kind::BFloat16));
        assert!(gap(&softmax(x, 1.0), &want) < 1e-30);
    }

    #[test]
    fn activation_is_that_of_the_definition() {
        for (kind, bound) in [(Kind::Float, 2e-6), (Kind::BFloat16, 0.04)] {
            for width in [7, 64] {
                let (x, bias) = (wave([3, 5, width], kind), wave([1, 1, width], kind).view([-1]) * 0.5);
                let y = (&x + &bias).to_kind(Kind::Double);
                let want = (&y * QUICK_GELU).sigmoid() * y;
                let got = bias_quick_gelu(x, &bias);
                assert_eq!(got.kind(), kind);
                assert!(gap(&got, &want) < bound, "{kind:?} {width}: {}", gap(&got, &want));
            }
        }
    }

    /// Every bfloat16 is read exactly, and halves go to the even neighbour, as in libtorch.
    #[test]
    fn rounding_is_that_of_libtorch() {
        let bits = (0..1 << 16).map(|i: u32| i << 16 | i.wrapping_mul(40_503) & 0xffff);
        let x: Vec<f32> = bits.map(f32::from_bits).filter(|x| !x.is_nan()).collect();
        let of_libtorch = Tensor::from_slice(&x).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let of_libtorch = Vec::<f32>::try_from(&of_libtorch).expect("values");
        for (&x, of_libtorch) in x.iter().zip(of_libtorch) {
            let own = bf16::written(x).read();
            assert_eq!(own, of_libtorch, "{x}");
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let x = Tensor::from_slice(&[f32::NAN, 1.0, f32::INFINITY - f32::INFINITY]).to_kind(kind);
            let bias = x.zeros_like();
            assert_eq!(bias_quick_gelu(x.copy(), &bias).isnan().sum(Kind::Int64).int64_value(&[]), 2);
            if kind == Kind::BFloat16 {
                assert_eq!(softmax(x, 1.0).isnan().sum(Kind::Int64).int64_value(&[]), 3);
            }
        }
    }
}
