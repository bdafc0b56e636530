//! The feature streams. Each has a folder with its networks and with what makes a clip's rows of its frames.

pub mod clip_stream;
pub mod config;
pub mod layers;
pub mod motion;
pub mod mouthing;
pub mod spatial;
