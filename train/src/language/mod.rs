//! The language model and what adapts it.

pub mod adapter;
pub mod beam_search;
pub mod cut;
pub mod dropout;
mod few_rows;
pub mod folder;
pub mod identity;
pub mod linear;
pub mod lora;
pub mod t5;
pub mod targets;
pub mod text;
mod vocabulary;
