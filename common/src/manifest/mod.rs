//! Data sets: where their clips, texts and splits are.
//!
//! `manifests/<name>.json` describes a known data set by its layout; own data comes as JSON Lines. Both end in a
//! list of [`Clip`]s, each with an id that is safe as a file name. Media of a data set lie below its root, whatever its
//! annotations say; the paths of a user's own list may lead anywhere.

mod clip;
mod csl_daily;
mod dataset;
mod how2sign;
mod json_lines;
mod phoenix;
mod table;

pub use clip::{Clip, Media, Split, SplitPlaces};
pub use dataset::{Dataset, Layout, TextRules};
pub use json_lines::read_json_lines;

pub(crate) use clip::is_plain_name;
