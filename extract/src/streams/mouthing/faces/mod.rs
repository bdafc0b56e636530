//! Faces in a picture (RetinaFace), and which of them is the signer's.

pub mod bodies;
pub mod config;
pub mod decoder;
pub mod face;
pub mod nms;
pub mod priors;
pub mod retina_face;
pub(crate) mod scene;
pub mod signer;
mod tracks;

pub use face::Face;
