//! Every network against the numbers of its reference implementation. See `case.rs` for where the cases are.

mod case;
mod lora;
mod t5;
