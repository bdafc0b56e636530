//! What decides the features. It is made once, from the flags or from a store (`--like`); networks are built from it, and
//! it is what `store.json` records of the features.

use crate::media::reading::{TARGET_FPS, VideoConfig};
use crate::streams::config::{StreamConfig, StreamName};
use crate::streams::motion::encoder::MotionConfig;
use crate::streams::mouthing::config::MouthingConfig;
use crate::streams::spatial::encoder::SpatialConfig;
use signclip_common::manifest::Dataset;
use signclip_common::store::{FORMAT, StoreDtype, StoreInfo, StreamInfo};
use signclip_common::{Error, Result, devices, json};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind};

/// Everything that decides the features.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Element type of the stored features.
    pub dtype: StoreDtype,
    /// Frames per second of the features.
    pub fps: f64,
    pub streams: BTreeMap<StreamName, StreamRecipe>,
    pub video: VideoConfig,
}

/// How one stream is made.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRecipe {
    pub config: StreamConfig,
    /// Compute type of the encoder.
    pub kind: Kind,
    /// SHA-256 of each weight file by its path below the weights folder, or the salt of computed weights by the network's
    /// name. Filled in by [`Sources::identify`](crate::weights::sources::Sources::identify), which reads the files.
    pub weights: BTreeMap<String, String>,
}

impl Recipe {
    /// The recipe of the store that `file` describes. Errors: it was made by a program that knew other streams or settings.
    pub fn of_store(info: &StoreInfo, file: &Path) -> Result<Self> {
        let other = |field: String, what: String| {
            let remedy = "it was made by another version of this tool: extract the data set again";
            Error::input(file, field, what, remedy)
        };
        let mut streams = BTreeMap::new();
        for (name, stream) in &info.streams {
            let field = format!("streams.{name}");
            if let Some(pattern) = stream.imported() {
                let what = format!("it was imported ({pattern}): how it was made is not known here");
                return Err(Error::input(file, field, what, "name a store that extract made itself"));
            }
            let known = StreamName::ALL.into_iter().find(|known| known.as_str() == name);
            let known =
                known.ok_or_else(|| other(field.clone(), "a stream that is not known here".to_owned()))?;
            let config = StreamConfig::read(known, stream.config.clone())
                .map_err(|e| other(format!("{field}.config"), e.to_string()))?;
            let kind = devices::compute_kind(&stream.compute, Device::Cpu)
                .map_err(|e| other(format!("{field}.compute"), e.to_string()))?;
            streams.insert(known, StreamRecipe { config, kind, weights: stream.weights.clone() });
        }
        if streams.is_empty() {
            return Err(other("streams".to_owned(), "no stream".to_owned()));
        }
        if info.fps != TARGET_FPS {
            let what = format!("{} frames per second, where this version makes {TARGET_FPS}", info.fps);
            return Err(other("fps".to_owned(), what));
        }
        for (name, stream) in &streams {
            if let Some((field, what)) =
                stream.config.unmade(stream.weights.values().any(|sum| StreamInfo::is_computed(sum)))
            {
                return Err(other(format!("streams.{}.config.{field}", name.as_str()), what));
            }
        }
        let video = serde_json::from_value(info.config.clone())
            .map_err(|e| other("config".to_owned(), e.to_string()))?;
        Ok(Self { dtype: info.dtype, fps: info.fps, streams, video })
    }

    /// `store.json` of a split.
    pub fn describe(&self, dataset: &Dataset, split: &str) -> Result<StoreInfo> {
        let mut streams = BTreeMap::new();
        for (name, StreamRecipe { config, kind, weights }) in &self.streams {
            let info = StreamInfo {
                dim: config.dim(),
                rows: config.rows(),
                encoder: config.encoder(),
                compute: devices::kind_name(*kind).to_owned(),
                weights: weights.clone(),
                config: json::value(config)?,
            };
            streams.insert(name.as_str().to_owned(), info);
        }
        Ok(StoreInfo {
            format: FORMAT,
            dataset: dataset.name.clone(),
            split: split.to_owned(),
            language: dataset.language.clone(),
            text: dataset.text,
            dtype: self.dtype,
            fps: self.fps,
            streams,
            config: json::value(&self.video)?,
            tool: format!("signclip extract {}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// Settings and compute type of the spatial stream, where it is made.
    pub fn spatial(&self) -> Option<(&SpatialConfig, Kind)> {
        match self.streams.get(&StreamName::Spatial) {
            Some(StreamRecipe { config: StreamConfig::Spatial(config), kind, .. }) => Some((config, *kind)),
            _ => None,
        }
    }

    /// Settings and compute type of the motion stream, where it is made.
    pub fn motion(&self) -> Option<(&MotionConfig, Kind)> {
        match self.streams.get(&StreamName::Motion) {
            Some(StreamRecipe { config: StreamConfig::Motion(config), kind, .. }) => Some((config, *kind)),
            _ => None,
        }
    }

    /// Settings and compute type of the mouthing stream, where it is made.
    pub fn mouthing(&self) -> Option<(&MouthingConfig, Kind)> {
        match self.streams.get(&StreamName::Mouthing) {
            Some(StreamRecipe { config: StreamConfig::Mouthing(config), kind, .. }) => Some((config, *kind)),
            _ => None,
        }
    }

    /// Bytes that a clip of so many frames takes in the store.
    pub fn bytes(&self, frames: usize) -> u64 {
        let values =
            self.streams.values().map(|stream| stream.config.dim() * stream.config.rows().rows(frames));
        (values.sum::<usize>() * self.dtype.bytes()) as u64
    }

    /// One line for each stream.
    pub fn lines(&self) -> Vec<String> {
        let line = |stream: &StreamRecipe| {
            format!("{}, {}", stream.config.describe(), devices::kind_name(stream.kind))
        };
        self.streams.values().map(line).collect()
    }
}
