//! Finding a run's features and its language model: where they were when it began, where they lie as seen from its
//! folder, or where a flag says. What is found there is compared with the checksums in the run.

use crate::data::corpus::Corpus;
use crate::language::folder;
use crate::language::identity::check_language_model;
use crate::training::making::Making;
use crate::training::places::{PlaceFlags, places};
use crate::training::run::{CONFIG, RunInfo};
use signclip_common::places::weights_folders;
use signclip_common::store::{STORE_FILE, StoreInfo};
use signclip_common::{Error, Result};
use std::path::{Path, PathBuf};

/// Whether a split's features are in `folder`. One that is empty may stand where they were.
fn has_features(folder: &Path) -> bool {
    let splits = std::fs::read_dir(folder).into_iter().flatten().flatten();
    splits.into_iter().any(|split| split.path().join(STORE_FILE).is_file())
}

impl RunInfo {
    /// Find the features of the run in `folder`, which `--features` may give, in as many stores as you like. Whoever opens
    /// them checks them. Errors: they are nowhere.
    pub fn find_features(&mut self, folder: &Path, given: &[PathBuf]) -> Result<()> {
        if let Some((first, joined)) = given.split_first() {
            (self.features, self.joined) = (first.clone(), joined.to_vec());
            return Ok(());
        }
        let recorded = self.folders();
        let ways = std::iter::once(&self.from_run.features).chain(&self.from_run.joined);
        let mut ways = ways.map(Option::as_deref);
        let mut found = Vec::new();
        for recorded in &recorded {
            let way = ways.next().flatten();
            let there = places(folder, recorded, way).into_iter().find(|place| has_features(place));
            found.push(there.ok_or_else(|| {
                let what = format!("no features in {}", recorded.display());
                let remedy = "say where the features of the training are now: --features DIR";
                Error::input(folder.join(CONFIG), "features", what, remedy)
            })?);
        }
        self.features = found.remove(0);
        self.joined = found;
        Ok(())
    }

    /// Refuses features that were made otherwise than those of the training, by the descriptions of all stores with their
    /// folders. Errors: names the store that has the stream.
    pub fn check_features<'s>(&self, stores: impl Iterator<Item = (&'s Path, &'s StoreInfo)>) -> Result<()> {
        let stores: Vec<(&Path, &StoreInfo)> = stores.collect();
        let there = Making::of(stores.iter().map(|(_, info)| *info), &self.settings.head.streams);
        let Some((stream, [field, trained, there])) = self.extraction.difference(&there) else {
            return Ok(());
        };
        let having = stores.iter().find(|(_, info)| info.streams.contains_key(&stream)).or(stores.first());
        let folder = having.map_or(Path::new(""), |(folder, _)| folder);
        let what = format!("{there}, where the features that the run was trained on had {trained}");
        let is_imported =
            |info: &StoreInfo| info.streams.get(&stream).is_some_and(|s| s.imported().is_some());
        let remedy = match having.is_some_and(|(_, info)| is_imported(info)) {
            true => "import the files of the same network, or train a new run on these".to_owned(),
            false => {
                let like = self.features.display();
                format!("extract them with --like {like}, as those were made, or train a new run on these")
            }
        };
        Err(Error::input(folder.join(STORE_FILE), field, what, remedy))
    }

    /// Find the language model of the run in `folder`. Errors: it is nowhere, another one is there, a flag for a run
    /// whose model is trained from nothing.
    pub fn find_language_model(&mut self, folder: &Path, flags: &PlaceFlags) -> Result<()> {
        let Some(recorded) = &self.language_model else {
            let given = [("--language-model", &flags.language_model), ("--weights", &flags.weights)];
            return given.iter().find(|(_, folder)| folder.is_some()).map_or(Ok(()), |(flag, _)| {
                let what =
                    format!("{flag}: the language model of this run is trained from nothing, and lies in it");
                Err(Error::usage(what, "leave it out"))
            });
        };
        let name = &self.settings.language_model.path;
        let places = match (&flags.language_model, &flags.weights) {
            (Some(given), _) => vec![model_in(given)?],
            (None, Some(weights)) => vec![model_in(&below(weights, name))?],
            (None, None) => {
                let mut places = places(folder, recorded, self.from_run.language_model.as_deref());
                places.extend(weights_folders(None).iter().map(|weights| below(weights, name)));
                places.retain(|place| place.join("config.json").is_file());
                places
            }
        };
        let mut refused = None;
        for place in places {
            match check_language_model(&place, &self.language_model_sha256) {
                Ok(()) => {
                    if self.language_model_sha256.is_empty() && place != *recorded {
                        tracing::warn!(
                            "{}: whether it is the run's language model cannot be checked: an earlier version of train \
                             wrote the run, without checksums",
                            place.display()
                        );
                    }
                    self.language_model = Some(place);
                    return Ok(());
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let what = format!("{} is not there", recorded.display());
            let remedy = "say where the language model of the run is now: --language-model DIR";
            Error::input(folder.join(CONFIG), "language_model", what, remedy)
        }))
    }

    /// Refuse another split under the name of one that the run was trained or validated on. One of which other clips
    /// are missing than in the training is not compared.
    pub fn check_clips(&self, corpus: &Corpus, split: &str, missing: usize) -> Result<()> {
        let Some(known) = self.clips.get(split).filter(|known| known.features.is_some()) else {
            return Ok(());
        };
        let here = corpus.identity(missing);
        if known.missing != here.missing || *known == here {
            return Ok(());
        }
        let (what, field) = match known.sha256 == here.sha256 {
            true => ("their features are", "sha256"),
            false => ("ids, frames or sentences are", "clips"),
        };
        let what = format!("not the clips of {split} that the run was trained with: {what} others");
        let remedy =
            "give the features of the training (--features DIR), or these under another split's name";
        Err(Error::input(&corpus.store.folder, field, what, remedy))
    }
}

/// `folder`, which a flag names as that of a language model. Errors: what is missing there.
fn model_in(folder: &Path) -> Result<PathBuf> {
    folder::check_files(folder).map(|()| folder.to_path_buf())
}

/// A model's folder below the weights folder, by the setting that names it.
fn below(weights: &Path, path: &str) -> PathBuf {
    weights.join(if Path::new(path).is_absolute() {
        Path::new(path).file_name().map_or_else(|| Path::new(path), Path::new)
    } else {
        Path::new(path)
    })
}
