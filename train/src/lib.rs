//! Cached features in, translations and scores out.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write their own files"))]

pub mod card;
pub mod children;
pub mod config;
pub mod data;
pub mod head;
pub mod language;
pub mod metrics;
pub mod overrides;
pub mod presets;
pub mod pretraining;
pub mod report;
pub mod training;
pub mod without_effect;
