//! Every network against the numbers of its reference implementation. See `case.rs` for where the cases are.

mod avhubert;
mod case;
mod clip;
mod fan;
mod head;
mod lora;
mod metrics;
mod mouth_roi;
mod retinaface;
mod t5;
