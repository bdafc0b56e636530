//! What the devices of one training run say to each other: sums and gatherings.
//!
//! Every rank (one device) makes the same calls in the same order. Sums are added up in the order of ranks, so that
//! they have the same bits on every rank, in every repetition, and whichever way the ranks are connected.

#[cfg(feature = "mpi")]
mod mpi;
mod share;
mod threads;

#[cfg(feature = "mpi")]
pub use mpi::MpiRank;
pub use share::share;
pub use threads::{ThreadRank, threads};

use crate::Result;
use tch::Tensor;

/// How the ranks of a run are connected.
pub enum Collective {
    /// One device: nothing to say.
    Solo,
    /// Threads of one process, one a device.
    Threads(ThreadRank),
    /// Processes under `mpirun` or Slurm, one a device.
    #[cfg(feature = "mpi")]
    Mpi(MpiRank),
}

impl Collective {
    /// Number of this rank, from 0.
    pub fn rank(&self) -> usize {
        match self {
            Self::Solo => 0,
            Self::Threads(threads) => threads.rank(),
            #[cfg(feature = "mpi")]
            Self::Mpi(mpi) => mpi.rank(),
        }
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        match self {
            Self::Solo => 1,
            Self::Threads(threads) => threads.size(),
            #[cfg(feature = "mpi")]
            Self::Mpi(mpi) => mpi.size(),
        }
    }

    /// Whether this rank writes files and shows progress.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// Replace `flat` (1-D, contiguous, float32 or float64, no gradient) by its sum over all ranks. Errors: a rank has
    /// stopped.
    pub fn sum(&self, flat: &Tensor) -> Result<()> {
        match self {
            Self::Solo => Ok(()),
            Self::Threads(threads) => threads.sum(flat),
            #[cfg(feature = "mpi")]
            Self::Mpi(mpi) => mpi.sum(flat),
        }
    }

    /// What every rank gave, in the order of ranks. Errors: a rank has stopped.
    pub fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::Solo => Ok(vec![bytes]),
            Self::Threads(threads) => threads.gather(bytes),
            #[cfg(feature = "mpi")]
            Self::Mpi(mpi) => mpi.gather(&bytes),
        }
    }

    /// Wait until every rank is here. Errors: a rank has stopped.
    pub fn barrier(&self) -> Result<()> {
        self.gather(Vec::new()).map(|_| ())
    }
}
