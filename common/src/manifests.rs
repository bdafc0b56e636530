//! The tables of `manifests/`, which are compiled in, so that a program knows them wherever it is installed. A folder that
//! `$SIGNCLIP_MANIFESTS` names comes first: its files count in place of those of the same name, and may describe more data
//! sets.

use crate::regular_file::{self, SETTINGS};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::path::PathBuf;

const COMPILED: [(&str, &str); 5] = [
    ("csl-daily", include_str!("../../manifests/csl-daily.json")),
    ("how2sign", include_str!("../../manifests/how2sign.json")),
    ("phoenix", include_str!("../../manifests/phoenix.json")),
    ("published", include_str!("../../manifests/published.json")),
    ("weights", include_str!("../../manifests/weights.json")),
];

/// The tables that a program knows.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// The user's own folder.
    pub folder: Option<PathBuf>,
}

impl Manifests {
    /// With the folder that the environment names. Errors: there is no such folder.
    pub fn here() -> Result<Self> {
        let folder = std::env::var_os("SIGNCLIP_MANIFESTS").filter(|folder| !folder.is_empty());
        let folder = folder.map(PathBuf::from);
        match folder.as_ref().filter(|folder| !folder.is_dir()) {
            Some(folder) => {
                Err(Error::input(folder, "", "no such folder", "correct $SIGNCLIP_MANIFESTS, or unset it"))
            }
            None => Ok(Self { folder }),
        }
    }

    /// Names of all tables, sorted.
    pub fn names(&self) -> Vec<String> {
        let own = self.folder.iter().flat_map(std::fs::read_dir).flatten().flatten();
        let own = own.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        let mut names: Vec<String> = own.chain(COMPILED.map(|(name, _)| name.to_owned())).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The table `name`. Errors: there is none; it cannot be read; what is wrong with it, by line.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let own = self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")));
        let own = own.filter(|file| file.exists());
        let compiled = COMPILED.iter().find(|(known, _)| *known == name);
        let (file, text) = match (own, compiled) {
            (Some(file), _) => {
                let text = regular_file::read_to_string(&file, SETTINGS).map_err(Error::io(&file))?;
                (file, text)
            }
            (None, Some((_, text))) => (format!("manifests/{name}.json").into(), (*text).to_owned()),
            (None, None) => {
                let known = self.names().join(", ");
                return Err(Error::usage(format!("there is no table {name:?}"), format!("known: {known}")));
            }
        };
        serde_json::from_str(&text).map_err(|e| {
            Error::input(file, format!("line {}", e.line()), e.to_string(), "correct the manifest")
        })
    }
}
