//! The motion stream Z_v: frozen VideoMAE on windows of frames, as SpaMo has it beside the spatial stream.

pub mod encoder;
pub mod stream;
pub mod video_mae;
