//! A run: the model put together, the loop, and what it leaves in its folder.

pub mod adamw;
pub mod best;
pub mod checkpoint;
pub mod failure;
pub mod find;
pub mod floor;
pub mod gradients;
pub mod making;
pub mod model;
pub mod origin;
pub mod places;
pub mod requirements;
pub mod run;
pub mod schedule;
pub mod setting_flags;
pub mod step_log;
pub mod tensorboard;
pub mod trainer;
pub mod transfer;
pub mod translation;
pub mod unwritable;
