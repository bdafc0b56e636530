//! The feature store: what `extract` writes once and `train` reads many times. The format is specified in
//! `cache/README.md`.

mod damage;
mod description;
mod failures;
#[cfg(test)]
mod faults;
mod index;
mod lock;
mod missing;
mod npy;
mod others;
mod reader;
mod verify;
mod writer;

pub use description::{
    FORMAT, MOTION, MOUTHING, RowRule, SPATIAL, STORE_FILE, StoreDtype, StoreInfo, StreamInfo,
};
pub use failures::{Failure, failures};
pub use index::{ClipFacts, ClipRecord, StreamRows, indexes, rank_files};
pub use lock::is_held;
pub use missing::{Missing, SPLIT_FILE, expect, expected};
pub use others::Watch;
pub use reader::{Features, Store};
pub use verify::{Report, payload_bytes, verify};
pub use writer::{ClipWriter, StoreWriter, to_bytes};
