//! Adapters as Hugging Face PEFT keeps them.
//!
//! Written as every version of PEFT from 0.7.1 on reads it. Read with any fields, of which those that change the arithmetic
//! are followed or refused.

mod config;
mod folder;
mod merge;

pub use folder::{copy, is_same, open, save, weights_file};
pub use merge::merge;
