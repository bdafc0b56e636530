//! A run: which clips, on which devices, in which threads, and what is left behind where it ends early.

pub mod changed;
pub mod clip;
pub mod failures;
pub mod faults;
pub mod heartbeat;
pub mod in_flight;
pub mod interrupt;
pub mod networks;
pub mod pipeline;
pub mod plan;
pub mod queue;
pub mod rank;
pub mod stages;
