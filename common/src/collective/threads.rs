//! Ranks as threads of one process.

use super::share::share as part_of;
use crate::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tch::{Tensor, no_grad_guard};

/// One thread's place among the ranks. Dropping it tells the others that it has stopped.
pub struct ThreadRank {
    rank: usize,
    group: Arc<Group>,
}

/// What the threads share.
struct Group {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// How long a rank waits for the others. A rank that fails says so at once; this is for one that hangs.
    patience: Duration,
}

struct State {
    /// How many times all ranks have met.
    meetings: u64,
    arrived: Vec<bool>,
    /// The first rank that stopped, and why.
    stopped: Option<(usize, String)>,
    /// What each rank shows to the others.
    tensors: Vec<Option<Tensor>>,
    bytes: Vec<Vec<u8>>,
}

/// `size` connected ranks, to be handed to one thread each. `patience` is how long one waits for the others before it
/// gives up; the slowest thing between two meetings is the translation of the dev split.
pub fn threads(size: usize, patience: Duration) -> Vec<ThreadRank> {
    let state = State {
        meetings: 0,
        arrived: vec![false; size],
        stopped: None,
        tensors: (0..size).map(|_| None).collect(),
        bytes: vec![Vec::new(); size],
    };
    let group = Arc::new(Group { size, state: Mutex::new(state), changed: Condvar::new(), patience });
    (0..size).map(|rank| ThreadRank { rank, group: Arc::clone(&group) }).collect()
}

impl ThreadRank {
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn size(&self) -> usize {
        self.group.size
    }

    /// Tell the others that this rank stops, and why. They fail at their next call, and where they wait at once.
    pub fn stop(&self, why: &str) {
        self.state().stopped.get_or_insert((self.rank, why.to_owned()));
        self.group.changed.notify_all();
    }

    /// Each rank adds up its share of the buffer from all ranks, then takes the shares of the others: the traffic of
    /// a ring, and the order of additions is that of the ranks.
    pub(super) fn sum(&self, flat: &Tensor) -> Result<()> {
        let _guard = no_grad_guard();
        let share = |rank, tensor: &Tensor| {
            let range = part_of(tensor.numel(), rank, self.size());
            tensor.narrow(0, range.start as i64, range.len() as i64)
        };
        self.state().tensors[self.rank] = Some(flat.shallow_clone());
        self.meet()?;
        let shown = self.shown()?;
        let mut sum = share(self.rank, &shown[0]).to_device(flat.device()).copy();
        for other in &shown[1..] {
            sum += share(self.rank, other).to_device(flat.device());
        }
        // All have read what all have shown.
        self.meet()?;
        share(self.rank, flat).copy_(&sum);
        // All shares are sums.
        self.meet()?;
        for (rank, other) in shown.iter().enumerate().filter(|(rank, _)| *rank != self.rank) {
            share(rank, flat).copy_(&share(rank, other));
        }
        drop(shown);
        self.state().tensors[self.rank] = None;
        // All have taken the sums: the buffers may change again.
        self.meet()
    }

    pub(super) fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.state().bytes[self.rank] = bytes;
        self.meet()?;
        let all = self.state().bytes.clone();
        self.meet()?;
        Ok(all)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under the lock.
        self.group.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all ranks show. The clones share memory and are only read until the ranks meet again.
    fn shown(&self) -> Result<Vec<Tensor>> {
        let state = self.state();
        let all: Option<Vec<Tensor>> =
            state.tensors.iter().map(|t| t.as_ref().map(Tensor::shallow_clone)).collect();
        all.ok_or_else(|| stopped(state.stopped.as_ref()))
    }

    /// Wait until every rank is here.
    fn meet(&self) -> Result<()> {
        let mut state = self.state();
        if state.stopped.is_some() {
            return Err(stopped(state.stopped.as_ref()));
        }
        state.arrived[self.rank] = true;
        if state.arrived.iter().all(|arrived| *arrived) {
            state.arrived.fill(false);
            state.meetings += 1;
            self.group.changed.notify_all();
            return Ok(());
        }
        let (meeting, begun) = (state.meetings, Instant::now());
        while state.meetings == meeting {
            if state.stopped.is_some() {
                return Err(stopped(state.stopped.as_ref()));
            }
            let Some(left) = self.group.patience.checked_sub(begun.elapsed()) else {
                let missing: Vec<String> =
                    (0..self.group.size).filter(|r| !state.arrived[*r]).map(|r| r.to_string()).collect();
                let what = format!(
                    "waited {:.0} s for device number {}",
                    self.group.patience.as_secs_f64(),
                    missing.join(", ")
                );
                state.stopped.get_or_insert((self.rank, what.clone()));
                self.group.changed.notify_all();
                return Err(Error::usage(
                    what,
                    "see what it is doing, then run the same command again to resume",
                ));
            };
            state = self.group.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        self.stop("it has ended");
    }
}

fn stopped(first: Option<&(usize, String)>) -> Error {
    let (rank, why) = first.map_or((0, "unknown"), |(rank, why)| (*rank, why.as_str()));
    Error::Peer(format!("device number {rank} of this run has stopped: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::Collective;
    use tch::Kind;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// What `work` gives on each of `size` threads.
    fn each<T: Send>(size: usize, patience: Duration, work: impl Fn(&Collective) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = threads(size, patience)
                .into_iter()
                .map(|rank| scope.spawn(move || work(&Collective::Threads(rank))))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    /// 0.1 + 0.2 + 0.3 depends on the order of additions; buffers shorter than the number of ranks have empty shares.
    #[test]
    fn sums_are_in_rank_order() {
        for (n, kind) in [(1, Kind::Double), (7, Kind::Double), (1000, Kind::Float)] {
            let value = |rank: usize, i: i64| 0.1 * (rank + 1) as f64 + i as f64 * 0.7;
            let buffer = |rank| {
                let values: Vec<f64> = (0..n).map(|i| value(rank, i)).collect();
                Tensor::from_slice(&values).to_kind(kind)
            };
            let want = buffer(0) + buffer(1) + buffer(2);
            for got in each(3, PATIENCE, |c| {
                let flat = buffer(c.rank());
                c.sum(&flat).and_then(|()| c.sum(&flat.copy())).map(|()| flat)
            }) {
                assert_eq!(got.expect("nobody stops"), want);
            }
        }
    }

    #[test]
    fn everyone_gets_what_everyone_gave() {
        for got in each(3, PATIENCE, |c| c.gather(vec![c.rank() as u8; c.rank()])) {
            assert_eq!(got.expect("nobody stops"), [vec![], vec![1], vec![2, 2]]);
        }
    }

    #[test]
    fn the_others_stop_with_one_that_fails() {
        let begun = Instant::now();
        let results = each(3, PATIENCE, |c| {
            c.barrier()?;
            if let (1, Collective::Threads(threads)) = (c.rank(), c) {
                threads.stop("out of memory");
                return Ok(());
            }
            c.barrier()
        });
        for rank in [0, 2] {
            let error = results[rank].as_ref().expect_err("it waits in vain").to_string();
            assert!(error.contains("device number 1") && error.contains("out of memory"), "{error}");
        }
        assert!(begun.elapsed() < PATIENCE / 2, "at once, not after the timeout");
    }

    #[test]
    fn one_that_vanishes_or_hangs_is_noticed() {
        let results = each(2, PATIENCE, |c| if c.rank() == 1 { Ok(()) } else { c.barrier() });
        let error = results[0].as_ref().expect_err("the other has gone").to_string();
        assert!(error.contains("it has ended"), "{error}");
        let results = each(2, Duration::from_millis(50), |c| {
            if c.rank() == 1 {
                std::thread::sleep(Duration::from_millis(400));
            }
            c.barrier()
        });
        let error = results[0].as_ref().expect_err("the other hangs").to_string();
        assert!(error.contains("waited 0 s for device number 1"), "{error}");
        assert!(results[1].is_err());
    }
}
