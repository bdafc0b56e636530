//! Cached features and their sentences, as batches.
//!
//! Shapes: b clips, t frames (padded to the longest of the batch), s and m stream widths, l target tokens.

use crate::config::TrainConfig;
use crate::data::batch::Batch;
use crate::data::batching::permutation;
use crate::data::joined::{Joined, check_streams};
use crate::data::standardise;
use crate::data::windowed::{Windowed, rows_in};
use crate::head::config::StandardiseBy;
use crate::head::streams::{StreamBatch, Streams};
use crate::head::whitening::Statistics;
use crate::language::inputs::IGNORE;
use crate::language::text::{Text, prepare};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use signclip_common::store::{ClipRecord, MOUTHING, Missing, SPATIAL, Store, StoreDtype, StoreInfo};
use signclip_common::synthetic::Random;
use signclip_common::{Error, Result, checksum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tch::{Device, Kind, Tensor};

/// One split, opened for training or evaluation.
pub struct Corpus {
    pub store: Store,
    /// Stores of further streams, with the same clips in the same order.
    joined: Vec<Store>,
    /// Clips of each store, and those that are not in all of them.
    stored: Vec<usize>,
    apart: usize,
    /// Prepared sentence of each clip.
    pub texts: Vec<String>,
    /// Target ids of each clip, the end token last.
    targets: Vec<Vec<i64>>,
    streams: Streams,
    max_frames: usize,
    max_frames_of: Windowed,
    standardise: bool,
    /// Whether every clip looks the same, for the control experiment without features.
    blank: bool,
    /// Whose features each clip gets: its own, but for the control experiments.
    sources: Vec<usize>,
    /// Whose mouthing the clips of `sources` get.
    mouths: Vec<usize>,
    /// Whether the bytes of a clip have been compared with their checksums.
    verified: Vec<AtomicBool>,
}

/// The clips of a split, as a run remembers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitIdentity {
    pub clips: usize,
    /// Clips that were missing in the store.
    pub missing: usize,
    /// Of ids, frames and sentences, in their order.
    pub sha256: String,
    /// Of the checksums of the clips' features in the streams in use, in their order; absent in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
}

/// Rows of every clip without features.
const BLANK: usize = 16;

/// Which part of a clip longer than the cap is taken.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    /// The middle: for validation and evaluation.
    Middle,
    /// A random one, a pure function of (seed, epoch, clip).
    Random { seed: u64, epoch: usize },
}

impl Corpus {
    /// Opens the split of all `folders`, whose clips are joined by their ids. Errors: no store, a stream that is wanted and
    /// absent, a clip without text or with different ones; a control experiment with a single clip.
    pub fn open(folders: &[PathBuf], split: &str, settings: &TrainConfig) -> Result<Self> {
        let mut corpus = Self::without_texts(folders, split, settings)?;
        let rules = corpus.store.info.text;
        for (clip, place) in corpus.store.clips.iter().zip(&mut corpus.texts) {
            let text = clip.facts.text.as_deref().filter(|t| !t.trim().is_empty());
            *place = text.map(|text| prepare(text, rules)).ok_or_else(|| {
                let what = format!("the clip {:?} has no sentence", clip.id);
                Error::input(&corpus.store.folder, "", what, "add its text to the data set and extract again")
            })?;
        }
        for (shuffled, setting, sources) in [
            (settings.shuffle_features, "shuffle_features", &mut corpus.sources),
            (settings.shuffle_mouthing, "shuffle_mouthing", &mut corpus.mouths),
        ] {
            if shuffled && sources.len() == 1 {
                let what =
                    format!("{setting}: the split has one clip, and no other clip's features to give it");
                let remedy = "extract more clips, or train without this setting";
                return Err(Error::input(&corpus.store.folder, "", what, remedy));
            }
            if shuffled {
                *sources = others(sources.len(), settings.seed);
            }
        }
        Ok(corpus)
    }

    /// [`Self::open`] for clips whose sentences are not known: every text is empty, and every clip has its own
    /// features.
    pub fn without_texts(folders: &[PathBuf], split: &str, settings: &TrainConfig) -> Result<Self> {
        let streams = settings.head.streams.clone();
        let folders: Vec<PathBuf> = folders.iter().map(|folder| folder.join(split)).collect();
        let Joined { mut stores, stored, apart } = Joined::open(&folders)?;
        check_streams(&stores, &streams, settings.head.fusion)?;
        let mut store = stores.remove(0);
        let text = &settings.text;
        store.info.text.final_dot = text.final_dot.unwrap_or(store.info.text.final_dot);
        store.info.language = text.language.clone().or(store.info.language);
        if store.clips.is_empty() {
            return Err(Error::input(&store.folder, "", "the store has no clips", "run extract again"));
        }
        let count = store.clips.len();
        Ok(Self {
            verified: store.clips.iter().map(|_| AtomicBool::new(false)).collect(),
            texts: vec![String::new(); count],
            sources: (0..count).collect(),
            mouths: (0..count).collect(),
            store,
            joined: stores,
            stored,
            apart,
            targets: Vec::new(),
            streams,
            max_frames: settings.max_frames,
            max_frames_of: settings.max_frames_of,
            standardise: settings.head.standardises(StandardiseBy::Columns),
            blank: settings.no_features,
        })
    }

    /// How many clips are missing in the split. Errors: any, unless that is `allowed`.
    pub fn missing(&self, allowed: bool) -> Result<usize> {
        let stored = self.store.clips.len();
        let mut missing = Missing::default();
        // Of a data set's clips, as many as any store was to have, and at least those of all stores together.
        let mut all = stored + self.apart;
        for (store, &clips) in self.stores().zip(&self.stored) {
            let of_store = Missing::of(&store.folder, clips)?;
            all = all.max(clips + of_store.clips);
            missing.failed.extend(of_store.failed);
        }
        missing.clips = all - stored;
        if missing.clips == 0 || allowed {
            return Ok(missing.clips);
        }
        let failed = missing.failed.first().map_or(String::new(), |first| {
            format!(", {} of them failed, e.g. {:?}: {}", missing.failed.len(), first.id, first.reason)
        });
        let apart = match self.apart {
            0 => String::new(),
            apart => format!(", {apart} of which are not in all stores of --features"),
        };
        Err(Error::input(
            &self.store.folder,
            "",
            format!("{} of {} clips are missing{failed}{apart}", missing.clips, stored + missing.clips),
            "run the same extract again, or do without them: --allow-missing",
        ))
    }

    /// What a run remembers of the split.
    pub fn identity(&self, missing: usize) -> SplitIdentity {
        let line = |(clip, text): (&ClipRecord, &String)| format!("{}\t{}\t{text}\n", clip.id, clip.frames);
        let lines: String = self.store.clips.iter().zip(&self.texts).map(line).collect();
        let mut features = String::new();
        for clip in 0..self.len() {
            for stream in self.streams.names() {
                let rows = self.store_of(stream).and_then(|store| store.clips[clip].streams.get(stream));
                features += rows.map_or("", |rows| &rows.sha256);
                features += "\n";
            }
        }
        SplitIdentity {
            clips: self.len(),
            missing,
            sha256: checksum::of(lines.as_bytes()),
            features: Some(checksum::of(features.as_bytes())),
        }
    }

    /// Tokenise the sentences. Errors: one longer than `max_tokens`.
    pub fn tokenise(&mut self, text: &Text, max_tokens: usize) -> Result<()> {
        self.targets = self.texts.par_iter().map(|sentence| text.encode(sentence)).collect::<Result<_>>()?;
        let too_long = self.targets.iter().zip(&self.store.clips).find(|(ids, _)| ids.len() > max_tokens);
        too_long.map_or(Ok(()), |(ids, clip)| {
            Err(Error::input(
                &self.store.folder,
                format!("clip {:?}", clip.id),
                format!("its sentence has {} tokens", ids.len()),
                format!("allow it with --set text.max_target_tokens={}", ids.len()),
            ))
        })
    }

    /// Target ids of a clip, the end token last; none before [`Self::tokenise`].
    pub fn target(&self, clip: usize) -> &[i64] {
        self.targets.get(clip).map_or(&[], Vec::as_slice)
    }

    /// Frames of each clip that a batch takes.
    pub fn frames(&self) -> Vec<usize> {
        self.sources.iter().map(|&source| self.store.clips[source].frames.min(self.max_frames)).collect()
    }

    /// First frame and number of frames of a clip's [`Window::Middle`].
    pub fn middle(&self, clip: usize) -> (usize, usize) {
        let frames = self.store.clips[self.sources[clip]].frames;
        let taken = frames.min(self.max_frames);
        ((frames - taken) / 2, taken)
    }

    /// `[n, n]` bool: which of `clips` have the same sentence.
    pub fn same(&self, clips: &[usize]) -> Tensor {
        let same: Vec<bool> =
            clips.iter().flat_map(|&a| clips.iter().map(move |&b| self.texts[a] == self.texts[b])).collect();
        Tensor::from_slice(&same).view([clips.len() as i64; 2])
    }

    pub fn len(&self) -> usize {
        self.store.clips.len()
    }

    pub fn is_empty(&self) -> bool {
        self.store.clips.is_empty()
    }

    /// The stores, the first one first.
    pub fn stores(&self) -> impl Iterator<Item = &Store> {
        std::iter::once(&self.store).chain(&self.joined)
    }

    /// Their descriptions, with their folders.
    pub fn descriptions(&self) -> impl Iterator<Item = (&Path, &StoreInfo)> {
        self.stores().map(|store| (store.folder.as_path(), &store.info))
    }

    /// Folders of stores without a stream in use: the rows of an ablation have fewer than its features.
    pub fn unused(&self) -> impl Iterator<Item = &Path> {
        let used = |store: &Store| self.streams.names().any(|name| store.info.streams.contains_key(name));
        self.stores().filter(move |store| !used(store)).map(|store| store.folder.as_path())
    }

    /// The store that has a stream.
    fn store_of(&self, stream: &str) -> Option<&Store> {
        self.stores().find(|store| store.info.streams.contains_key(stream))
    }

    /// Columns of each stream in use.
    pub fn widths(&self) -> BTreeMap<String, i64> {
        let width = |name: &str| Some((name.to_owned(), self.store_of(name)?.info.streams[name].dim as i64));
        self.streams.names().filter_map(width).collect()
    }

    /// Mean and whitening of each stream in use, over all rows.
    pub fn statistics(&self) -> BTreeMap<String, Statistics> {
        let of_stream =
            |name: &str| Some((name.to_owned(), standardise::over_clips(self.store_of(name)?, name)));
        self.streams.names().filter_map(of_stream).collect()
    }

    /// Read clips as one padded batch, on the CPU. Errors: the bytes of a clip are not those that were written.
    pub fn batch(&self, clips: &[usize], window: Window) -> Result<Batch> {
        let cut = |&clip: &usize| {
            let source = self.sources[clip];
            let frames = self.store.clips[source].frames;
            let (middle, taken) = self.middle(clip);
            let first = match window {
                Window::Middle => middle,
                Window::Random { seed, epoch } => {
                    let unit = Random::new(&format!("window of {epoch}"), seed).unit(clip as u64);
                    (unit * (frames - taken + 1) as f64) as usize
                }
            };
            (source, first, taken)
        };
        let cuts: Vec<(usize, usize, usize)> = clips.iter().map(cut).collect();
        for &(clip, ..) in &cuts {
            self.verify(clip)?;
            self.verify(self.mouths[clip])?;
        }
        let stream = |name: &str| Some((name.to_owned(), self.padded(name, &cuts)?));
        Ok(Batch {
            clips: clips.to_vec(),
            streams: self.streams.names().filter_map(stream).collect(),
            labels: self.labels(clips),
            frames: cuts.iter().map(|(_, _, taken)| taken).sum(),
        })
    }

    /// Compare the bytes of a clip with their checksums, the first time that it is read.
    fn verify(&self, clip: usize) -> Result<()> {
        if self.verified[clip].load(Relaxed) {
            return Ok(());
        }
        for stream in self.streams.names() {
            if let Some(store) = self.store_of(stream) {
                store.verify_clip(clip, stream)?;
            }
        }
        self.verified[clip].store(true, Relaxed);
        Ok(())
    }

    /// A stream of cuts of clips (place, first frame, frames), as it is stored or standardised. Another clip's mouthing is
    /// stretched or shrunk to the length of the clip.
    fn padded(&self, stream: &str, cuts: &[(usize, usize, usize)]) -> Option<StreamBatch> {
        let store = self.store_of(stream)?;
        let info = &store.info.streams[stream];
        if self.blank {
            let shape = [cuts.len(), BLANK, info.dim].map(|n| n as i64);
            let lengths = Tensor::full([shape[0]], BLANK as i64, (Kind::Int64, Device::Cpu));
            return Some(StreamBatch { rows: Tensor::zeros(shape, (Kind::Float, Device::Cpu)), lengths });
        }
        let kind = match store.info.dtype {
            StoreDtype::F16 if !self.standardise => Kind::Half,
            _ => Kind::Float,
        };
        let ranges: Vec<(usize, usize)> = cuts
            .iter()
            .map(|&(clip, first, taken)| {
                let frames = store.clips[clip].frames;
                let cut = self.max_frames_of == Windowed::All || stream == SPATIAL;
                let (first, taken) = if cut { (first, taken) } else { (0, frames) };
                rows_in(info.rows, first, taken, frames)
            })
            .collect();
        let longest = ranges.iter().map(|(_, rows)| *rows).max().unwrap_or(1);
        let row_bytes = info.dim * kind.elt_size_in_bytes();
        let mut bytes = vec![0_u8; cuts.len() * longest * row_bytes];
        let places = bytes.chunks_exact_mut(longest * row_bytes);
        for ((&(clip, ..), &(first, count)), place) in cuts.iter().zip(&ranges).zip(places) {
            let source = if stream == MOUTHING { self.mouths[clip] } else { clip };
            let Some(features) = store.features(source, stream) else { continue };
            let own = info.rows.rows(store.clips[clip].frames);
            let rows = (first..first + count).map(|row| features.part(row * features.rows / own, 1));
            if self.standardise {
                let mut values: Vec<f32> = rows.flat_map(|row| row.to_f32()).collect();
                standardise::over_rows(&mut values, info.dim);
                for (value, place) in values.iter().zip(place.chunks_exact_mut(4)) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
            } else {
                rows.zip(place.chunks_exact_mut(row_bytes))
                    .for_each(|(row, place)| place.copy_from_slice(row.bytes));
            }
        }
        let shape = [cuts.len(), longest, info.dim].map(|n| n as i64);
        let lengths: Vec<i64> = ranges.iter().map(|(_, rows)| *rows as i64).collect();
        let rows = Tensor::from_data_size(&bytes, &shape, kind);
        Some(StreamBatch { rows, lengths: Tensor::from_slice(&lengths) })
    }

    fn labels(&self, clips: &[usize]) -> Tensor {
        let targets: Vec<&[i64]> = clips.iter().map(|&clip| self.target(clip)).collect();
        let longest = targets.iter().map(|t| t.len()).max().unwrap_or(0);
        let labels = Tensor::full([clips.len() as i64, longest as i64], IGNORE, (Kind::Int64, Device::Cpu));
        for (row, target) in targets.iter().enumerate() {
            labels.get(row as i64).narrow(0, 0, target.len() as i64).copy_(&Tensor::from_slice(target));
        }
        labels
    }
}

/// For each of `n` clips, two at least, another one; each is given once: neighbours in a random circle.
pub fn others(n: usize, seed: u64) -> Vec<usize> {
    let circle = permutation(n, &Random::new("shuffled features", seed));
    let mut others = vec![0; n];
    for place in 0..n {
        others[circle[place]] = circle[(place + 1) % n];
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clip_gets_another_ones_features() {
        let mut others = others(50, 3);
        assert!(others.iter().enumerate().all(|(clip, &other)| clip != other));
        others.sort_unstable();
        assert_eq!(others, (0..50).collect::<Vec<_>>());
    }

    /// All rows of another stream stay where the cap is for the spatial one alone.
    #[test]
    fn the_cap_may_be_for_the_spatial_stream_alone() -> Result<()> {
        use crate::config::TrainConfig;
        use signclip_common::manifest::TextRules;
        use signclip_common::store::{ClipFacts, FORMAT, RowRule, StoreInfo, StoreWriter, StreamInfo};
        let place = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let motion = RowRule { window: 16, stride: 8 };
        let stream = |rows| StreamInfo {
            dim: 1,
            rows,
            encoder: String::new(),
            compute: "f32".to_owned(),
            weights: BTreeMap::new(),
            config: serde_json::Value::Null,
        };
        let streams = [("spatial", RowRule::EACH_FRAME), ("motion", motion)];
        let info = StoreInfo {
            format: FORMAT,
            dataset: "test".to_owned(),
            split: "train".to_owned(),
            language: None,
            text: TextRules::default(),
            dtype: StoreDtype::F32,
            fps: 25.0,
            streams: streams.map(|(name, rows)| (name.to_owned(), stream(rows))).into(),
            config: serde_json::Value::Null,
            tool: String::new(),
        };
        let mut writer = StoreWriter::open(&place.path().join("train"), info, 0)?;
        let mut clip = writer.begin()?;
        clip.append("spatial", &[0.0; 64])?;
        clip.append("motion", &[0.0; 7])?;
        clip.finish("a", 64, ClipFacts { text: Some("ein satz".to_owned()), ..ClipFacts::default() })?;
        for (of, rows) in [(Windowed::All, [20, 1]), (Windowed::Spatial, [20, 7])] {
            let settings = TrainConfig { max_frames: 20, max_frames_of: of, ..TrainConfig::spamo() };
            let corpus = Corpus::open(&[place.path().to_path_buf()], "train", &settings)?;
            let batch = corpus.batch(&[0], Window::Middle)?;
            let lengths = ["spatial", "motion"].map(|name| batch.streams[name].lengths.int64_value(&[0]));
            assert_eq!(lengths, rows, "{of:?}");
        }
        Ok(())
    }
}
