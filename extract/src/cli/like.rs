//! `--like STORE`: features of other clips, made exactly as those of a store that is there.
//!
//! The store's description is turned back into a command line. Whatever cannot be turned back, or is not there any more
//! (weights, above all), shows as a difference between the store and what would be made, and is refused by its name.

use crate::cli::args::{Detector, FanModel, Preset, RunArgs, StoreType, Stream};
use crate::streams::mouthing::lips::LipConfig;
use crate::media::frame_reader::Reading;
use crate::recipe::MouthingConfig;
use crate::streams::spatial::SpatialConfig;
use crate::streams::spatial::clip_vision::ClipVisionConfig;
use serde::de::DeserializeOwned;
use signclip_common::manifest::Dataset;
use signclip_common::store::{MOUTHING, SPATIAL, STORE_FILE, StoreDtype, StoreInfo};
use signclip_common::{Error, Result, difference};
use std::path::{Path, PathBuf};

/// A store to be like.
pub struct Like {
    info: StoreInfo,
    file: PathBuf,
}

impl Like {
    /// Read the description of `folder`: a split's, or that of a data set, whose splits are all made alike.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut folders = vec![folder.to_path_buf()];
        if !folder.join(STORE_FILE).is_file() {
            let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
            let below = entries.flatten().map(|entry| entry.path());
            folders.extend(below.filter(|split| split.join(STORE_FILE).is_file()));
            folders[1..].sort();
        }
        let found = folders.get(1).unwrap_or(&folders[0]);
        Ok(Self { info: StoreInfo::read(found)?, file: found.join(STORE_FILE) })
    }

    /// Set what the command line leaves to the store.
    pub fn lay_over(&self, args: &mut RunArgs) -> Result<()> {
        let spatial: Option<SpatialConfig> = self.config(SPATIAL)?;
        let mouthing: Option<MouthingConfig> = self.config(MOUTHING)?;
        let weights = || self.info.streams.values().flat_map(|stream| &stream.weights);
        let salt =
            weights().find_map(|(_, value)| u64::from_str_radix(value.strip_prefix("salt 0x")?, 16).ok());
        let tiny = spatial.as_ref().is_some_and(|spatial| spatial.tower == ClipVisionConfig::tiny())
            || mouthing.as_ref().is_some_and(|mouthing| mouthing.lips == LipConfig::tiny());
        args.preset = match salt {
            _ if tiny => Preset::Tiny,
            Some(_) => Preset::Synthetic,
            None => Preset::Paper,
        };
        args.salt = salt.unwrap_or(0);
        args.store_dtype = match self.info.dtype {
            StoreDtype::F16 => StoreType::F16,
            StoreDtype::F32 => StoreType::F32,
        };
        if let Some(stream) = self.info.streams.values().next() {
            args.dtype.clone_from(&stream.compute);
        }
        (args.video_stream, args.deinterlace) = Reading::of_config(&self.info.config);
        args.streams.clear();
        if let Some(spatial) = spatial {
            args.streams.push(Stream::Spatial);
            args.s2_source = spatial.s2_source;
        }
        if let Some(mouthing) = mouthing {
            args.streams.push(Stream::Mouthing);
            args.landmark_source = Some(mouthing.landmarks);
            let detectors = [Detector::Resnet50, Detector::Mobilenet025];
            args.detector = detectors.into_iter().find(|d| mouthing.detector.as_ref() == Some(&d.config()));
            args.detect_every =
                mouthing.detect_every.and_then(|every| every.try_into().ok()).unwrap_or(args.detect_every);
            // Two of the three have the same sizes: the name of the file tells them apart.
            let fans = [FanModel::TwoHourglassesAlt, FanModel::TwoHourglasses, FanModel::FourHourglasses];
            let named =
                |fan: &FanModel| weights().any(|(name, _)| *name == format!("fan/{}.pth", fan.name()));
            let sized = |fan: &FanModel| mouthing.fan.as_ref() == Some(&fan.config());
            let fan = fans.into_iter().find(named).or_else(|| fans.into_iter().find(sized));
            args.fan = fan.unwrap_or(args.fan);
            args.lip_layer = mouthing.layer;
            args.max_gap = mouthing.max_gap;
            // Another AV-HuBERT is a file whose place the store does not know: it has to be named again.
            if mouthing.lips == LipConfig::base() && args.lip_encoder == "large" {
                args.lip_encoder = "base".to_owned();
            }
        }
        Ok(())
    }

    /// Set what the store took from its data set: how sentences are prepared, and pictures before all else.
    pub fn lay_over_dataset(&self, dataset: &mut Dataset) -> Result<()> {
        let spatial: Option<SpatialConfig> = self.config(SPATIAL)?;
        dataset.spatial_squash = spatial.and_then(|spatial| spatial.squash);
        dataset.text = self.info.text;
        dataset.language = dataset.language.take().or_else(|| self.info.language.clone());
        Ok(())
    }

    /// Refuse features that would not be like those of the store; names the first difference.
    pub fn check(&self, made: &StoreInfo) -> Result<()> {
        difference::first(&self.info.making(), &made.making()).map_or(Ok(()), |(field, there, here)| {
            let what = format!("the store has {there}, here it would be {here}");
            let remedy = "give the weights that the store was made with (--weights DIR, and --lip-encoder FILE where it \
                          had one), or extract the data set again with these";
            Err(Error::input(&self.file, field, what, remedy))
        })
    }

    fn config<T: DeserializeOwned>(&self, stream: &str) -> Result<Option<T>> {
        let stream_info = self.info.streams.get(stream);
        stream_info.map(|info| serde_json::from_value(info.config.clone())).transpose().map_err(|e| {
            let remedy = "it was made by another version of this tool: extract the data set again";
            Error::input(&self.file, format!("streams.{stream}.config"), e.to_string(), remedy)
        })
    }
}
