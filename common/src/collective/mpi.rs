//! Ranks as processes under `mpirun` or Slurm, connected by MPI.

use crate::{Error, Result};
use mpi::Threading;
use mpi::collective::CommunicatorCollectives;
use mpi::datatype::{Equivalence, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use std::ops::AddAssign;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor, no_grad_guard};

/// How long a rank looks often whether the others are there.
const SHORT: Duration = Duration::from_millis(20);

/// This process's place among the ranks. To be dropped after the work is done on every rank; after a failure,
/// [`MpiRank::abort`] ends the job.
pub struct MpiRank {
    world: SimpleCommunicator,
    /// How long this rank waits for the others. Where a process dies, the launcher ends the job at once; this is for
    /// one that hangs.
    patience: Duration,
    _universe: Universe,
}

impl MpiRank {
    /// Connect this process to the others of the job; `None` where that was done before.
    pub fn start(patience: Duration) -> Option<Self> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)?;
        Some(Self { world: universe.world(), patience, _universe: universe })
    }

    /// End the processes of all ranks.
    pub fn abort(&self) -> ! {
        self.world.abort(2)
    }

    pub(super) fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    pub(super) fn size(&self) -> usize {
        self.world.size() as usize
    }

    /// Each rank adds up its share of the buffer from all ranks, then gets the shares of the others.
    pub(super) fn sum(&self, flat: &Tensor) -> Result<()> {
        let _guard = no_grad_guard();
        let host = flat.to_device(Device::Cpu);
        let sum = match flat.kind() {
            Kind::Double => Tensor::from_slice(&self.sums(Vec::<f64>::try_from(&host)?)?),
            _ => Tensor::from_slice(&self.sums(Vec::<f32>::try_from(&host)?)?),
        };
        flat.shallow_clone().copy_(&sum);
        Ok(())
    }

    fn sums<T: Equivalence + Default + Copy + AddAssign>(&self, mut values: Vec<T>) -> Result<Vec<T>> {
        let (n, size) = (values.len(), self.size());
        let share = n.div_ceil(size).max(1);
        values.resize(share * size, T::default());
        let mut shares = vec![T::default(); share * size];
        self.meet()?;
        self.world.all_to_all_into(&values[..], &mut shares[..]);
        let (sum, others) = shares.split_at_mut(share);
        for other in others.chunks_exact(share) {
            sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += *other);
        }
        self.world.all_gather_into(&*sum, &mut values[..]);
        values.truncate(n);
        Ok(values)
    }

    pub(super) fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut lengths = vec![0_i32; self.size()];
        self.meet()?;
        self.world.all_gather_into(&(bytes.len() as i32), &mut lengths[..]);
        let begins: Vec<i32> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end - length)
            })
            .collect();
        let mut all = vec![0_u8; lengths.iter().sum::<i32>() as usize];
        if all.is_empty() {
            // Open MPI refuses an empty buffer.
            return Ok(vec![Vec::new(); self.size()]);
        }
        let mut parts = PartitionMut::new(&mut all[..], &lengths[..], &begins[..]);
        self.world.all_gather_varcount_into(bytes, &mut parts);
        let one = |(begin, length): (&i32, &i32)| all[*begin as usize..(begin + length) as usize].to_vec();
        Ok(begins.iter().zip(&lengths).map(one).collect())
    }

    /// Wait until every rank is here. What follows then takes no longer than its data.
    fn meet(&self) -> Result<()> {
        let begun = Instant::now();
        let mut barrier = self.world.immediate_barrier();
        loop {
            barrier = match barrier.test() {
                Ok(_) => return Ok(()),
                Err(pending) => pending,
            };
            let waited = begun.elapsed();
            if waited > self.patience {
                // It may not be dropped before it is complete, which it will never be.
                std::mem::forget(barrier);
                let what = format!("waited {:.0} s for the other devices", waited.as_secs_f64());
                return Err(Error::usage(
                    what,
                    "see what they are doing, then run the same command again to resume",
                ));
            }
            // A waiting rank leaves its core to those that share it.
            std::thread::sleep(if waited < SHORT {
                Duration::from_micros(20)
            } else {
                Duration::from_millis(1)
            });
        }
    }
}
