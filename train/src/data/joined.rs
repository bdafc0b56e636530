//! Stores of one split, joined by the ids of their clips: a stream that was made later, elsewhere or by somebody else
//! is added without a second extraction.

use crate::head::gated_fusion::FusionKind;
use crate::head::streams::Streams;
use signclip_common::manifest::Dataset;
use signclip_common::manifests::Manifests;
use signclip_common::store::{ClipRecord, MOTION, MOUTHING, SPATIAL, Store, StreamInfo};
use signclip_common::{Error, Result};
use std::collections::HashMap;
use std::path::PathBuf;

/// Stores with the same clips in the same order, that of the ids.
pub struct Joined {
    pub stores: Vec<Store>,
    /// Clips of each one, those that another one does not have included.
    pub stored: Vec<usize>,
    /// Clips that are not in all of them.
    pub apart: usize,
}

impl Joined {
    /// Opens the split folders `folders`, at least one. Errors: a clip with different sentences or numbers of frames.
    pub fn open(folders: &[PathBuf]) -> Result<Self> {
        let mut stores = folders.iter().map(|folder| Store::open(folder)).collect::<Result<Vec<Store>>>()?;
        let mut having: HashMap<String, usize> = HashMap::new();
        for clip in stores.iter().flat_map(|store| &store.clips) {
            *having.entry(clip.id.clone()).or_default() += 1;
        }
        let stored: Vec<usize> = stores.iter().map(|store| store.clips.len()).collect();
        let everywhere = |clip: &ClipRecord| having[&clip.id] == folders.len();
        for store in &mut stores {
            store.retain(everywhere);
            store.sort_by_id();
        }
        let (first, others) = stores.split_at(1);
        if first[0].clips.is_empty() && stored.iter().all(|clips| *clips > 0) {
            let what = format!("no clip is in all of the {} stores", folders.len());
            let remedy = "extract them from the same data set, or leave one out of --features";
            return Err(Error::input(&first[0].folder, "", what, remedy));
        }
        for other in others {
            check(&first[0], other)?;
        }
        let apart = having.len() - first[0].clips.len();
        Ok(Self { stores, stored, apart })
    }
}

/// Whether two stores are of the same clips.
fn check(first: &Store, other: &Store) -> Result<()> {
    let refused =
        |place: String, what: String, remedy: &str| Err(Error::input(&other.folder, place, what, remedy));
    let refuse = |place: String, what: String| {
        refused(place, what, "extract both from the same data set, or leave one out of --features")
    };
    let is_imported = |store: &Store| store.info.streams.values().any(|stream| stream.imported().is_some());
    let imported = is_imported(first) || is_imported(other);
    if first.info.fps != other.info.fps {
        let what = format!(
            "{} frames per second, {} has {}",
            other.info.fps,
            first.folder.display(),
            first.info.fps
        );
        return match imported {
            true => {
                refused("fps".to_owned(), what, "import the features again, with their own rate: --fps N")
            }
            false => refuse("fps".to_owned(), what),
        };
    }
    if first.info.language != other.info.language {
        let [there, here] = [first, other].map(|store| store.info.language.as_deref().unwrap_or("none"));
        let what = format!("{here}, {} has {there}", first.folder.display());
        return refused("language".to_owned(), what, "make one of them again with the other's --language");
    }
    if first.info.text != other.info.text {
        return refuse("text".to_owned(), format!("not the rules of text of {}", first.folder.display()));
    }
    for (a, b) in first.clips.iter().zip(&other.clips) {
        let place = format!("clip {:?}", a.id);
        if a.frames != b.frames && !may_have(first, a, b.frames) && !may_have(other, b, a.frames) {
            return refuse(
                place,
                format!("{} frames, in {} it has {}", b.frames, first.folder.display(), a.frames),
            );
        }
        if a.facts.text != b.facts.text {
            let text = |clip: &ClipRecord| clip.facts.text.clone().unwrap_or_else(|| "none".to_owned());
            let what =
                format!("its sentence is {:?}, in {} it is {:?}", text(b), first.folder.display(), text(a));
            return refuse(place, what);
        }
    }
    Ok(())
}

/// Whether a clip of `store` whose number of frames is not known may have so many, by its rows.
fn may_have(store: &Store, clip: &ClipRecord, frames: usize) -> bool {
    let fits = |(name, stream): (&String, &StreamInfo)| {
        clip.streams.get(name).is_some_and(|there| there.rows == stream.rows.rows(frames))
    };
    clip.facts.frames_unknown && store.info.streams.iter().all(fits)
}

/// Whether the stores have the streams that are wanted, each once, and rows that can be fused.
pub(super) fn check_streams(stores: &[Store], wanted: &Streams, fusion: FusionKind) -> Result<()> {
    let first = &stores[0];
    let all: Vec<&str> =
        stores.iter().flat_map(|store| store.info.streams.keys().map(String::as_str)).collect();
    let mut rules = Vec::new();
    for name in wanted.names() {
        let mut having = stores.iter().filter_map(|store| Some((store, store.info.streams.get(name)?)));
        match (having.next(), having.next()) {
            (Some((_, stream)), None) => rules.push((name, stream.rows)),
            (Some((one, _)), Some((other, _))) => {
                let what = format!("the stream {name} is here and in {}", one.folder.display());
                return Err(Error::input(
                    &other.folder,
                    "streams",
                    what,
                    "leave one of the two out of --features",
                ));
            }
            (None, _) => {
                let (there, dataset) = (all.join(", "), &first.info.dataset);
                let folder = first.folder.parent().unwrap_or(&first.folder).display();
                let known = Manifests::here().is_ok_and(|here| Dataset::load(&here, dataset).is_ok());
                let dataset = if known { dataset } else { "FILE.jsonl" };
                let out = format!("{folder}-{name}");
                let import =
                    format!("extract import DIR --dataset {dataset} --stream {name}=PATTERN --out {out}");
                let base = if name == MOUTHING { " (the preset authors: --lip-encoder base)" } else { "" };
                let extract = format!("extract --dataset {dataset} --streams {name} --out {out}{base}");
                let is_ours = [SPATIAL, MOUTHING, MOTION].contains(&name);
                let imported = stores.iter().flat_map(|store| store.info.streams.values());
                let imported = imported.into_iter().any(|stream| stream.imported().is_some());
                let make = match (is_ours, imported) {
                    (true, false) => extract,
                    (true, true) => format!("{extract}; or, where others made it, with: {import}"),
                    (false, _) => import,
                };
                let remedy = format!(
                    "make it with: {make}; then add --features {out}; or train on what is there: --set head.streams={}",
                    all.join(",")
                );
                let what = format!("there is no {name} stream, only {there}");
                return Err(Error::input(&first.folder, "streams", what, remedy));
            }
        }
    }
    match rules.iter().find(|(_, rule)| *rule != rules[0].1) {
        Some((name, _)) if fusion != FusionKind::AlongTime => {
            let what = format!("{name} and {} have different numbers of rows for a clip", rules[0].0);
            let remedy =
                "join them along time (head.fusion=along_time), or train on one of them alone (head.streams)";
            Err(Error::input(&first.folder, "streams", what, remedy))
        }
        _ => Ok(()),
    }
}
