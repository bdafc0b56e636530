//! The spatial stream Z_s: frozen CLIP with S² on every frame (paper, "Gesture Feature Extraction").

pub mod clip_vision;
pub mod encoder;
pub mod s2;
pub mod stream;
