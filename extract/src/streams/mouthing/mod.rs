//! The mouthing stream Z_m (paper, "Mouthing Feature Extraction"): faces, their landmarks, the mouth cut out of each
//! frame, and AV-HuBERT on the whole clip.

pub mod config;
pub mod crop;
pub mod face_points;
pub mod faces;
pub mod gaps;
pub mod landmark_file;
pub mod landmark_rows;
pub mod landmarks;
pub mod lips;
pub mod mouths;
pub mod picture_size;
pub mod sheet;
pub mod stream;
