//! How2Sign: sentences cut out of full videos by the re-aligned times.
//!
//! The ready-made sentence clips are cut by the original, un-realigned times and give worse results; they are used,
//! with a remark, only where the folder of full videos is absent.

use super::clip::{Clip, Media, Row, SplitPlaces, below, first_folder};
use super::table;
use crate::{Error, Result};
use std::path::Path;

const COLUMNS: [&str; 5] = ["VIDEO_NAME", "SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED", "SENTENCE"];

pub(super) fn read(
    annotation: &Path,
    home: &Path,
    split: &SplitPlaces,
    remarks: &mut Vec<String>,
) -> Result<Vec<Row>> {
    let folder = first_folder(home, &split.media);
    let ready_made = folder.is_dir()
        && folder
            .strip_prefix(home)
            .unwrap_or(&folder)
            .components()
            .any(|c| c.as_os_str() == "sentence_level");
    if ready_made {
        remarks.push(format!(
            "{}: ready-made sentence clips, cut by the original times; full videos below video_level/ give better results",
            split.name
        ));
    }
    let mut rows = Vec::new();
    for row in table::read(annotation, &COLUMNS)? {
        let [video, sentence, start, end, text] = &row.fields[..] else { unreachable!() };
        let time = |field: &str, value: &str| {
            value.parse::<f64>().ok().filter(|t| t.is_finite() && *t >= 0.0).ok_or_else(|| {
                Error::input(
                    annotation,
                    format!("line {}, {field}", row.line),
                    format!("{value:?} is not a time in seconds"),
                    "correct the line, or fetch the file again",
                )
            })
        };
        let (start, end) = (time(COLUMNS[2], start)?, time(COLUMNS[3], end)?);
        let media = if ready_made {
            let path = below(annotation, row.line, &folder, &format!("{sentence}.mp4"))?;
            Media::Video { path, start: None, end: None }
        } else {
            let path = below(annotation, row.line, &folder, &format!("{video}.mp4"))?;
            Media::Video { path, start: Some(start), end: Some(end) }
        };
        let clip = Clip { id: sentence.clone(), media, text: Some(text.clone()), signer: None, gloss: None };
        rows.push((row.line, clip));
    }
    Ok(rows)
}
