//! Cached features in, translations and scores out.

pub mod adamw;
pub mod batch_norm;
pub mod beam_search;
pub mod contrastive;
pub mod gated_fusion;
pub mod linear;
pub mod lora;
pub mod metrics;
pub mod projector;
pub mod schedule;
pub mod sign_head;
pub mod t5;
pub mod temporal;
