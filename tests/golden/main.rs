//! Every network against the numbers of its reference implementation. See `case.rs` for where the cases are.

mod case;
mod clip;
mod head;
mod lora;
mod metrics;
mod mouth_roi;
mod t5;
