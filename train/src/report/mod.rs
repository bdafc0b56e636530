//! The report of a run: one HTML file that needs nothing else, for people who look before they read logs.
//!
//! What is not there yet (no log, no translations, no features, no contact sheets) is said in its place, with the
//! command that makes it. Nothing is computed anew that `evaluate` has written; the model is run again only for the
//! gate and for the features behind words.

mod ablation;
mod beside;
mod breakdown;
mod chart;
mod clip;
mod curves;
mod examples;
pub mod gate_track;
mod page;
pub mod rating;
pub mod rows_picture;
mod scores;
mod settings;
mod sheet;
mod translations;
mod word_map;

use crate::data::corpus::Corpus;
use crate::metrics::ablation::Ablation;
use crate::metrics::ambiguous::AmbiguousWords;
use crate::metrics::beside::{Named, translations};
use crate::metrics::final_dot::FinalDot;
use crate::metrics::predictions::{METRICS, PREDICTIONS, Predictions};
use crate::metrics::sentence::SentenceCounts;
use crate::training::checkpoint::{self, BEST};
use crate::training::places::PlaceFlags;
use crate::training::run::RunInfo;
use clip::{Clip, Facts};
use curves::Curves;
use examples::{Context, Example};
use gate_track::GateTrack;
use maud::html;
pub use page::GENERATOR;
use scores::Metrics;
use sheet::Sheet;
use signclip_common::store::{ClipRecord, MOUTHING, SPATIAL, STORE_FILE, Store};
use signclip_common::{Error, Result, atomic};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tch::Device;
use word_map::WordMap;

/// What a report is asked to show.
pub struct Request<'a> {
    /// Folder of the run.
    pub run: &'a Path,
    pub split: &'a str,
    /// Features, where they are not where the run was trained on them.
    pub features: &'a [PathBuf],
    /// Where the language model is, where it is not where it was.
    pub places: &'a PlaceFlags,
    /// Folder of contact sheets that `extract --preview` wrote.
    pub sheets: Option<&'a Path>,
    /// Clips whose gate is shown; none: the best, the median and the worst translation.
    pub clips: &'a [String],
    /// File of pairs of ambiguous words.
    pub ambiguous: Option<&'a Path>,
    /// `ablation.json`.
    pub ablation: Option<&'a Path>,
    /// Other runs, whose translations of the chosen clips are shown beside each other.
    pub beside: &'a [Named],
    pub device: Device,
}

/// The commands that make what a report shows.
struct Commands {
    train: String,
    evaluate: String,
    extract: String,
}

/// Features and model, where both are there.
struct Model {
    corpus: Corpus,
    /// The gate of each clip; absent where the model has none.
    tracks: Option<Vec<GateTrack>>,
    map: Option<WordMap>,
}

/// Write the report to `html`, and the gate of every clip to `gate.json` in the run's folder of the split; returns the
/// latter's path where there is a gate.
pub fn write(request: &Request, html: &Path) -> Result<Option<PathBuf>> {
    let mut info = RunInfo::read(request.run)?;
    // The report says where features are not there, and what is without them.
    let _ = info.find_features(request.run, request.features);
    let (run, split) = (request.run.display(), request.split);
    let features = info.features.clone();
    let commands = Commands {
        train: format!("train {} --run {run}", info.feature_flags()),
        evaluate: format!("evaluate --run {run} --split {split}"),
        extract: format!("extract --dataset NAME --out {}", features.display()),
    };
    let pairs = request.ambiguous.map(AmbiguousWords::read).transpose()?;
    let ablation = request.ablation.map(Ablation::read).transpose()?;
    let there = request.run.join(split).join(PREDICTIONS).exists();
    let predictions = there.then(|| Predictions::read(request.run, split)).transpose()?;
    let metrics = predictions.as_ref().map(|p| Metrics::beside(p, split, &commands.evaluate)).transpose()?;
    let folders: Vec<PathBuf> = info.folders().iter().map(|folder| folder.join(split)).collect();
    // All of them, or none.
    let all = folders.iter().all(|folder| folder.join(STORE_FILE).is_file());
    let stores: Vec<Store> =
        folders.iter().filter(|_| all).map(|folder| Store::open(folder)).collect::<Result<_>>()?;
    let clips = clips(predictions.as_ref(), &stores, &commands)?;
    let chosen = examples::choose(&clips, request.clips)?;
    let ids: Vec<String> = chosen.iter().map(|(clip, _)| clip.id.clone()).collect();
    let beside = translations(request.beside, split, &ids)?;
    if let (Some(pairs), Some(file), false) = (&pairs, request.ambiguous, clips.is_empty()) {
        pairs.check(file, split, clips.iter().map(|clip| clip.reference.as_str()))?;
    }

    let best = request.run.join(BEST);
    let best_epoch =
        best.is_file().then(|| checkpoint::progress(&best)).transpose()?.map(|p| p.choice.best_epoch);
    if let (Some(now), Some(metrics)) = (best_epoch, &metrics) {
        let then = metrics.weights.epoch;
        if now != then {
            let what = format!(
                "translations by the weights of epoch {then}; those of epoch {now} are better by now"
            );
            let remedy = format!("translate again: {}", commands.evaluate);
            return Err(Error::input(request.run.join(split).join(METRICS), "weights", what, remedy));
        }
    }
    let open = || {
        let corpus = Corpus::open(&info.folders(), split, &info.settings)?;
        info.check_features(corpus.descriptions()).map(|()| corpus)
    };
    let (corpus, other_features) = match stores.first().map(|_| open()) {
        Some(Ok(corpus)) => (Some(corpus), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let model = match (best_epoch, corpus) {
        (Some(_), Some(corpus)) => {
            info.find_language_model(request.run, request.places)?;
            Some(Model::run(request, &info, corpus, pairs.as_ref())?)
        }
        _ => None,
    };
    let tracks = model.as_ref().and_then(|model| model.tracks_by_id());
    let gate_file = request.run.join(split).join("gate.json");
    if let (Some(tracks), Some(store)) = (&tracks, stores.first()) {
        std::fs::create_dir_all(request.run.join(split)).map_err(Error::io(request.run))?;
        gate_track::write(&gate_file, store.info.fps, tracks)?;
    }

    let absent_model = match (stores.first(), &other_features) {
        (Some(_), Some(refused)) => (refused.as_str(), commands.extract.as_str()),
        (None, _) => ("The features are not there.", commands.extract.as_str()),
        _ => ("The run has no weights yet.", commands.train.as_str()),
    };
    let mut missing = Vec::new();
    if clips.is_empty() {
        missing.push(("The split was not translated yet.", commands.evaluate.as_str()));
    }
    match &model {
        None => missing.push(absent_model),
        Some(Model { tracks: None, .. }) => {
            missing.push((without_gate(&info), "train with --set head.streams=both, the paper's model"))
        }
        Some(_) => {}
    }
    let mut examples = Vec::new();
    for (clip, why) in chosen {
        let sheet = request.sheets.map(|folder| Sheet::find(folder, split, &clip.id)).transpose()?.flatten();
        let track = tracks.as_ref().and_then(|tracks| tracks.get(clip.id.as_str()).copied());
        examples.push(Example { clip, why, track, sheet });
    }
    let sheets = format!(
        "extract --dataset NAME --split {split} --preview DIR --out NEW\nevaluate report {run} --split {split} --sheets DIR"
    );
    if request.sheets.is_none() || examples.iter().any(|example| example.sheet.is_none()) {
        missing.push((
            "Contact sheets, for frames and mouths below the gate, are not there for every clip.",
            &sheets,
        ));
    }
    let overall = tracks.as_ref().map(|tracks| {
        let all = || tracks.values().flat_map(|track| &track.mean);
        all().sum::<f32>() / all().count().max(1) as f32
    });
    let fps = stores.first().map_or(25.0, |store| store.info.fps);
    let context = Context { fps, missing, overall };
    let absent_map = match &model {
        None => absent_model,
        Some(_) => ("The sentences of the split have too few words in common.", "extract with more clips"),
    };
    let map = model.as_ref().and_then(|model| model.map.as_ref());
    let added = metrics.as_ref().is_some_and(|metrics| metrics.references.rules.final_dot);
    let dot = if added { FinalDot::Added } else { FinalDot::AsGiven };
    let without_store = stores.is_empty().then_some(commands.extract.as_str());
    let sections = [
        scores::show(metrics.as_ref(), &commands.evaluate),
        ablation::show(ablation.as_ref()),
        curves::show(Curves::read(request.run)?.as_ref(), best_epoch, &commands.train),
        examples::show(&examples, &context),
        word_map::show(map, absent_map),
        breakdown::show(&clips, pairs.as_ref(), dot, &commands.evaluate, without_store),
        beside::show(&beside),
        translations::show(&clips, &commands.evaluate),
        settings::show(&info, stores.iter().map(|store| &store.info), &commands.extract)?,
    ];
    let page = page::page(&format!("SignClip: {run}, {split}"), &below(&info, split, &stores), &sections);
    atomic::write(html, page.as_bytes())?;
    Ok(tracks.is_some().then_some(gate_file))
}

/// What a reader must know before the scores.
fn below(info: &RunInfo, split: &str, stores: &[Store]) -> Vec<maud::Markup> {
    let mut lines = Vec::new();
    if let Some(store) = stores.first() {
        let streams = stores.iter().flat_map(|store| &store.info.streams);
        let streams: Vec<String> =
            streams.map(|(name, stream)| format!("{name}: {}", stream.encoder)).collect();
        lines.push(html! { (store.info.dataset) ", " (store.info.split) ": " (store.clips.len()) " clips. " (streams.join("; ")) "." });
    }
    lines.extend(info.caveats(split).into_iter().map(|caveat| {
        html! {
            strong class="warning" { "Beware: " (caveat) "." }
        }
    }));
    lines
}

/// Why a model has no gate.
fn without_gate(info: &RunInfo) -> &'static str {
    let streams = &info.settings.head.streams;
    match (streams.is_one(), streams.has(SPATIAL), streams.has(MOUTHING)) {
        (true, true, _) => "The run uses the hands alone, so it has no gate.",
        (true, _, true) => "The run uses the mouth alone, so it has no gate.",
        (true, ..) => "The run uses one stream alone, so it has no gate.",
        (false, ..) => "The run fuses its streams without a gate.",
    }
}

fn clips(predictions: Option<&Predictions>, stores: &[Store], commands: &Commands) -> Result<Vec<Clip>> {
    let Some(predictions) = predictions else { return Ok(Vec::new()) };
    let mut records: HashMap<&str, Vec<&ClipRecord>> = HashMap::new();
    for record in stores.iter().flat_map(|store| &store.clips) {
        records.entry(&record.id).or_default().push(record);
    }
    let units = predictions.references()?.map(|known| known.units).unwrap_or_default();
    let mut clips = Vec::new();
    for line in &predictions.lines {
        let records = records.get(line.id.as_str());
        if records.is_none() && !stores.is_empty() {
            let what = format!("the clip {:?} is not among the features", line.id);
            let remedy = format!("translate again: {}", commands.evaluate);
            return Err(Error::input(&predictions.file, "", what, remedy));
        }
        let counts = SentenceCounts::of(&line.hypothesis, &line.reference, units);
        clips.push(Clip {
            id: line.id.clone(),
            reference: line.reference.clone(),
            hypothesis: line.hypothesis.clone(),
            scores: counts.scores(),
            counts,
            facts: records.map(|records| Facts {
                frames: records[0].frames,
                signer: records[0].facts.signer.clone(),
                face_coverage: records.iter().find_map(|record| record.facts.face_coverage),
            }),
        });
    }
    Ok(clips)
}

impl Model {
    fn run(
        request: &Request,
        info: &RunInfo,
        mut corpus: Corpus,
        pairs: Option<&AmbiguousWords>,
    ) -> Result<Self> {
        /// Clips that go through the head at once.
        const BATCH: usize = 16;
        let text = info.text(request.run)?;
        corpus.tokenise(&text, usize::MAX)?;
        let (model, _) = info.trained(request.run, &corpus, &text, request.device)?;
        let tracks = GateTrack::of(&model, &corpus, BATCH)?;
        let map = WordMap::of(&model, &corpus, &text, pairs)?;
        Ok(Self { corpus, tracks, map })
    }

    fn tracks_by_id(&self) -> Option<BTreeMap<&str, &GateTrack>> {
        let ids = self.corpus.store.clips.iter().map(|record| record.id.as_str());
        self.tracks.as_ref().map(|tracks| ids.zip(tracks).collect())
    }
}
