//! What both stages of SignClip share. No model and no video code live here.

pub mod error;
pub mod safetensors_file;
pub mod synthetic;
pub mod weights;

pub use error::{Error, Result};
