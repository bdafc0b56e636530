//! Facial landmarks: the 68 points of the iBUG 300-W markup.

pub mod crop;
pub mod fan;
