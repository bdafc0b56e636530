//! Official files of weights: recognised by their content, and where each network's is.

pub mod checkpoint;
pub mod download;
pub mod listed;
pub mod sources;
