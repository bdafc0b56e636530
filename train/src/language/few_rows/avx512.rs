//! With the bfloat16 dot products of AVX-512.

use super::job::{INPUTS, Job};
use std::arch::x86_64::*;

/// Outputs that are summed together.
pub(super) const OUTPUTS: usize = 4;
/// Rows that are summed together: with four outputs, 20 of the 32 registers are sums.
const ROWS: usize = 5;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// The outputs of `part` of `parts`.
pub(super) fn part(job: &Job, part: usize, parts: usize) {
    let blocks = job.outputs / OUTPUTS;
    let (begin, end) = (blocks * part / parts, blocks * (part + 1) / parts);
    for block in begin..end {
        let output = block * OUTPUTS;
        let weight = job.weight.wrapping_add(output * job.inputs);
        for row in (0..job.rows).step_by(ROWS) {
            let ahead = row == 0 && block + 1 < end;
            let x = job.x.wrapping_add(row * job.inputs);
            let y = job.y.wrapping_add(row * job.outputs + output);
            // SAFETY: whoever made the job holds arrays of these sizes until every part is done, inputs and outputs
            // are multiples of the block sizes, and parts write different outputs. `available` has been asked.
            #[allow(unsafe_code)]
            unsafe {
                match job.rows - row {
                    1 => tile::<1>(weight, x, y, job.inputs, job.outputs, ahead),
                    2 => tile::<2>(weight, x, y, job.inputs, job.outputs, ahead),
                    3 => tile::<3>(weight, x, y, job.inputs, job.outputs, ahead),
                    4 => tile::<4>(weight, x, y, job.inputs, job.outputs, ahead),
                    _ => tile::<ROWS>(weight, x, y, job.inputs, job.outputs, ahead),
                }
            }
        }
    }
}

/// Four outputs of `R` rows. `ahead`: fetch the weights of the next four meanwhile.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
// The hint was unsafe in earlier releases of Rust.
#[allow(unsafe_code, unused_unsafe)]
unsafe fn tile<const R: usize>(
    weight: *const u16,
    x: *const u16,
    y: *mut u16,
    inputs: usize,
    outputs: usize,
    ahead: bool,
) {
    // SAFETY: the caller's.
    let load = |from: *const u16| unsafe {
        std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast()))
    };
    let mut sums = [[_mm512_setzero_ps(); OUTPUTS]; R];
    for i in (0..inputs).step_by(INPUTS) {
        let weights: [__m512bh; OUTPUTS] =
            std::array::from_fn(|output| load(weight.wrapping_add(output * inputs + i)));
        if ahead {
            for output in OUTPUTS..2 * OUTPUTS {
                // SAFETY: a hint only.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(weight.wrapping_add(output * inputs + i).cast()) };
            }
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let x = load(x.wrapping_add(row * inputs + i));
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpbf16_ps(*sum, weight, x);
            }
        }
    }
    for (row, [a, b, c, d]) in sums.into_iter().enumerate() {
        // Lanes of the four sums beside each other, then added up by quarters.
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let [ab, cd] = [_mm512_castps_pd(ab), _mm512_castps_pd(cd)];
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let abcd = _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
        let half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps::<1>(abcd));
        let sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
        let rounded = _mm_cvtneps_pbh(sum);
        // SAFETY: four outputs of this row are in `y`.
        unsafe {
            y.wrapping_add(row * outputs)
                .cast::<u64>()
                .write_unaligned(std::mem::transmute::<__m128bh, [u64; 2]>(rounded)[0])
        };
    }
}
