//! Features that others made, one NumPy file a clip, as a store.

pub mod array_file;
pub mod foreign;
pub mod pattern;
pub mod survey;
pub mod work;
