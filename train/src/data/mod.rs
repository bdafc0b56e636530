//! Cached features and their sentences, as batches.

pub mod batch;
pub mod batching;
pub mod corpus;
pub mod joined;
pub mod loader;
pub mod split;
mod standardise;
pub mod windowed;
