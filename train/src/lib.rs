//! Cached features in, translations and scores out.

pub mod adamw;
pub mod batch_norm;
pub mod contrastive;
pub mod gated_fusion;
pub mod metrics;
pub mod projector;
pub mod schedule;
pub mod sign_head;
pub mod temporal;
