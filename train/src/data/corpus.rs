//! Cached features and their sentences, as batches.
//!
//! Shapes: b clips, t frames (padded to the longest of the batch), s and m stream widths, l target tokens.

use crate::config::TrainConfig;
use crate::data::batching::permutation;
use crate::head::config::Streams;
use crate::language::inputs::IGNORE;
use crate::language::text::{Text, prepare};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use signclip_common::devices::upload;
use signclip_common::store::{ClipRecord, MOUTHING, Missing, SPATIAL, Store, StoreDtype};
use signclip_common::synthetic::Random;
use signclip_common::{Error, Result, checksum};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tch::{Device, Kind, Tensor};

/// One split, opened for training or evaluation.
pub struct Corpus {
    pub store: Store,
    /// Prepared sentence of each clip.
    pub texts: Vec<String>,
    /// Target ids of each clip, the end token last.
    targets: Vec<Vec<i64>>,
    streams: Streams,
    max_frames: usize,
    standardise: bool,
    /// Whose features each clip gets: its own, but for the control experiments.
    sources: Vec<usize>,
    /// Whose mouthing the clips of `sources` get.
    mouths: Vec<usize>,
    /// Whether the bytes of a clip have been compared with their checksums.
    verified: Vec<AtomicBool>,
}

/// Padded clips with their targets, on one device.
pub struct Batch {
    /// Places in the corpus.
    pub clips: Vec<usize>,
    /// `[b, t, s]` as stored (float16 or float32), zero at padding.
    pub spatial: Option<Tensor>,
    /// `[b, t, m]`
    pub mouthing: Option<Tensor>,
    /// `[b]` int64.
    pub lengths: Tensor,
    /// `[b, l]` int64, [`IGNORE`] at padding.
    pub labels: Tensor,
    pub frames: usize,
}

impl Batch {
    /// The batch on `device`.
    pub fn to_device(self, device: Device) -> Self {
        let stream = |x: Option<Tensor>| x.map(|x| upload(&x, device));
        Self {
            spatial: stream(self.spatial),
            mouthing: stream(self.mouthing),
            lengths: upload(&self.lengths, device),
            labels: upload(&self.labels, device),
            ..self
        }
    }
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

/// Which part of a clip longer than the cap is taken.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    /// The middle: for validation and evaluation.
    Middle,
    /// A random one, a pure function of (seed, epoch, clip).
    Random { seed: u64, epoch: usize },
}

impl Corpus {
    /// Opens `folder/<split>`. Errors: no store, a stream that is wanted and absent, a clip without text; a control
    /// experiment with a single clip.
    pub fn open(folder: &Path, split: &str, settings: &TrainConfig) -> Result<Self> {
        let mut corpus = Self::without_texts(folder, split, settings)?;
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
    pub fn without_texts(folder: &Path, split: &str, settings: &TrainConfig) -> Result<Self> {
        let streams = settings.head.streams;
        let mut store = Store::open(&folder.join(split))?;
        store.sort_by_id();
        for (wanted, stream) in [(streams.spatial(), SPATIAL), (streams.mouthing(), MOUTHING)] {
            if wanted && !store.info.streams.contains_key(stream) {
                let there: Vec<&str> = store.info.streams.keys().map(String::as_str).collect();
                return Err(Error::input(
                    &store.folder,
                    "streams",
                    format!("the store has no {stream} stream, only {}", there.join(", ")),
                    format!("extract it, or train on what is there: --set head.streams={}", there.join(",")),
                ));
            }
        }
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
            targets: Vec::new(),
            streams,
            max_frames: settings.max_frames,
            standardise: settings.head.standardise,
        })
    }

    /// How many clips are missing in the split. Errors: any, unless that is `allowed`.
    pub fn missing(&self, allowed: bool) -> Result<usize> {
        let stored = self.store.clips.len();
        let missing = Missing::of(&self.store.folder, stored)?;
        if missing.clips == 0 || allowed {
            return Ok(missing.clips);
        }
        let failed = missing.failed.first().map_or(String::new(), |first| {
            format!(", {} of them failed, e.g. {:?}: {}", missing.failed.len(), first.id, first.reason)
        });
        Err(Error::input(
            &self.store.folder,
            "",
            format!("{} of {} clips are missing{failed}", missing.clips, stored + missing.clips),
            "run the same extract again, or do without them: --allow-missing",
        ))
    }

    /// What a run remembers of the split.
    pub fn identity(&self, missing: usize) -> SplitIdentity {
        let line = |(clip, text): (&ClipRecord, &String)| format!("{}\t{}\t{text}\n", clip.id, clip.frames);
        let lines: String = self.store.clips.iter().zip(&self.texts).map(line).collect();
        let used = [(self.streams.spatial(), SPATIAL), (self.streams.mouthing(), MOUTHING)];
        let mut features = String::new();
        for clip in &self.store.clips {
            for (_, stream) in used.iter().filter(|(used, _)| *used) {
                features += clip.streams.get(*stream).map_or("", |rows| &rows.sha256);
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

    /// Columns of a stream; 0 where the store does not have it.
    pub fn dim(&self, stream: &str) -> i64 {
        self.store.info.streams.get(stream).map_or(0, |s| s.dim as i64)
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
        let longest = cuts.iter().map(|(_, _, taken)| *taken).max().unwrap_or(1);
        let stream = |name: &str| self.padded(name, &cuts, longest);
        let lengths: Vec<i64> = cuts.iter().map(|(_, _, taken)| *taken as i64).collect();
        Ok(Batch {
            clips: clips.to_vec(),
            spatial: self.streams.spatial().then(|| stream(SPATIAL)),
            mouthing: self.streams.mouthing().then(|| stream(MOUTHING)),
            lengths: Tensor::from_slice(&lengths),
            labels: self.labels(clips),
            frames: cuts.iter().map(|(_, _, taken)| taken).sum(),
        })
    }

    /// Compare the bytes of a clip with their checksums, the first time that it is read.
    fn verify(&self, clip: usize) -> Result<()> {
        if self.verified[clip].load(Relaxed) {
            return Ok(());
        }
        for (taken, stream) in [(self.streams.spatial(), SPATIAL), (self.streams.mouthing(), MOUTHING)] {
            if taken {
                self.store.verify_clip(clip, stream)?;
            }
        }
        self.verified[clip].store(true, Relaxed);
        Ok(())
    }

    /// Rows of a stream `[b, longest, dim]`, as they are stored or standardised. Another clip's mouthing is stretched or
    /// shrunk to the length of the clip.
    fn padded(&self, stream: &str, cuts: &[(usize, usize, usize)], longest: usize) -> Tensor {
        let dim = self.dim(stream) as usize;
        let kind = match self.store.info.dtype {
            StoreDtype::F16 if !self.standardise => Kind::Half,
            _ => Kind::Float,
        };
        let clip_bytes = longest * dim * kind.elt_size_in_bytes();
        let mut bytes = vec![0_u8; cuts.len() * clip_bytes];
        for (&(clip, first, taken), place) in cuts.iter().zip(bytes.chunks_exact_mut(clip_bytes)) {
            let source = if stream == MOUTHING { self.mouths[clip] } else { clip };
            let Some(features) = self.store.features(source, stream) else { continue };
            let frames = self.store.clips[clip].frames;
            let row = |frame: usize| features.part((first + frame) * features.rows / frames, 1);
            let rows = (0..taken).map(row);
            if self.standardise {
                let mut values: Vec<f32> = rows.flat_map(|row| row.to_f32()).collect();
                standardise(&mut values, dim);
                for (value, place) in values.iter().zip(place.chunks_exact_mut(4)) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
            } else {
                rows.zip(place.chunks_exact_mut(clip_bytes / longest))
                    .for_each(|(row, place)| place.copy_from_slice(row.bytes));
            }
        }
        Tensor::from_data_size(&bytes, &[cuts.len() as i64, longest as i64, dim as i64], kind)
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
fn others(n: usize, seed: u64) -> Vec<usize> {
    let circle = permutation(n, &Random::new("shuffled features", seed));
    let mut others = vec![0; n];
    for place in 0..n {
        others[circle[place]] = circle[(place + 1) % n];
    }
    others
}

/// Give each column of `[t, dim]` mean 0 and deviation 1; a column that does not vary becomes 0.
fn standardise(rows: &mut [f32], dim: usize) {
    let n = (rows.len() / dim) as f64;
    for column in 0..dim {
        let values = || rows.iter().skip(column).step_by(dim).map(|&x| f64::from(x));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let scale = 1.0 / (deviation + 1e-5);
        rows.iter_mut().skip(column).step_by(dim).for_each(|x| *x = ((f64::from(*x) - mean) * scale) as f32);
    }
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

    #[test]
    fn columns_are_standardised_one_by_one() {
        let mut rows = [1.0, 5.0, 3.0, 5.0];
        standardise(&mut rows, 2);
        assert!((rows[0] + 1.0).abs() < 1e-4 && (rows[2] - 1.0).abs() < 1e-4);
        assert_eq!((rows[1], rows[3]), (0.0, 0.0));
    }
}
