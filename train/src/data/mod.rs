//! Cached features and their sentences, as batches.

pub mod batch;
pub mod batching;
pub mod corpus;
pub mod joined;
pub mod loader;
pub mod split;
pub mod windowed;
