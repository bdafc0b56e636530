//! The trainable visual part: cached feature streams in, visual tokens out.

pub mod along_time;
pub mod batch_norm;
pub mod config;
pub mod contrastive;
pub mod frame_contrast;
pub mod gated_fusion;
pub mod markers;
pub mod projector;
pub mod sign_head;
pub mod streams;
pub mod temporal;
pub mod whitening;
