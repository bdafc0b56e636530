//! Own data: one JSON object a line.

use super::clip::{Clip, Media, Row, Split, SplitPlaces, below, check_name, first_folder, unique};
use super::table;
use crate::error::json_line;
use crate::regular_file::{self, LINES};
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    let base = path.parent().unwrap_or(Path::new(""));
    // The list is the user's own: its paths may lead anywhere, relative ones from the list's folder on.
    let place = |_: usize, relative: &str| match relative.is_empty() || relative.contains(char::is_control) {
        true => Err(format!("the path {relative:?} is empty or holds control characters")),
        false => Ok(base.join(relative)),
    };
    let mut splits: BTreeMap<(usize, String), Vec<Row>> = BTreeMap::new();
    for (split, row) in rows(path, place, of_features)? {
        let split = split.unwrap_or_else(|| "all".to_owned());
        let rank = ["train", "dev", "test"].iter().position(|s| *s == split).unwrap_or(3);
        splits.entry((rank, split)).or_default().push(row);
    }
    splits
        .into_iter()
        .map(|((_, name), rows)| {
            let clips = unique(path, rows)?;
            Ok(Split { name, clips, annotation: path.to_path_buf(), remarks: Vec::new() })
        })
        .collect()
}

/// One split of a data set that a manifest describes: the lines of its name, and those without a split. Media lie below the
/// split's media folder, whatever the lines say.
pub(super) fn read(
    annotation: &Path,
    home: &Path,
    split: &SplitPlaces,
    of_features: bool,
) -> Result<Vec<Row>> {
    let folder = first_folder(home, &split.media);
    let place = |line: usize, relative: &str| {
        below(annotation, line, &folder, relative).map_err(|e| match e {
            Error::Input { what, .. } => what,
            other => other.to_string(),
        })
    };
    let is_own = |name: &Option<String>| {
        name.as_ref().is_none_or(|name| *name == split.name || Some(name) == split.also.as_ref())
    };
    let own = rows(annotation, place, of_features)?.into_iter().filter(|(name, _)| is_own(name));
    let own: Vec<Row> = own.map(|(_, row)| row).collect();
    match own.is_empty() {
        true => {
            let what = format!("no clip of the split {}", split.name);
            Err(Error::input(annotation, "", what, "correct \"split\" in its lines, or the manifest"))
        }
        false => Ok(own),
    }
}

/// All lines with their splits; `place` makes a path of what a line says, or tells what is wrong with it.
fn rows(
    path: &Path,
    place: impl Fn(usize, &str) -> Result<PathBuf, String>,
    of_features: bool,
) -> Result<Vec<(Option<String>, Row)>> {
    let bytes = regular_file::read(path, LINES).map_err(Error::io(path))?;
    let text = table::decode(path, &bytes)?;
    let mut rows = Vec::new();
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
        let place = |p: &str| place(number, p).map_err(&bad);
        let media = match (&line.video, &line.frames) {
            (Some(video), None) => Media::Video { path: place(video)?, start: line.start, end: line.end },
            (None, Some(_)) if line.start.is_some() || line.end.is_some() => {
                return Err(bad("\"start\" and \"end\" go with \"video\", not with \"frames\"".to_owned()));
            }
            (None, Some(frames)) => Media::Frames(place(frames)?),
            (None, None) if of_features => Media::Unknown,
            _ => return Err(bad("exactly one of \"video\" and \"frames\" is wanted".to_owned())),
        };
        if let Some(split) = &line.split {
            check_name(path, number, "split", split)?;
        }
        let clip = Clip { id: line.id, media, text: line.text, signer: line.signer, gloss: line.gloss };
        rows.push((line.split, (number, clip)));
    }
    if rows.is_empty() {
        return Err(Error::input(path, "", "no clips", "write one JSON object a line"));
    }
    Ok(rows)
}
