//! The mouth region as AV-HuBERT's own preparation cuts it, in memory.
//!
//! The paper ("Mouthing Feature Extraction") says only that the mouth is cropped around its landmarks, of 68 points of
//! the face, and spatially aligned. The frozen lip encoder was trained on the crops that AV-HuBERT's
//! `avhubert/preparation/align_mouth.py` makes, so these are reproduced, each step in a file of its own:
//!
//! 1. [`landmarks`]: 68 points per frame or none, from a detector or from a file;
//! 2. [`mod@align`]: frames without a face are interpolated, the points of 12 frames (this one and those after it) are
//!    averaged, and a [`similarity`] to the [`mean_face`] is estimated from five stable points;
//! 3. [`warp`]: that transform applied to the picture, 256×256 pixels;
//! 4. [`cut`]: 96×96 pixels around the mouth, gray, the middle 88×88 of them normalised.
//!
//! Deviation: the reference writes the crops as a compressed mp4 and reads it back. That lossy step is left out;
//! everything else gives the same values (`tests/golden/mouth_roi.rs`).

pub mod align;
pub mod cut;
pub mod landmarks;
pub mod mean_face;
pub mod similarity;
pub mod warp;

pub use align::{Aligner, Alignment, Layout, WINDOW, align};
pub use cut::{CROP, INPUT, NOTHING, gray, lip_input, lip_levels, mouth_crop, resized_crop};
pub use landmarks::{POINTS, Points, read_landmarks, usable};
pub use similarity::Similarity;
