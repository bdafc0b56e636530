//! The flags that decide the features, and the recipe that they make.

use crate::media::reading::{Resampling, TARGET_FPS, VideoConfig};
use crate::recipe::{Recipe, StreamRecipe};
use crate::streams::config::{Network, StreamConfig, StreamName};
use crate::streams::motion::encoder::{MotionConfig, STRIDE};
use crate::streams::motion::video_mae::VideoMaeConfig;
use crate::streams::mouthing::config::{FaceDtype, LandmarkSource, MouthingConfig};
use crate::streams::mouthing::faces::retina_face::{RetinaFaceConfig, THRESHOLD};
use crate::streams::mouthing::landmarks::fan::FanConfig;
use crate::streams::mouthing::lips::config::LipConfig;
use crate::streams::spatial::clip_vision::ClipVisionConfig;
use crate::streams::spatial::encoder::SpatialConfig;
use crate::streams::spatial::s2::S2Source;
use crate::weights::checkpoint::{Architecture, Checkpoint};
use crate::weights::sources::Wanted;
use clap::{Args, ValueEnum};
use signclip_common::store::StoreDtype;
use signclip_common::tensor_file::TensorFile;
use signclip_common::{Error, Result, devices};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind};

/// CLIP's file below the weights folder.
const CLIP_FILE: &str = "clip-vit-large-patch14/model.safetensors";

/// VideoMAE's file below the weights folder.
const VIDEO_MAE_FILE: &str = "videomae-large/model.safetensors";

/// Which networks, with which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The paper's, from their official files.
    Paper,
    /// The paper's networks, untrained where a file is missing: for timing and tests.
    Synthetic,
    /// Small untrained encoders, and the small face detector (trained where its file is there): for trying the programs
    /// out.
    Tiny,
}

/// The face detector's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Detector {
    #[value(name = "resnet50")]
    Resnet50,
    #[value(name = "mobilenet0.25")]
    Mobilenet025,
}

impl Detector {
    pub fn config(self) -> RetinaFaceConfig {
        match self {
            Self::Resnet50 => RetinaFaceConfig::resnet50(),
            Self::Mobilenet025 => RetinaFaceConfig::mobilenet025(),
        }
    }

    /// Its file below the weights folder.
    fn file(self) -> &'static str {
        match self {
            Self::Resnet50 => "retinaface/Resnet50_Final.pth",
            Self::Mobilenet025 => "retinaface/mobilenet0.25_Final.pth",
        }
    }
}

/// The landmark network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FanModel {
    #[value(name = "2dfan2")]
    TwoHourglasses,
    #[value(name = "2dfan2_alt")]
    TwoHourglassesAlt,
    #[value(name = "2dfan4")]
    FourHourglasses,
}

impl FanModel {
    pub fn config(self) -> FanConfig {
        match self {
            Self::TwoHourglasses | Self::TwoHourglassesAlt => FanConfig::two_hourglasses(),
            Self::FourHourglasses => FanConfig::four_hourglasses(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::TwoHourglasses => "2dfan2",
            Self::TwoHourglassesAlt => "2dfan2_alt",
            Self::FourHourglasses => "2dfan4",
        }
    }
}

/// Element type of the stored features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreType {
    F16,
    F32,
}

/// Where inputs are. What is there counts, not where.
#[derive(Debug, Default, Args)]
pub struct InputFlags {
    /// Folder with the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Folder with landmarks made elsewhere: DIR/CLIP.npy or DIR/SPLIT/CLIP.npy, [frames, 68, 2] in pixels, NaN where
    /// there is no face; or CLIP.pkl as AV-HuBERT's preparation writes it. One row for each frame of the video, or for
    /// each at 25 a second
    #[arg(long, value_name = "DIR")]
    pub landmarks: Option<PathBuf>,
    /// Lip encoder: large, base, or an AV-HuBERT file [default: large]
    #[arg(long, value_name = "NAME|FILE")]
    pub lip_encoder: Option<String>,
}

/// What decides the features. `--like STORE` takes all of it from a store.
#[derive(Debug, Args)]
pub struct RecipeFlags {
    /// Which networks, with which weights
    #[arg(long, value_enum, default_value = "paper")]
    pub preset: Preset,
    /// Salt of computed weights (presets synthetic and tiny)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub salt: u64,
    /// Which streams are made
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "spatial,mouthing")]
    pub streams: Vec<StreamName>,
    /// Where S² takes its double-size image from
    #[arg(long, value_enum, default_value = "upsampled")]
    pub s2_source: S2Source,
    /// Which video stream of files with several, counted from 0 without sound and cover pictures [default: the first]
    #[arg(long, value_name = "N")]
    pub video_stream: Option<usize>,
    /// Deinterlace: keep the rows of the first field, fill the others with the mean of their neighbours
    #[arg(long)]
    pub deinterlace: bool,
    /// Where the points come from that the mouth is aligned by [default: fan; files with --landmarks; retinaface5 with
    /// preset tiny]
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub landmark_source: Option<LandmarkSource>,
    /// Face detector [default: resnet50; mobilenet0.25 with preset tiny]
    #[arg(long, value_enum, value_name = "NAME")]
    pub detector: Option<Detector>,
    /// Landmark network
    #[arg(long, value_enum, value_name = "NAME", default_value = "2dfan2_alt")]
    pub fan: FanModel,
    /// Look for faces in every K-th frame, and follow the landmarks (fan) or interpolate (retinaface5) in between
    #[arg(long, value_name = "K", default_value = "1")]
    pub detect_every: NonZero<usize>,
    /// Take the output of this layer of the lip encoder, counted from 1 [default: the last, after the final layer norm]
    #[arg(long, value_name = "N")]
    pub lip_layer: Option<usize>,
    /// Frames in which no face is found for longer than this get rows of zeros in the mouthing stream, as a clip without any
    /// face does [default: their mouths are interpolated, however long]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub max_gap: Option<f64>,
    /// Compute type of the encoders: f32, bf16, or auto (bf16 on GPUs and on CPUs that multiply it natively)
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub dtype: String,
    /// Compute type of the face detector and the landmark network: f32, or f16, which is for GPUs. It moved boxes of
    /// the small detector by up to 0.07 pixels; the others were not checked (docs/gpu.md)
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub face_dtype: FaceDtype,
    /// Element type of the stored features
    #[arg(long, value_enum, default_value = "f16")]
    pub store_dtype: StoreType,
}

impl InputFlags {
    /// Whether landmarks are given where the recipe, that of the store `like` or of the flags, takes them from files, and
    /// nowhere else.
    pub fn check_landmarks(&self, recipe: &Recipe, like: Option<&Path>) -> Result<()> {
        match (&self.landmarks, recipe.mouthing().map(|(config, _)| config.landmarks)) {
            (None, Some(LandmarkSource::Files)) => {
                let what = "--landmark-source files: the mouth is cut by landmarks from files, and no folder is named";
                Err(Error::usage(what, "add --landmarks DIR, with DIR/CLIP.npy"))
            }
            (Some(_), Some(LandmarkSource::Fan | LandmarkSource::Retinaface5)) => Err(match like {
                Some(store) => {
                    let what = format!("--landmarks: a network found the landmarks of {}", store.display());
                    Error::usage(what, "leave it out, the same network finds these")
                }
                None => {
                    let what = "--landmarks names files, --landmark-source a network";
                    Error::usage(what, "give one of the two")
                }
            }),
            (Some(folder), _) if !folder.is_dir() => Err(Error::input(
                folder,
                "",
                "no such folder",
                "give the folder of landmark files to --landmarks",
            )),
            _ => Ok(()),
        }
    }
}

impl RecipeFlags {
    /// The recipe for a device, and which weights it wants. `squash`: frame size of the data set, if it prescribes one.
    /// Errors: an unknown compute type; a lip encoder that cannot be read.
    pub fn recipe(
        &self,
        inputs: &InputFlags,
        squash: Option<(usize, usize)>,
        device: Device,
    ) -> Result<(Recipe, BTreeMap<Network, Wanted>), Vec<Error>> {
        let mut problems = Vec::new();
        let kind = self.kind(device).map_err(|e| problems.push(e)).unwrap_or(Kind::Float);
        let (mut streams, mut wanted) = (BTreeMap::new(), BTreeMap::new());
        for name in &self.streams {
            let config = match name {
                StreamName::Spatial => Ok(self.spatial(squash, &mut wanted)),
                StreamName::Motion => Ok(self.motion(squash, &mut wanted)),
                StreamName::Mouthing => self.mouthing(inputs, &mut wanted),
            };
            match config {
                Ok(config) => {
                    _ = streams.insert(*name, StreamRecipe { config, kind, weights: BTreeMap::new() })
                }
                Err(error) => problems.push(error),
            }
        }
        let dtype = match self.store_dtype {
            StoreType::F16 => StoreDtype::F16,
            StoreType::F32 => StoreDtype::F32,
        };
        match problems.is_empty() {
            true => Ok((Recipe { dtype, fps: TARGET_FPS, streams, video: self.video() }, wanted)),
            false => Err(problems),
        }
    }

    /// How videos become frames.
    pub fn video(&self) -> VideoConfig {
        let (video_stream, deinterlace) = (self.video_stream, self.deinterlace);
        VideoConfig { resampling: Resampling::Nearest, video_stream, deinterlace }
    }

    fn kind(&self, device: Device) -> Result<Kind> {
        match self.preset {
            // Too small for bf16 to pay, and the same features everywhere.
            Preset::Tiny if self.dtype == "auto" => Ok(Kind::Float),
            _ => devices::compute_kind(&self.dtype, device),
        }
    }

    fn spatial(
        &self,
        squash: Option<(usize, usize)>,
        wanted: &mut BTreeMap<Network, Wanted>,
    ) -> StreamConfig {
        let (tower, source) = match self.preset {
            // The small tower has no file.
            Preset::Tiny => (ClipVisionConfig::tiny(), Wanted::Computed(self.salt)),
            Preset::Paper | Preset::Synthetic => {
                (ClipVisionConfig::vit_large_patch14(), self.official(CLIP_FILE))
            }
        };
        wanted.insert(Network::Clip, source);
        StreamConfig::Spatial(SpatialConfig { tower, s2_source: self.s2_source, squash })
    }

    fn motion(&self, squash: Option<(usize, usize)>, wanted: &mut BTreeMap<Network, Wanted>) -> StreamConfig {
        let (network, source) = match self.preset {
            // The small network has no file.
            Preset::Tiny => (VideoMaeConfig::tiny(), Wanted::Computed(self.salt)),
            Preset::Paper | Preset::Synthetic => (VideoMaeConfig::large(), self.official(VIDEO_MAE_FILE)),
        };
        wanted.insert(Network::VideoMae, source);
        StreamConfig::Motion(MotionConfig { network, stride: STRIDE, squash })
    }

    fn mouthing(&self, inputs: &InputFlags, wanted: &mut BTreeMap<Network, Wanted>) -> Result<StreamConfig> {
        let landmarks = self.landmarks(inputs);
        let detector = (landmarks != LandmarkSource::Files).then(|| self.detector());
        let fan = (landmarks == LandmarkSource::Fan).then_some(self.fan);
        if let Some(detector) = detector {
            wanted.insert(Network::RetinaFace, self.official(detector.file()));
        }
        if let Some(fan) = fan {
            wanted.insert(Network::Fan, self.official(&format!("fan/{}.pth", fan.name())));
        }
        let (lips, source) = self.lips(inputs.lip_encoder.as_deref())?;
        wanted.insert(Network::AvHubert, source);
        Ok(StreamConfig::Mouthing(MouthingConfig {
            landmarks,
            detector: detector.map(Detector::config),
            threshold: detector.map(|_| THRESHOLD),
            detect_every: detector.map(|_| self.detect_every.get()),
            fan: fan.map(FanModel::config),
            face_dtype: if detector.is_some() { self.face_dtype } else { FaceDtype::F32 },
            lips,
            layer: self.lip_layer,
            max_gap: self.max_gap,
        }))
    }

    fn lips(&self, which: Option<&str>) -> Result<(LipConfig, Wanted)> {
        if self.preset == Preset::Tiny {
            return match which {
                None | Some("large") => Ok((LipConfig::tiny(), Wanted::Computed(self.salt))),
                Some(which) => {
                    let what =
                        format!("--lip-encoder {which}: preset tiny has a small lip encoder of its own");
                    Err(Error::usage(what, "leave it out, or take another preset"))
                }
            };
        }
        let which = which.unwrap_or("large");
        if let Some((config, file)) = published_lips(which) {
            return Ok((config, self.official(file)));
        }
        let file = own_lips(which)?;
        let checkpoint = Checkpoint::of(&file)?;
        match &checkpoint.architecture {
            Architecture::AvHubert(config) => Ok((config.clone(), Wanted::Own(file))),
            _ => Err(checkpoint.mistaken("AV-HuBERT")),
        }
    }

    /// An official file: it has to be there with preset paper, and is computed where it is not with the others.
    fn official(&self, file: &str) -> Wanted {
        Wanted::Official(file.to_owned(), (self.preset != Preset::Paper).then_some(self.salt))
    }

    /// Where landmarks come from; by what else is given, where no flag says it. Preset tiny does without the landmark
    /// network, which has no small form.
    pub fn landmarks(&self, inputs: &InputFlags) -> LandmarkSource {
        let default = match (&inputs.landmarks, self.preset) {
            (Some(_), _) => LandmarkSource::Files,
            (None, Preset::Tiny) => LandmarkSource::Retinaface5,
            (None, _) => LandmarkSource::Fan,
        };
        self.landmark_source.unwrap_or(default)
    }

    fn detector(&self) -> Detector {
        let default = if self.preset == Preset::Tiny { Detector::Mobilenet025 } else { Detector::Resnet50 };
        self.detector.unwrap_or(default)
    }
}

/// Sizes of a published lip encoder, and its file below the weights folder.
pub fn published_lips(which: &str) -> Option<(LipConfig, &'static str)> {
    match which {
        "large" => Some((LipConfig::large(), "av-hubert/large_vox_iter5.pt")),
        "base" => Some((LipConfig::base(), "av-hubert/base_vox_iter5.pt")),
        _ => None,
    }
}

/// A lip encoder's own file.
pub fn own_lips(file: &str) -> Result<Arc<TensorFile>> {
    let path = Path::new(file);
    match path.exists() {
        true => Ok(Arc::new(TensorFile::open(path)?)),
        false => {
            let what = format!("--lip-encoder {file:?}: neither a published size nor a file");
            Err(Error::usage(what, "give large, base, or an AV-HuBERT file"))
        }
    }
}

/// A length of time.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let valid = seconds.is_finite() && seconds >= 0.0;
    valid.then_some(seconds).ok_or_else(|| "give 0 or more seconds".to_owned())
}
