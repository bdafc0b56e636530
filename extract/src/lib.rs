//! The first stage of SignClip: clips in, cached features out.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write their own files"))]

pub mod card;
pub mod cli;
pub mod import;
pub mod media;
pub mod numpy;
pub mod recipe;
pub mod run;
pub mod streams;
pub mod weights;
