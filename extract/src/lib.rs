//! The first stage of SignClip: clips in, cached features out.

pub mod args;
mod attention;
pub mod decode;
pub mod doctor;
pub mod face_detector;
pub mod frame;
pub mod frame_folder;
pub mod landmarks;
mod layers;
pub mod lip_encoder;
pub mod media;
pub mod mouth_region;
pub mod pipeline;
pub mod places;
pub mod plan;
pub mod resample;
pub mod resize;
pub mod settings;
pub mod spatial_encoder;
