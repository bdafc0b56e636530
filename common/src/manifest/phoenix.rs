//! PHOENIX14T: image folders and `|`-separated annotations.
//!
//! The `video` column reads `<name>/1/*.png`, but the release has no `/1/` folder; copies that follow the column
//! exist as well, so both are tried.

use super::clip::{Clip, Media, Row, SplitPlaces, below, first_folder};
use super::table;
use crate::Result;
use std::path::Path;

pub(super) fn read(annotation: &Path, home: &Path, split: &SplitPlaces) -> Result<Vec<Row>> {
    let frames = first_folder(home, &split.media);
    let mut rows = Vec::new();
    for row in table::read(annotation, &["name", "video", "speaker", "orth", "translation"])? {
        let [name, video, speaker, orth, translation] = &row.fields[..] else { unreachable!() };
        let listed = video.rsplit_once('/').map_or(name.as_str(), |(folder, _)| folder);
        let listed = below(annotation, row.line, &frames, listed)?;
        let folder = match listed.parent() {
            Some(parent) if listed.ends_with("1") && !listed.is_dir() => parent.to_path_buf(),
            _ => listed,
        };
        let clip = Clip {
            id: name.clone(),
            media: Media::Frames(folder),
            text: Some(translation.clone()),
            signer: Some(speaker.clone()),
            gloss: Some(orth.clone()),
        };
        rows.push((row.line, clip));
    }
    Ok(rows)
}
