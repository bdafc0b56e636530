//! Every network against the numbers of its reference implementation. See `case.rs` for where the cases are.

#![allow(clippy::disallowed_methods)]

mod avhubert;
mod case;
mod clip;
mod fan;
mod head;
mod llama;
mod lora;
mod metrics;
mod mouth_roi;
mod pictures;
mod published_heads;
mod retinaface;
mod t5;
mod video_mae;
