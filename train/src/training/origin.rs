//! What a run remembers of the run whose weights it began with.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the first weights of a run are from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Folder of the other run.
    pub run: PathBuf,
    /// The epoch of its best weights then.
    pub epoch: usize,
    /// Of its best weights.
    pub sha256: String,
}
