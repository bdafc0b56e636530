//! What both stages of SignClip share. No model and no video code live here.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write their own files"))]

pub mod atomic;
pub mod checksum;
pub mod collective;
pub mod devices;
pub mod difference;
mod disk;
pub mod environment;
pub mod error;
pub mod json;
pub mod launcher;
pub mod lock;
pub mod machine;
pub mod manifest;
pub mod manifests;
mod map;
pub mod memory;
pub mod onednn;
pub mod panics;
pub mod places;
mod plural;
pub mod progress;
pub mod regular_file;
pub mod safetensors_file;
mod sheet_name;
pub mod store;
pub mod synthetic;
pub mod temporary;
pub mod tensor_file;
pub mod torch_file;
pub mod weight_file;
pub mod weights;

pub use error::{Error, Result};
pub use plural::plural;
pub use sheet_name::sheet_name;
