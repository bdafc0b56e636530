//! The list of failures of a rank over one run: a clip that is tried again is told of anew.

use signclip_common::Result;
use signclip_common::store::{Failure, StoreWriter};
use std::collections::HashSet;

/// A clip that failed: told at once, recorded in the store, and kept among the `failures` of this run.
pub(crate) fn record(failure: Failure, store: &StoreWriter, failures: &mut Vec<Failure>) -> Result<()> {
    tracing::warn!("{}: {}", failure.id, failure.reason);
    store.add_failure(&failure)?;
    failures.push(failure);
    Ok(())
}

/// What earlier runs left in the list.
pub struct Earlier {
    /// Of clips that this run is to try again.
    again: Vec<Failure>,
    /// Of clips that this run does not ask for: they are not reported again, but stay in the list.
    others: Vec<Failure>,
}

impl Earlier {
    /// `tried`: whether this run is to make a clip.
    pub fn read(store: &StoreWriter, tried: impl Fn(&str) -> bool) -> Result<Self> {
        let mut others = store.failures()?;
        // A kill may have left half a line, which the next one must not follow.
        store.write_failures(&others)?;
        let again = others.extract_if(.., |f| tried(&f.id)).collect();
        others.retain(|f| !store.is_done(&f.id));
        Ok(Self { again, others })
    }

    /// The list at the end of the run, in which the clips `failed` did.
    pub fn replace(self, store: &StoreWriter, failed: &[Failure]) -> Result<()> {
        let mut told: HashSet<&str> = failed.iter().map(|f| f.id.as_str()).collect();
        let untried = self.again.iter().filter(|f| !told.contains(f.id.as_str()) && !store.is_done(&f.id));
        let untried: Vec<Failure> = untried.cloned().collect();
        store.write_failures(&[self.others.as_slice(), failed, &untried].concat())?;
        told.extend(self.others.iter().chain(&untried).map(|f| f.id.as_str()));
        store.settle_failures(&told)
    }
}
