//! `x W^T` in bfloat16 for a few rows of `x`, of which decoding step by step consists, at the rate at which memory
//! gives `W`: libtorch's products read it at about half of that.
//!
//! For CPUs with the bfloat16 dot products of AVX-512, between [`FewRows::begin`] and the end of the guard; then
//! libtorch keeps to one thread, and threads of this module take their share of each product. A value is summed in one
//! order, whatever the number of rows and threads.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tch::{Device, Kind, Tensor};

/// Rows up to which this is faster.
const MOST_ROWS: i64 = 32;
/// Inputs of one instruction, and outputs that are summed together.
const INPUTS: usize = 32;
const OUTPUTS: usize = 4;

thread_local! {
    /// The threads that serve this one while a guard lives.
    static TEAM: RefCell<Option<Team>> = const { RefCell::new(None) };
}

/// While it lives, [`product`] works on this thread.
pub(crate) struct FewRows {
    threads: i32,
}

impl FewRows {
    /// For products of up to `rows` rows; `None` where libtorch does better or nothing else.
    pub(crate) fn begin(rows: usize, kind: Kind, device: Device) -> Option<Self> {
        let fits = kind == Kind::BFloat16 && device == Device::Cpu && rows as i64 <= MOST_ROWS;
        if !fits || !kernel::available() || TEAM.with_borrow(Option::is_some) {
            return None;
        }
        let threads = tch::get_num_threads();
        tch::set_num_threads(1);
        TEAM.set(Some(Team::new(threads.max(1) as usize)));
        Some(Self { threads })
    }
}

impl Drop for FewRows {
    fn drop(&mut self) {
        TEAM.set(None);
        tch::set_num_threads(self.threads);
    }
}

/// `x [r, i]`, `weight [o, i]` to `[r, o]`; `None` where there is no guard or the shapes do not fit.
pub(crate) fn product(x_ri: &Tensor, weight_oi: &Tensor) -> Option<Tensor> {
    let (size, outputs) = (x_ri.size(), weight_oi.size()[0]);
    let [rows, inputs] = size.as_slice() else { return None };
    let fits = *rows <= MOST_ROWS && inputs % INPUTS as i64 == 0 && outputs % OUTPUTS as i64 == 0;
    let kinds = [x_ri, weight_oi].iter().all(|x| x.kind() == Kind::BFloat16 && x.device() == Device::Cpu);
    if !fits || !kinds || !weight_oi.is_contiguous() {
        return None;
    }
    TEAM.with_borrow(|team| {
        let team = team.as_ref()?;
        let x_ri = x_ri.contiguous();
        let y_ro = Tensor::empty([*rows, outputs], (Kind::BFloat16, Device::Cpu));
        team.run(&Job {
            weight: weight_oi.data_ptr().cast(),
            x: x_ri.data_ptr().cast(),
            y: y_ro.data_ptr().cast(),
            rows: *rows as usize,
            inputs: *inputs as usize,
            outputs: outputs as usize,
        });
        Some(y_ro)
    })
}

/// One product of contiguous bfloat16 arrays, `weight [o, i]`, `x [r, i]`, `y [r, o]`.
struct Job {
    weight: *const u16,
    x: *const u16,
    y: *mut u16,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

/// Threads that wait for products. They watch memory rather than sleep: a product takes less time than waking.
struct Team {
    board: Arc<Board>,
    helpers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Board {
    /// The job of this number. The caller of [`Team::run`] holds it until every part is done.
    job: AtomicPtr<Job>,
    number: AtomicUsize,
    done: AtomicUsize,
    ended: AtomicBool,
}

impl Team {
    /// `threads` with the caller.
    fn new(threads: usize) -> Self {
        let board = Arc::new(Board::default());
        let helper = |part| {
            let board = Arc::clone(&board);
            std::thread::spawn(move || {
                let mut seen = 0;
                loop {
                    wait(|| {
                        board.number.load(Ordering::Acquire) != seen || board.ended.load(Ordering::Acquire)
                    });
                    if board.ended.load(Ordering::Acquire) {
                        return;
                    }
                    seen = board.number.load(Ordering::Acquire);
                    // SAFETY: the job was stored before its number, and lives until this part is counted as done.
                    #[allow(unsafe_code)]
                    let job = unsafe { &*board.job.load(Ordering::Relaxed) };
                    kernel::part(job, part, threads);
                    board.done.fetch_add(1, Ordering::Release);
                }
            })
        };
        let helpers = (1..threads).map(helper).collect();
        Self { board, helpers }
    }

    fn run(&self, job: &Job) {
        let Board { number, done, .. } = &*self.board;
        self.board.job.store(std::ptr::from_ref(job).cast_mut(), Ordering::Relaxed);
        done.store(0, Ordering::Relaxed);
        number.fetch_add(1, Ordering::Release);
        kernel::part(job, 0, self.helpers.len() + 1);
        wait(|| done.load(Ordering::Acquire) == self.helpers.len());
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.ended.store(true, Ordering::Release);
        self.helpers.drain(..).for_each(|helper| drop(helper.join()));
    }
}

/// Until `ready`; the core is offered to others only after a while.
fn wait(ready: impl Fn() -> bool) {
    for turn in 0.. {
        if ready() {
            return;
        }
        match turn {
            0..20_000 => std::hint::spin_loop(),
            _ => std::thread::yield_now(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod kernel {
    use crate::language::few_rows::{INPUTS, Job, OUTPUTS};
    use std::arch::x86_64::*;

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
}

#[cfg(not(target_arch = "x86_64"))]
mod kernel {
    use crate::language::few_rows::Job;

    pub(super) fn available() -> bool {
        false
    }

    pub(super) fn part(_: &Job, _: usize, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(shape: [i64; 2], step: f64) -> Tensor {
        let n = shape[0] * shape[1];
        let x = (Tensor::arange(n, (Kind::Float, Device::Cpu)) * step).sin();
        x.reshape(shape).to_kind(Kind::BFloat16)
    }

    /// Against float64, for every number of rows in a block; each row as alone, on one thread and on three.
    #[test]
    #[allow(clippy::print_stdout)]
    fn products_are_those_of_the_definition() {
        if !kernel::available() {
            println!("skipped: this CPU has no bfloat16 dot products");
            return;
        }
        let weight = wave([36, 96], 12.9898);
        assert!(product(&wave([1, 96], 1.0), &weight).is_none(), "no guard");
        let before = tch::get_num_threads();
        for threads in [1, 3] {
            tch::set_num_threads(threads);
            let guard = FewRows::begin(32, Kind::BFloat16, Device::Cpu).expect("this CPU can");
            assert!(FewRows::begin(32, Kind::BFloat16, Device::Cpu).is_none(), "one at a time");
            for rows in [1, 2, 3, 4, 5, 6, 13, 32] {
                let x = wave([rows, 96], 78.233);
                let y = product(&x, &weight).expect("fits");
                let want = x.to_kind(Kind::Double).matmul(&weight.to_kind(Kind::Double).tr());
                let gap = (y.to_kind(Kind::Double) - &want).abs().max().double_value(&[]);
                // Half a unit in the last of 8 binary digits, and the sums' own rounding.
                assert!(gap < want.abs().max().double_value(&[]) / 256.0 + 1e-4, "{rows}: {gap}");
                for row in 0..rows {
                    let alone = product(&x.narrow(0, row, 1), &weight).expect("fits");
                    assert_eq!(alone, y.narrow(0, row, 1), "row {row} of {rows}");
                }
            }
            // The same shapes with other values: no part is of the job before.
            for step in [0.3, 0.7, 1.1] {
                let (x, weight) = (wave([7, 96], step), wave([36, 96], 5.0 * step));
                let alone: Vec<Tensor> =
                    (0..7).map(|row| product(&x.narrow(0, row, 1), &weight).expect("fits")).collect();
                assert_eq!(product(&x, &weight).expect("fits"), Tensor::cat(&alone, 0), "step {step}");
                let want = x.to_kind(Kind::Double).matmul(&weight.to_kind(Kind::Double).tr());
                let gap = (Tensor::cat(&alone, 0) - &want).abs().max().double_value(&[]);
                assert!(gap < want.abs().max().double_value(&[]) / 256.0 + 1e-4, "step {step}: {gap}");
            }
            assert!(product(&wave([2, 33], 1.0), &wave([4, 33], 1.0)).is_none(), "no multiple of 32");
            assert!(product(&wave([2, 32], 1.0).to_kind(Kind::Float), &weight).is_none());
            drop(guard);
            assert_eq!(tch::get_num_threads(), threads);
        }
        tch::set_num_threads(before);
    }
}
