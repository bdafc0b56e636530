//! With the tiles of AMX: `y^T = W x^T` in blocks of 16 outputs. Rows of `W` are a tile as they lie in memory, `x` is packed
//! once for a product.

use super::job::{INPUTS, Job, MOST_ROWS};
use std::arch::asm;
use std::arch::x86_64::*;

/// Outputs of a tile.
pub(super) const OUTPUTS: usize = 16;
/// Rows of `x` in a tile. There are two of them.
const ROWS: usize = 16;
/// Pairs of inputs in a tile.
const PAIRS: usize = INPUTS / 2;
/// Sums of a tile.
const SUMS: usize = OUTPUTS * ROWS;
const _: () = assert!(MOST_ROWS as usize == 2 * ROWS);

/// Whether the CPU has it and the system lets this process use it.
pub(super) fn available() -> bool {
    /// Of `arch_prctl`: ask for a part of the registers' state, and that of the tiles.
    const REQUEST: libc::c_long = 0x1023;
    const TILES: libc::c_long = 18;
    // SAFETY: the leaf is there on every CPU that has AVX-512.
    #[allow(unsafe_code, unused_unsafe)]
    let has = || unsafe { __cpuid_count(7, 0) }.edx & (1 << 22 | 1 << 24) == 1 << 22 | 1 << 24;
    // SAFETY: the call takes two numbers and answers with one.
    #[allow(unsafe_code)]
    let allowed = || unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILES) } == 0;
    super::avx512::available() && has() && allowed()
}

/// `x [r, i]` as tiles: `[i / 32, 2, 16, 16]` pairs of neighbouring inputs, the last axis that of the rows; 0 where there is
/// no row.
pub(super) fn pack(x: &[u16], inputs: usize) -> Vec<u32> {
    let mut tiles = vec![0; inputs / INPUTS * 2 * PAIRS * ROWS];
    for (row, x) in x.chunks_exact(inputs).enumerate() {
        let (tile, column) = (row / ROWS, row % ROWS);
        for (block, x) in x.chunks_exact(INPUTS).enumerate() {
            let begin = (block * 2 + tile) * PAIRS * ROWS + column;
            for (to, pair) in tiles[begin..].iter_mut().step_by(ROWS).zip(x.chunks_exact(2)) {
                *to = u32::from(pair[0]) | u32::from(pair[1]) << 16;
            }
        }
    }
    tiles
}

/// The outputs of `part` of `parts`; `x` of the job is packed.
pub(super) fn part(job: &Job, part: usize, parts: usize) {
    let blocks = job.outputs / OUTPUTS;
    let (begin, end) = (blocks * part / parts, blocks * (part + 1) / parts);
    let mut sums = Sums([0.0; 2 * SUMS]);
    // SAFETY: whoever made the job holds arrays of these sizes until every part is done, inputs and outputs are multiples
    // of the block sizes, and parts write different outputs. `available` has been asked.
    #[allow(unsafe_code)]
    unsafe {
        configure();
        for output in (begin..end).map(|block| block * OUTPUTS) {
            block(job.weight.wrapping_add(output * job.inputs), job.x.cast(), job.inputs, &mut sums);
            store(&sums, job.y.wrapping_add(output), job.rows, job.outputs);
        }
        asm!("tilerelease", options(nostack, nomem, preserves_flags));
    }
}

/// `[2, 16 outputs, 16 rows]`.
#[repr(align(64))]
struct Sums([f32; 2 * SUMS]);

/// Five tiles of 16 rows of 64 bytes: two of sums, one of `W`, two of `x`.
#[allow(unsafe_code)]
unsafe fn configure() {
    #[repr(align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for tile in 0..5 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    // SAFETY: the caller's; 64 bytes are read.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly, preserves_flags)) };
}

/// The sums of 16 outputs, while the weights of the next 16 are fetched.
#[allow(unsafe_code)]
unsafe fn block(weight: *const u16, x: *const u32, inputs: usize, sums: &mut Sums) {
    let row = inputs * size_of::<u16>();
    // SAFETY: the caller's. Fetching ahead may pass the end of `W`: a hint never fails.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm2, [{w} + {row}*1]",
            "tileloadd tmm3, [{x} + {line}*1]",
            "tileloadd tmm4, [{x} + {line}*1 + 1024]",
            "tdpbf16ps tmm0, tmm2, tmm3",
            "tdpbf16ps tmm1, tmm2, tmm4",
            "mov {at}, {ahead}",
            "mov {quarter:e}, 4",
            "3:",
            "prefetcht1 [{at}]",
            "prefetcht1 [{at} + {row}]",
            "prefetcht1 [{at} + {row}*2]",
            "prefetcht1 [{at} + {row3}]",
            "lea {at}, [{at} + {row}*4]",
            "dec {quarter:e}",
            "jnz 3b",
            "add {w}, 64",
            "add {ahead}, 64",
            "add {x}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{y} + {line}*1], tmm0",
            "tilestored [{y} + {line}*1 + 1024], tmm1",
            w = inout(reg) weight => _,
            ahead = inout(reg) weight.wrapping_add(OUTPUTS * inputs) => _,
            x = inout(reg) x => _,
            steps = inout(reg) inputs / INPUTS => _,
            at = out(reg) _,
            quarter = out(reg) _,
            y = in(reg) sums.0.as_mut_ptr(),
            row = in(reg) row,
            row3 = in(reg) 3 * row,
            line = in(reg) 64_usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _,
            options(nostack),
        );
    }
}

/// Round the sums and put them into `y [r, o]`, at 16 of its outputs.
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(unsafe_code)]
unsafe fn store(sums: &Sums, y: *mut u16, rows: usize, outputs: usize) {
    let lines = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(ROWS as i32),
    );
    for row in 0..rows {
        let column = &sums.0[row / ROWS * SUMS + row % ROWS..];
        // SAFETY: the last value is at 15 times 16 behind the first, in `sums`; 16 outputs of this row are in `y`.
        unsafe {
            let of_row = _mm512_i32gather_ps::<4>(lines, column.as_ptr().cast());
            let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(of_row));
            _mm256_storeu_si256(y.wrapping_add(row * outputs).cast(), rounded);
        }
    }
}
