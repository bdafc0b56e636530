//! Data sets: where their clips, texts and splits are.
//!
//! `manifests/<name>.json` describes a known data set by its layout; own data comes as JSON Lines. Both end in a
//! list of [`Clip`]s, each with an id that is safe as a file name. Media of a data set lie below its root, whatever its
//! annotations say; the paths of a user's own list may lead anywhere.

mod how2sign;
mod json_lines;
mod phoenix;
mod table;

use crate::manifests::Manifests;
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
}

impl Media {
    /// The file or folder itself.
    pub fn path(&self) -> &Path {
        match self {
            Self::Frames(path) | Self::Video { path, .. } => path,
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

/// How a data set lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// PHOENIX14T: image folders, `|`-separated annotations.
    Phoenix,
    /// How2Sign: full videos cut by re-aligned times, tab-separated annotations.
    How2sign,
    /// One JSON object a line.
    JsonLines,
}

/// How the field prepares the sentences of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct TextRules {
    pub lowercase: bool,
    /// Append a full stop where the sentence does not end with one.
    pub final_dot: bool,
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

/// A data set's manifest, `manifests/<name>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    pub name: String,
    pub title: String,
    pub homepage: String,
    pub licence: String,
    /// The word for the language in the prompt ("German"); absent where unknown.
    #[serde(default)]
    pub language: Option<String>,
    pub layout: Layout,
    pub text: TextRules,
    /// Frames per second of image folders.
    pub fps: f64,
    /// Squash frames to this (width, height) before the spatial encoder, as SpaMo's PHOENIX images were.
    #[serde(default)]
    pub spatial_squash: Option<(usize, usize)>,
    /// Folders below the root that may hold the data set ("" is the root itself).
    pub folders: Vec<String>,
    pub splits: Vec<SplitPlaces>,
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

impl Dataset {
    /// The data set `name` of the tables. Errors: there is none, or it is damaged.
    pub fn load(manifests: &Manifests, name: &str) -> Result<Self> {
        let names = manifests.names();
        if names.iter().any(|known| known == name) {
            return manifests.read(name);
        }
        // Other tables lie beside the data sets.
        let known: Vec<String> =
            names.into_iter().filter(|name| manifests.read::<Self>(name).is_ok()).collect();
        Err(Error::usage(
            format!("no manifest for the data set {name:?}"),
            format!(
                "known: {}; give one of these or a .jsonl file, or put {name}.json into a folder and name that folder in \
                 $SIGNCLIP_MANIFESTS",
                known.join(", ")
            ),
        ))
    }

    /// The manifest of a JSON Lines file with own data, named after the file.
    pub fn own(path: &Path, language: Option<String>) -> Self {
        let name = path.file_stem().map_or_else(|| "clips".into(), |s| s.to_string_lossy().into_owned());
        Self {
            title: name.clone(),
            name,
            homepage: String::new(),
            licence: String::new(),
            language,
            layout: Layout::JsonLines,
            text: TextRules::default(),
            fps: 25.0,
            spatial_squash: None,
            folders: vec![String::new()],
            splits: Vec::new(),
        }
    }

    /// The folder that holds the data set: the first of [`Dataset::folders`] below `root` with an annotation file.
    pub fn home(&self, root: &Path) -> Result<PathBuf> {
        if !root.is_dir() {
            return Err(Error::input(root, "", "no such folder", "give the data set's folder with --root"));
        }
        let homes: Vec<PathBuf> = self.folders.iter().map(|f| root.join(f)).collect();
        let holds = |home: &&PathBuf| {
            self.splits.iter().flat_map(|s| &s.annotations).any(|file| home.join(file).is_file())
        };
        homes.iter().find(holds).cloned().ok_or_else(|| {
            let looked: Vec<String> = homes
                .iter()
                .flat_map(|h| {
                    self.splits.iter().flat_map(move |s| s.annotations.iter().map(move |a| h.join(a)))
                })
                .map(|p| p.display().to_string())
                .collect();
            Error::input(
                root,
                "",
                format!("no annotation file of {}", self.title),
                format!("looked for {}; give the data set's folder with --root", looked.join(", ")),
            )
        })
    }

    /// Read one split from `home`. `None`: the data set has no annotation file for it there.
    pub fn read(&self, home: &Path, split: &SplitPlaces) -> Result<Option<Split>> {
        let Some(annotation) = split.annotations.iter().map(|a| home.join(a)).find(|p| p.is_file()) else {
            return Ok(None);
        };
        let mut remarks = Vec::new();
        let rows = match self.layout {
            Layout::Phoenix => phoenix::read(&annotation, home, split)?,
            Layout::How2sign => how2sign::read(&annotation, home, split, &mut remarks)?,
            Layout::JsonLines => unreachable!("JSON Lines have no fixed splits"),
        };
        let clips = unique(&annotation, rows)?;
        Ok(Some(Split { name: split.name.clone(), clips, annotation, remarks }))
    }
}

/// Read own data: one JSON object a line, `{id, video | frames, text?, start?, end?, split?, signer?, gloss?}`, paths
/// absolute or relative to the file; both may lead anywhere. Splits come in the order train, dev, test, then others by name; without `split` it is
/// "all".
pub fn read_json_lines(path: &Path) -> Result<Vec<Split>> {
    json_lines::read(path)
}

/// A clip with the line it was read from.
type Row = (usize, Clip);

/// Check ids: safe as file names, and each only once.
fn unique(file: &Path, rows: Vec<Row>) -> Result<Vec<Clip>> {
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for (line, clip) in &rows {
        check_name(file, *line, "clip id", &clip.id)?;
        if let Some(first) = lines.insert(&clip.id, *line) {
            return Err(Error::input(
                file,
                format!("line {line}"),
                format!("the id {:?} stands already in line {first}", clip.id),
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

fn check_name(file: &Path, line: usize, what: &str, name: &str) -> Result<()> {
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
fn below(file: &Path, line: usize, base: &Path, relative: &str) -> Result<PathBuf> {
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
fn first_folder(home: &Path, candidates: &[String]) -> PathBuf {
    let all: Vec<PathBuf> = candidates.iter().map(|c| home.join(c)).collect();
    all.iter().find(|p| p.is_dir()).or(all.first()).cloned().unwrap_or_else(|| home.to_path_buf())
}
