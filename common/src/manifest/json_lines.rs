//! Own data: one JSON object a line.

use super::clip::{Clip, Media, Row, Split, check_name, unique};
use super::table;
use crate::error::json_line;
use crate::regular_file::{self, LINES};
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    video: Option<String>,
    frames: Option<String>,
    text: Option<String>,
    start: Option<f64>,
    end: Option<f64>,
    split: Option<String>,
    signer: Option<String>,
    gloss: Option<String>,
}

/// Reads own data: one JSON object a line, `{id, video | frames, text?, start?, end?, split?, signer?, gloss?}`, paths
/// absolute or relative to the file; both may lead anywhere. Splits come in the order train, dev, test, then others by name;
/// without `split` it is "all".
///
/// `of_features`: the clips' features are there already, and a line may do without `video` and `frames`.
pub fn read_json_lines(path: &Path, of_features: bool) -> Result<Vec<Split>> {
    let bytes = regular_file::read(path, LINES).map_err(Error::io(path))?;
    let text = table::decode(path, &bytes)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut splits: BTreeMap<(usize, String), Vec<Row>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        if line.is_empty() {
            continue;
        }
        let bad = |what: String| {
            let remedy = "a line is {\"id\", \"video\" or \"frames\", and if wanted \"text\", \"start\", \"end\", \"split\"}";
            Error::input(path, format!("line {number}"), what, remedy)
        };
        let line: Line = serde_json::from_str(line).map_err(|e| bad(json_line(&e)))?;
        if line.start.is_some_and(|t| t < 0.0) || line.end.is_some_and(|end| end <= line.start.unwrap_or(0.0))
        {
            return Err(bad("\"start\" and \"end\" are seconds, with 0 <= start < end".to_owned()));
        }
        // The list is the user's own: its paths may lead anywhere, relative ones from the list's folder on. Those of a data
        // set's annotations come from elsewhere and stay below its root.
        let place = |p: &str| match p.is_empty() || p.contains(char::is_control) {
            true => Err(bad(format!("the path {p:?} is empty or holds control characters"))),
            false => Ok(base.join(p)),
        };
        let media = match (&line.video, &line.frames) {
            (Some(video), None) => Media::Video { path: place(video)?, start: line.start, end: line.end },
            (None, Some(_)) if line.start.is_some() || line.end.is_some() => {
                return Err(bad("\"start\" and \"end\" go with \"video\", not with \"frames\"".to_owned()));
            }
            (None, Some(frames)) => Media::Frames(place(frames)?),
            (None, None) if of_features => Media::Unknown,
            _ => return Err(bad("exactly one of \"video\" and \"frames\" is wanted".to_owned())),
        };
        let split = line.split.unwrap_or_else(|| "all".to_owned());
        check_name(path, number, "split", &split)?;
        let rank = ["train", "dev", "test"].iter().position(|s| *s == split).unwrap_or(3);
        let clip = Clip { id: line.id, media, text: line.text, signer: line.signer, gloss: line.gloss };
        splits.entry((rank, split)).or_default().push((number, clip));
    }
    if splits.is_empty() {
        return Err(Error::input(path, "", "no clips", "write one JSON object a line"));
    }
    splits
        .into_iter()
        .map(|((_, name), rows)| {
            let clips = unique(path, rows)?;
            Ok(Split { name, clips, annotation: path.to_path_buf(), remarks: Vec::new() })
        })
        .collect()
}
