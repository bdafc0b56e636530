//! The rows of the table of language models: one for each that is there.

use crate::Args;
use crate::rows::Row;
use signclip_common::{Error, Result, places};
use signclip_train::language::family::{LanguageConfig, Tiny};
use signclip_train::language::folder::is_model;
use signclip_train::metrics::paper_models::PaperModels;
use signclip_train::training::setting_flags::Preset;
use std::collections::BTreeSet;

/// The model that the others are compared with, where it is there: the paper's.
const REFERENCE: &str = "flan-t5-xl";

/// With the tiny preset the models that are trained from nothing, otherwise those in folders of the weights folder, the
/// reference first. Errors: none is there; a flag that names one.
pub(crate) fn rows(args: &Args, paper: Option<&PaperModels>) -> Result<Vec<Row>> {
    if args.language_model.is_some() {
        return Err(Error::usage(
            "--language-model: every row has a language model of its own",
            "leave it out",
        ));
    }
    let mut names: Vec<String> = match args.settings.preset {
        Preset::Tiny => Tiny::NAMED.iter().map(|(name, _)| (*name).to_owned()).collect(),
        _ => found(args)?,
    };
    names.sort_by_key(|name| name != REFERENCE);
    let row = |name: String| Row {
        settings: vec![format!("language_model.path={name}")],
        paper: paper.and_then(|paper| paper.of(&name)).map(|scores| scores.bleu[3]),
        name,
    };
    Ok(names.into_iter().map(row).collect())
}

/// Names of the folders with a language model, sorted. One of something else is left out, with a word.
fn found(args: &Args) -> Result<Vec<String>> {
    let folders = places::weights_folders(args.weights.as_deref());
    let mut names = BTreeSet::new();
    for entry in folders.iter().flat_map(std::fs::read_dir).flatten().flatten() {
        let (folder, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !folder.is_dir() || !is_model(&folder) {
            continue;
        }
        match LanguageConfig::read(&folder) {
            Ok(_) => drop(names.insert(name)),
            Err(error) => tracing::warn!("left out: {error}"),
        }
    }
    if names.is_empty() {
        let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let what = format!("no folder of a language model in {}", looked.join(", "));
        let remedy =
            "download some (docs/weights.md), give their folder with --weights DIR, or try --preset tiny";
        return Err(Error::usage(what, remedy));
    }
    Ok(names.into_iter().collect())
}
