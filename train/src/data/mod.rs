//! Cached features and their sentences, as batches.

pub mod batching;
pub mod corpus;
pub mod loader;
pub mod split;
