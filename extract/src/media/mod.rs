//! Videos and folders of pictures, read as upright RGB frames at 25 a second.

pub mod decode;
pub mod frame;
pub mod frame_folder;
pub mod frame_reader;
mod jpeg;
pub mod orientation;
pub mod picture_file;
pub mod reading;
pub mod remark;
pub mod resample;
pub mod resize;
