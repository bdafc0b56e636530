//! Clips as annotations list them, and what their ids and paths may be.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// Where the pictures of a clip are.
#[derive(Debug, Clone, PartialEq)]
pub enum Media {
    /// A folder of images, one a frame, in the order of their names.
    Frames(PathBuf),
    /// A video, or the part of it between `start` and `end` (seconds).
    Video { path: PathBuf, start: Option<f64>, end: Option<f64> },
    /// Not named: the list is of features that are there already.
    Unknown,
}

impl Media {
    /// The file or folder itself; empty where it is not named.
    pub fn path(&self) -> &Path {
        match self {
            Self::Frames(path) | Self::Video { path, .. } => path,
            Self::Unknown => Path::new(""),
        }
    }
}

/// One sign-language clip with its sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    pub id: String,
    pub media: Media,
    pub text: Option<String>,
    pub signer: Option<String>,
    pub gloss: Option<String>,
}

/// The clips of one split, or why there are none.
#[derive(Debug)]
pub struct Split {
    pub name: String,
    pub clips: Vec<Clip>,
    /// The annotation file read.
    pub annotation: PathBuf,
    /// Remarks a user should see (for example that un-realigned sentence clips are used).
    pub remarks: Vec<String>,
}

/// One split: candidate places below the root, the first that exists counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitPlaces {
    pub name: String,
    /// What the data set itself calls the split, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
    pub annotations: Vec<String>,
    pub media: Vec<String>,
}

/// A clip with the line it was read from.
pub(super) type Row = (usize, Clip);

/// Check ids: safe as file names, and each only once.
pub(super) fn unique(file: &Path, rows: Vec<Row>) -> Result<Vec<Clip>> {
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for (line, clip) in &rows {
        check_name(file, *line, "clip id", &clip.id)?;
        if let Some(first) = lines.insert(&clip.id, *line) {
            return Err(Error::input(
                file,
                format!("line {line}"),
                format!("the id {:?} is already in line {first}", clip.id),
                "give each clip an id of its own",
            ));
        }
    }
    Ok(rows.into_iter().map(|(_, clip)| clip).collect())
}

/// Ids and splits become file names: they must not be empty, lead elsewhere or hold control characters.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !["", ".", ".."].contains(&name) && !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
}

pub(super) fn check_name(file: &Path, line: usize, what: &str, name: &str) -> Result<()> {
    if !is_plain_name(name) {
        return Err(Error::input(
            file,
            format!("line {line}"),
            format!("{name:?} cannot be a {what}"),
            "it must not be empty and must hold no '/', '\\', '..' or control characters",
        ));
    }
    Ok(())
}

/// `relative` below `base`, refusing anything that leads out of it.
pub(super) fn below(file: &Path, line: usize, base: &Path, relative: &str) -> Result<PathBuf> {
    let path = Path::new(relative);
    // Control characters come from an unclosed quote, which makes several rows one.
    let odd = relative.is_empty() || relative.contains(char::is_control);
    if !odd && path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Ok(base.join(path));
    }
    Err(Error::input(
        file,
        format!("line {line}"),
        format!("the path {relative:?} is empty, leads out of the data set or holds control characters"),
        "media must lie below the data set's root",
    ))
}

/// The first existing candidate folder below `home`, or the first one named.
pub(super) fn first_folder(home: &Path, candidates: &[String]) -> PathBuf {
    let all: Vec<PathBuf> = candidates.iter().map(|c| home.join(c)).collect();
    all.iter().find(|p| p.is_dir()).or(all.first()).cloned().unwrap_or_else(|| home.to_path_buf())
}
