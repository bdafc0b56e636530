//! `x W^T` in bfloat16 for a few rows of `x`, of which decoding step by step consists. What limits it is the rate at which
//! memory gives `W`.
//!
//! For CPUs with the tiles of AMX or the bfloat16 dot products of AVX-512, between [`FewRows::begin`] and the end of the
//! guard; then libtorch keeps to one thread, and threads of this module take their share of each product. A value is
//! summed in one order, whatever the number of rows and threads.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod job;

use job::{INPUTS, Job, MOST_ROWS};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use tch::{Device, Kind, Tensor};

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
        if !fits || TEAM.with_borrow(Option::is_some) {
            return None;
        }
        Kernel::best().map(Self::with)
    }

    fn with(kernel: Kernel) -> Self {
        let threads = tch::get_num_threads();
        tch::set_num_threads(1);
        TEAM.set(Some(Team::new(kernel, threads.max(1) as usize)));
        Self { threads }
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
    let fits = *rows <= MOST_ROWS && inputs % INPUTS as i64 == 0;
    let kinds = [x_ri, weight_oi].iter().all(|x| x.kind() == Kind::BFloat16 && x.device() == Device::Cpu);
    if !fits || !kinds || !weight_oi.is_contiguous() {
        return None;
    }
    TEAM.with_borrow(|team| {
        let team = team.as_ref().filter(|team| outputs % team.kernel.outputs() as i64 == 0)?;
        let x_ri = x_ri.contiguous();
        let y_ro = Tensor::empty([*rows, outputs], (Kind::BFloat16, Device::Cpu));
        let packed = team.kernel.pack(&x_ri, *inputs as usize);
        team.run(&Job {
            weight: weight_oi.data_ptr().cast(),
            x: packed.as_ref().map_or(x_ri.data_ptr().cast(), |packed| packed.as_ptr().cast()),
            y: y_ro.data_ptr().cast(),
            rows: *rows as usize,
            inputs: *inputs as usize,
            outputs: outputs as usize,
        });
        Some(y_ro)
    })
}

/// What computes a part of a product.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

#[cfg(target_arch = "x86_64")]
impl Kernel {
    /// The fastest that this CPU has.
    fn best() -> Option<Self> {
        static BEST: LazyLock<Option<Kernel>> =
            LazyLock::new(|| [Kernel::Amx, Kernel::Avx512].into_iter().find(|kernel| kernel.is_available()));
        *BEST
    }

    fn is_available(self) -> bool {
        match self {
            Self::Avx512 => avx512::available(),
            Self::Amx => amx::available(),
        }
    }

    /// What the number of outputs is a multiple of.
    fn outputs(self) -> usize {
        match self {
            Self::Avx512 => avx512::OUTPUTS,
            Self::Amx => amx::OUTPUTS,
        }
    }

    /// `x [r, i]` in another order, if the kernel wants it so.
    fn pack(self, x_ri: &Tensor, inputs: usize) -> Option<Vec<u32>> {
        // SAFETY: the tensor is contiguous, in bfloat16, and outlives the slice.
        #[allow(unsafe_code)]
        let x = || unsafe { std::slice::from_raw_parts(x_ri.data_ptr().cast(), x_ri.numel()) };
        matches!(self, Self::Amx).then(|| amx::pack(x(), inputs))
    }

    fn part(self, job: &Job, part: usize, parts: usize) {
        match self {
            Self::Avx512 => avx512::part(job, part, parts),
            Self::Amx => amx::part(job, part, parts),
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Kernel {
    fn best() -> Option<Self> {
        None
    }

    fn outputs(self) -> usize {
        match self {}
    }

    fn pack(self, _: &Tensor, _: usize) -> Option<Vec<u32>> {
        match self {}
    }

    fn part(self, _: &Job, _: usize, _: usize) {
        match self {}
    }
}

/// Threads that wait for products. They watch memory rather than sleep: a product takes less time than waking.
struct Team {
    kernel: Kernel,
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
    fn new(kernel: Kernel, threads: usize) -> Self {
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
                    kernel.part(job, part, threads);
                    board.done.fetch_add(1, Ordering::Release);
                }
            })
        };
        let helpers = (1..threads).map(helper).collect();
        Self { kernel, board, helpers }
    }

    fn run(&self, job: &Job) {
        let Board { number, done, .. } = &*self.board;
        self.board.job.store(std::ptr::from_ref(job).cast_mut(), Ordering::Relaxed);
        done.store(0, Ordering::Relaxed);
        number.fetch_add(1, Ordering::Release);
        self.kernel.part(job, 0, self.helpers.len() + 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(shape: [i64; 2], step: f64) -> Tensor {
        let n = shape[0] * shape[1];
        let x = (Tensor::arange(n, (Kind::Float, Device::Cpu)) * step).sin();
        x.reshape(shape).to_kind(Kind::BFloat16)
    }

    /// Against float64, for every number of rows in a block; each row as alone, on one thread and on three.
    #[cfg(target_arch = "x86_64")]
    #[test]
    #[allow(clippy::print_stdout)]
    fn products_are_those_of_the_definition() {
        for kernel in [Kernel::Avx512, Kernel::Amx] {
            match kernel.is_available() {
                true => products_of(kernel),
                false => println!("skipped: this CPU has no {kernel:?} in bfloat16"),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn products_of(kernel: Kernel) {
        let weight = wave([48, 96], 12.9898);
        assert!(product(&wave([1, 96], 1.0), &weight).is_none(), "no guard");
        let before = tch::get_num_threads();
        for threads in [1, 3] {
            tch::set_num_threads(threads);
            let guard = FewRows::with(kernel);
            assert!(FewRows::begin(32, Kind::BFloat16, Device::Cpu).is_none(), "one at a time");
            for rows in [1, 2, 3, 4, 5, 6, 13, 16, 17, 32] {
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
                let (x, weight) = (wave([7, 96], step), wave([48, 96], 5.0 * step));
                let alone: Vec<Tensor> =
                    (0..7).map(|row| product(&x.narrow(0, row, 1), &weight).expect("fits")).collect();
                assert_eq!(product(&x, &weight).expect("fits"), Tensor::cat(&alone, 0), "step {step}");
                let want = x.to_kind(Kind::Double).matmul(&weight.to_kind(Kind::Double).tr());
                let gap = (Tensor::cat(&alone, 0) - &want).abs().max().double_value(&[]);
                assert!(gap < want.abs().max().double_value(&[]) / 256.0 + 1e-4, "step {step}: {gap}");
            }
            assert!(product(&wave([2, 33], 1.0), &wave([16, 33], 1.0)).is_none(), "no multiple of 32");
            assert!(product(&wave([2, 32], 1.0).to_kind(Kind::Float), &weight).is_none());
            drop(guard);
            assert_eq!(tch::get_num_threads(), threads);
        }
        tch::set_num_threads(before);
    }
}
