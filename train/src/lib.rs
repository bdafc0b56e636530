//! Cached features in, translations and scores out.

pub mod adamw;
pub mod adapter;
pub mod batch_norm;
pub mod beam_search;
pub mod checkpoint;
pub mod config;
pub mod contrastive;
pub mod corpus;
pub mod dropout;
pub mod gated_fusion;
pub mod linear;
pub mod lora;
pub mod metrics;
pub mod model;
pub mod projector;
pub mod run;
pub mod schedule;
pub mod sign_head;
pub mod t5;
pub mod targets;
pub mod temporal;
pub mod text;
pub mod trainer;
pub mod translation;
