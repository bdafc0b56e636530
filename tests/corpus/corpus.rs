//! A corpus on disk: what was asked for, whether it is there already, what it holds. `corpus.json` is written
//! last; a directory that has it is complete.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::level::Level;
use crate::lexicon::{Language, Usage};
use crate::plan::{Clip, SPLITS, Split};

/// To be raised whenever the same seed would give other bytes.
const GENERATOR_VERSION: u32 = 2;
const COMPLETE: &str = "corpus.json";
/// Marks a directory that a rendering has begun to fill, so that it can be taken up again after a crash.
const BEGUN: &str = "corpus.incomplete.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layout {
    /// PNG folders and `|`-separated tables as in PHOENIX-2014-T, German.
    Phoenix,
    /// Full-length videos and re-aligned tables as in How2Sign, English.
    How2sign,
}

impl Layout {
    /// What the data set calls the folder of a split.
    pub(crate) fn folder(self, split: Split) -> &'static str {
        match (self, split) {
            (_, Split::Train) => "train",
            (Layout::Phoenix, Split::Dev) => "dev",
            (Layout::How2sign, Split::Dev) => "val",
            (_, Split::Test) => "test",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    generator_version: u32,
    pub(crate) layout: Layout,
    pub(crate) clips: usize,
    pub(crate) seed: u64,
    /// Width and height of a frame.
    pub(crate) size: [usize; 2],
    /// Absent in the demo's corpus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<Level>,
}

impl Parameters {
    pub(crate) fn new(
        layout: Layout,
        clips: usize,
        seed: u64,
        size: [usize; 2],
        level: Option<Level>,
    ) -> Self {
        Self { generator_version: GENERATOR_VERSION, layout, clips, seed, size, level }
    }

    pub(crate) fn language(&self) -> Language {
        match self.layout {
            Layout::Phoenix => Language::German,
            Layout::How2sign => Language::English,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.level.map_or(Usage::Even, |_| Usage::Natural)
    }
}

/// Per split in the order train, dev, test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) clips: [usize; 3],
    pub(crate) frames: [usize; 3],
    pub(crate) shortest: usize,
    pub(crate) longest: usize,
    pub(crate) glosses: usize,
    pub(crate) words: usize,
}

impl Counts {
    pub(crate) fn new(clips: &[Clip], frames: &[usize]) -> Self {
        let of = |split| clips.iter().zip(frames).filter(move |(clip, _)| clip.split == split);
        let glosses: BTreeSet<_> =
            clips.iter().flat_map(|c| &c.sentence.words).map(|(_, w)| w.gloss).collect();
        let words: BTreeSet<_> = (clips.iter().flat_map(|c| c.sentence.text.split(' ')))
            .map(|word| word.trim_matches([',', '.', '"']).to_lowercase())
            .collect();
        Self {
            clips: SPLITS.map(|split| of(split).count()),
            frames: SPLITS.map(|split| of(split).map(|(_, frames)| frames).sum()),
            shortest: frames.iter().copied().min().unwrap_or(0),
            longest: frames.iter().copied().max().unwrap_or(0),
            glosses: glosses.len(),
            words: words.len(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Complete {
    generator: String,
    parameters: Parameters,
    counts: Counts,
}

/// Makes the directory ready for rendering. `Some`: there is nothing to do, the corpus is there.
pub(crate) fn begin(root: &Path, parameters: &Parameters) -> Result<Option<Counts>> {
    let shown = root.display();
    if let Some(text) = read(&root.join(COMPLETE))? {
        let Ok(complete) = serde_json::from_str::<Complete>(&text) else {
            bail!("{shown}/{COMPLETE} is not of this program: choose another --out, or remove the directory");
        };
        if complete.parameters == *parameters {
            return Ok(Some(complete.counts));
        }
        let there = serde_json::to_string(&complete.parameters)?;
        bail!("{shown} holds another corpus ({there}): choose another --out, or remove the directory");
    }
    match read(&root.join(BEGUN))? {
        Some(text) if serde_json::from_str(&text).is_ok_and(|begun: Parameters| begun == *parameters) => {}
        Some(_) => bail!(
            "{shown} holds an unfinished corpus of other parameters: choose another --out, or remove the directory"
        ),
        None => {
            let empty = match fs::read_dir(root) {
                // A kill may have left the half of the first file.
                Ok(mut entries) => {
                    entries.all(|entry| entry.is_ok_and(|entry| entry.path() == part(&root.join(BEGUN))))
                }
                Err(error) if error.kind() == ErrorKind::NotFound => true,
                Err(error) => bail!("cannot use {shown}: {error}: choose another --out"),
            };
            if !empty {
                bail!("{shown} is not empty and no corpus: choose another --out");
            }
            write_file(&root.join(BEGUN), serde_json::to_string(parameters)?.as_bytes())?;
        }
    }
    Ok(None)
}

pub(crate) fn finish(root: &Path, parameters: Parameters, counts: &Counts) -> Result<()> {
    let complete = Complete { generator: "render-corpus".to_owned(), parameters, counts: counts.clone() };
    write_file(&root.join(COMPLETE), (serde_json::to_string_pretty(&complete)? + "\n").as_bytes())?;
    let begun = root.join(BEGUN);
    fs::remove_file(&begun).with_context(|| format!("cannot remove {}", begun.display()))
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Where a file is until it is whole.
fn part(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    beside.into()
}

/// Whole or not at all: written beside its place, then renamed.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = part(path);
        fs::write(&beside, bytes)?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_directories_are_touched() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("corpus");
        let parameters = Parameters::new(Layout::Phoenix, 16, 1, [210, 260], None);
        let others = Parameters::new(Layout::Phoenix, 16, 2, [210, 260], None);
        let noisy = Parameters::new(Layout::Phoenix, 16, 1, [210, 260], Some(Level::Noisy));
        let counts = Counts::new(&[], &[]);

        fs::create_dir(&root).unwrap();
        fs::write(part(&root.join(BEGUN)), "half").unwrap();
        assert_eq!(begin(&root, &parameters).unwrap(), None, "killed while it wrote its first file");
        assert_eq!(begin(&root, &parameters).unwrap(), None, "an interrupted rendering is taken up again");
        assert!(begin(&root, &others).is_err() && begin(&root, &noisy).is_err());
        finish(&root, parameters.clone(), &counts).unwrap();
        assert_eq!(begin(&root, &parameters).unwrap(), Some(counts));
        assert!(begin(&root, &others).is_err());
        assert!(begin(temporary.path(), &parameters).is_err(), "not empty");
    }
}
