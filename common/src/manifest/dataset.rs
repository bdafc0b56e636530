//! A data set by its manifest.

use super::clip::{Split, SplitPlaces, unique};
use super::{csl_daily, how2sign, json_lines, phoenix};
use crate::manifests::Manifests;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a data set lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// PHOENIX14T: image folders, `|`-separated annotations.
    Phoenix,
    /// How2Sign: full videos cut by re-aligned times, tab-separated annotations.
    How2sign,
    /// CSL-Daily: image folders, one list of splits.
    CslDaily,
    /// One JSON object a line: own data, by its file or by a manifest.
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
    /// Squash frames to this (width, height) before the spatial and the motion encoder, as SpaMo's PHOENIX images were.
    #[serde(default)]
    pub spatial_squash: Option<(usize, usize)>,
    /// Folders below the root that may hold the data set ("" is the root itself).
    pub folders: Vec<String>,
    pub splits: Vec<SplitPlaces>,
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

    /// Read one split from `home`. `None`: the data set has no annotation file for it there. `of_features`: the clips'
    /// features are there already, and a line may do without media.
    pub fn read(&self, home: &Path, split: &SplitPlaces, of_features: bool) -> Result<Option<Split>> {
        let Some(annotation) = split.annotations.iter().map(|a| home.join(a)).find(|p| p.is_file()) else {
            return Ok(None);
        };
        let mut remarks = Vec::new();
        let rows = match self.layout {
            Layout::Phoenix => phoenix::read(&annotation, home, split)?,
            Layout::How2sign => how2sign::read(&annotation, home, split, &mut remarks)?,
            Layout::CslDaily => csl_daily::read(&annotation, home, split)?,
            Layout::JsonLines => json_lines::read(&annotation, home, split, of_features)?,
        };
        let clips = unique(&annotation, rows)?;
        Ok(Some(Split { name: split.name.clone(), clips, annotation, remarks }))
    }
}
