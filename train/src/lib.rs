//! Cached features in, translations and scores out.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write their own files"))]

pub mod ablation;
pub mod adamw;
pub mod adapter;
pub mod batch_norm;
pub mod batching;
pub mod beam_search;
pub mod best;
pub mod checkpoint;
pub mod children;
pub mod config;
pub mod contrastive;
pub mod corpus;
pub mod cut;
pub mod dropout;
pub mod failure;
mod few_rows;
pub mod gate_track;
pub mod gated_fusion;
pub mod gradients;
pub mod identity;
pub mod linear;
pub mod loader;
pub mod lora;
pub mod metrics;
pub mod model;
pub mod origin;
pub mod places;
pub mod predictions;
pub mod projector;
pub mod report;
pub mod run;
pub mod schedule;
pub mod setting_flags;
pub mod sign_head;
pub mod step_log;
pub mod t5;
pub mod targets;
pub mod temporal;
pub mod tensorboard;
pub mod text;
pub mod trainer;
pub mod translation;
pub mod unwritable;
mod vocabulary;
