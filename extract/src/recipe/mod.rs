//! From the command line to networks: which ones, their weights, compute type, and what the store records of them.

use crate::cli::args::{Detector, FanModel, Preset, RunArgs, StoreType, Stream};
use crate::streams::mouthing::faces::retina_face::{RetinaFace, RetinaFaceConfig, THRESHOLD};
use crate::streams::mouthing::face_points::LandmarkSource;
use crate::streams::mouthing::landmarks::fan::{Fan, FanConfig};
use crate::streams::mouthing::lips::{LipConfig, LipEncoder};
use crate::run::networks::Networks;
use crate::run::plan::{Plan, TARGET_FPS};
use crate::streams::spatial::clip_vision::ClipVisionConfig;
use crate::streams::spatial::{SpatialConfig, SpatialEncoder};
use crate::recipe::weight_files::{WeightFiles, WeightSource};
use serde::{Deserialize, Serialize};
use signclip_common::store::{FORMAT, MOUTHING, SPATIAL, StoreDtype, StoreInfo, StreamInfo};
use signclip_common::{Error, Result, devices, memory};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tch::{Device, Kind};

/// Everything that decides the features, settled before any clip is touched.
#[derive(Debug, Clone)]
pub struct Settings {
    pub spatial: Option<SpatialConfig>,
    pub mouthing: Option<MouthingConfig>,
    pub store_dtype: StoreDtype,
    /// Folder of landmark files.
    pub landmarks: Option<PathBuf>,
    /// A clip in which no face is found fails, instead of getting zeros.
    pub require_face: bool,
    kind: Kind,
    sources: Sources,
}

/// How the mouthing stream is made; part of the store's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MouthingConfig {
    pub landmarks: LandmarkSource,
    /// Absent with landmarks from files, as are the next two.
    pub detector: Option<RetinaFaceConfig>,
    /// Score from which on a box is a face.
    pub threshold: Option<f32>,
    /// A face is looked for in every so many frames.
    pub detect_every: Option<usize>,
    pub fan: Option<FanConfig>,
    pub lips: LipConfig,
    /// Layer whose output is taken, counted from 1; absent: the last one after the final layer norm.
    pub layer: Option<usize>,
    /// Seconds: frames of a longer gap between faces have rows of zeros; absent: all gaps are interpolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_gap: Option<f64>,
}

/// Weights of the networks that these settings need.
#[derive(Debug, Clone, Default)]
struct Sources {
    clip: Option<WeightSource>,
    detector: Option<WeightSource>,
    fan: Option<WeightSource>,
    lips: Option<WeightSource>,
}

impl Settings {
    /// Settle what the command line says for pictures that are squashed to this size first, or not. Errors: an unknown
    /// compute type; every weight file that is missing or another network's.
    pub fn new(args: &RunArgs, squash: Option<(usize, usize)>, device: Device) -> Result<Self, Vec<Error>> {
        let mut problems = Vec::new();
        let kind = match args.preset {
            // Too small for bf16 to pay, and the same features everywhere.
            Preset::Tiny if args.dtype == "auto" => Ok(Kind::Float),
            _ => devices::compute_kind(&args.dtype, device),
        };
        let kind = kind.map_err(|e| problems.push(e)).unwrap_or(Kind::Float);
        let files = match WeightFiles::new(args) {
            Ok(files) => files,
            Err(error) => return Err(problems.into_iter().chain([error]).collect()),
        };
        let mut sources = Sources::default();
        let spatial = args.streams.contains(&Stream::Spatial).then(|| {
            sources.clip = files.clip().map_err(|e| problems.push(e)).ok();
            SpatialConfig { tower: tower(args.preset), s2_source: args.s2_source, squash }
        });
        let mouthing = args.streams.contains(&Stream::Mouthing).then(|| {
            let landmarks = landmark_source(args);
            let detector = (landmarks != LandmarkSource::Files).then(|| detector(args));
            let fan = (landmarks == LandmarkSource::Fan).then_some(args.fan);
            let mut find = |source: Result<WeightSource>| source.map_err(|e| problems.push(e)).ok();
            sources.detector = detector.and_then(|d| find(files.detector(d)));
            sources.fan = fan.and_then(|fan| find(files.fan(fan)));
            let lips = files.lips(&args.lip_encoder).map_err(|e| problems.push(e)).ok();
            let (lip_source, lips) = lips.unzip();
            sources.lips = lip_source;
            MouthingConfig {
                landmarks,
                detector: detector.map(Detector::config),
                threshold: detector.map(|_| THRESHOLD),
                detect_every: detector.map(|_| args.detect_every.get()),
                fan: fan.map(FanModel::config),
                lips: lips.unwrap_or_else(LipConfig::large),
                layer: args.lip_layer,
                max_gap: args.max_gap,
            }
        });
        if let Err(error) = check_landmarks(args) {
            problems.push(error);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            spatial,
            mouthing,
            store_dtype: store_dtype(args),
            landmarks: args.landmarks.clone(),
            require_face: args.require_face,
            kind,
            sources,
        })
    }

    /// The networks of every entry of `devices`; entries of the same device share them.
    pub fn all_networks(&self, devices: &[Device]) -> Result<Vec<Arc<Networks>>> {
        let mut all: Vec<Arc<Networks>> = Vec::with_capacity(devices.len());
        for (i, &device) in devices.iter().enumerate() {
            let networks = match devices[..i].iter().position(|&other| other == device) {
                Some(same) => all[same].clone(),
                None => Arc::new(self.networks(device)?),
            };
            all.push(networks);
        }
        memory::keep();
        Ok(all)
    }

    /// Load the networks onto a device. Faces are found in float32 whatever the compute type of the encoders, as their
    /// places are pixels.
    fn networks(&self, device: Device) -> Result<Networks> {
        let mut networks = Networks { device: Some(device), ..Networks::default() };
        if let (Some(config), Some(source)) = (&self.spatial, &self.sources.clip) {
            networks.spatial = Some(SpatialEncoder::load(&source.on(device, self.kind), config, device)?);
        }
        let Some(config) = &self.mouthing else { return Ok(networks) };
        if let (Some(config), Some(source)) = (&config.detector, &self.sources.detector) {
            let weights = source.on(device, Kind::Float);
            networks.detector = Some(weights.build(&[], |root| RetinaFace::new(root, config))?);
        }
        if let (Some(config), Some(source)) = (&config.fan, &self.sources.fan) {
            let weights = source.on(device, Kind::Float);
            networks.fan = Some(weights.build(&[], |root| Fan::new(root, config))?);
        }
        if let Some(source) = &self.sources.lips {
            let encoder = LipEncoder::load(&source.on(device, self.kind), &config.lips)?;
            networks.lips = Some(encoder.at_layer(config.layer)?);
        }
        Ok(networks)
    }

    /// `store.json` of a split. `weights` is what [`Self::weight_sums`] returned.
    pub fn store_info(&self, plan: &Plan, split: &str, weights: &WeightSums) -> StoreInfo {
        let dataset = &plan.dataset;
        let mut streams = BTreeMap::new();
        let compute = devices::kind_name(self.kind).to_owned();
        if let Some(spatial) = &self.spatial {
            let info = StreamInfo {
                dim: spatial.dim(),
                encoder: format!("CLIP vision tower, {} layers, with S2", spatial.tower.num_hidden_layers),
                compute: compute.clone(),
                weights: weights.spatial.clone(),
                config: serde_json::to_value(spatial).unwrap_or_default(),
            };
            streams.insert(SPATIAL.to_owned(), info);
        }
        if let Some(mouthing) = &self.mouthing {
            let info = StreamInfo {
                dim: mouthing.lips.encoder_embed_dim as usize,
                encoder: format!("AV-HuBERT, {} layers, video only", mouthing.lips.encoder_layers),
                compute,
                weights: weights.mouthing.clone(),
                config: serde_json::to_value(mouthing).unwrap_or_default(),
            };
            streams.insert(MOUTHING.to_owned(), info);
        }
        StoreInfo {
            format: FORMAT,
            dataset: dataset.name.clone(),
            split: split.to_owned(),
            language: dataset.language.clone(),
            text: dataset.text,
            dtype: self.store_dtype,
            fps: TARGET_FPS,
            streams,
            config: plan.reading.config(),
            tool: format!("signclip extract {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Identity of all weights. Reads every file once for its checksum.
    pub fn weight_sums(&self) -> Result<WeightSums> {
        let Sources { clip, detector, fan, lips } = &self.sources;
        let sums = |networks: &[(&str, &Option<WeightSource>)]| -> Result<BTreeMap<String, String>> {
            let named = networks.iter().filter_map(|(name, source)| Some((name, source.as_ref()?)));
            named.map(|(name, source)| source.identity(name)).collect()
        };
        Ok(WeightSums {
            spatial: sums(&[("CLIP", clip)])?,
            mouthing: sums(&[("RetinaFace", detector), ("FAN", fan), ("AV-HuBERT", lips)])?,
        })
    }

    /// Compute type of the encoders.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What a user must know about these settings before trusting the features.
    pub fn warning(&self) -> Option<String> {
        let computed: Vec<&str> =
            self.named_sources().filter(|(_, source)| source.is_computed()).map(|(name, _)| name).collect();
        (!computed.is_empty()).then(|| {
            format!("UNTRAINED, with computed weights, for tests and timing only: {}", computed.join(", "))
        })
    }

    /// One line for each network.
    pub fn describe(&self) -> Vec<String> {
        let kind = devices::kind_name(self.kind);
        let mut lines = Vec::new();
        if let Some(spatial) = &self.spatial {
            let t = &spatial.tower;
            lines.push(format!(
                "gesture: CLIP vision tower ({} layers, width {}, {}x{} images) with S2, {kind}",
                t.num_hidden_layers, t.hidden_size, t.image_size, t.image_size,
            ));
        }
        if let Some(mouthing) = &self.mouthing {
            let (layers, width) = (mouthing.lips.encoder_layers, mouthing.lips.encoder_embed_dim);
            lines.push(format!("mouthing: AV-HuBERT ({layers} layers, width {width}), {kind}"));
        }
        lines.extend(self.named_sources().map(|(name, source)| format!("{name} from {}", source.describe())));
        if let Some(folder) = &self.landmarks {
            lines.push(format!("landmarks from {}", folder.display()));
        }
        lines
    }

    fn named_sources(&self) -> impl Iterator<Item = (&'static str, &WeightSource)> {
        let Sources { clip, detector, fan, lips } = &self.sources;
        let named = [("CLIP", clip), ("RetinaFace", detector), ("FAN", fan), ("AV-HuBERT", lips)];
        named.into_iter().filter_map(|(name, source)| Some((name, source.as_ref()?)))
    }
}

/// Identity of the weights by stream, as the store records it.
#[derive(Default)]
pub struct WeightSums {
    spatial: BTreeMap<String, String>,
    mouthing: BTreeMap<String, String>,
}

/// Element type of the store that the command line asks for.
fn store_dtype(args: &RunArgs) -> StoreDtype {
    match args.store_dtype {
        StoreType::F16 => StoreDtype::F16,
        StoreType::F32 => StoreDtype::F32,
    }
}

/// Bytes a frame takes in the store that the command line asks for.
pub fn row_bytes(args: &RunArgs) -> usize {
    let spatial = 2 * tower(args.preset).hidden_size as usize;
    let lips = match (args.preset, args.lip_encoder.as_str()) {
        (Preset::Tiny, _) => LipConfig::tiny(),
        (_, "base") => LipConfig::base(),
        (_, "large") => LipConfig::large(),
        // A plan does not fail for want of weights.
        _ => WeightFiles::new(args)
            .and_then(|files| files.lips(&args.lip_encoder))
            .map_or_else(|_| LipConfig::large(), |(_, config)| config),
    };
    let columns = args.streams.iter().map(|stream| match stream {
        Stream::Spatial => spatial,
        Stream::Mouthing => lips.encoder_embed_dim as usize,
    });
    columns.sum::<usize>() * store_dtype(args).bytes()
}

fn tower(preset: Preset) -> ClipVisionConfig {
    match preset {
        Preset::Paper | Preset::Synthetic => ClipVisionConfig::vit_large_patch14(),
        Preset::Tiny => ClipVisionConfig::tiny(),
    }
}

/// Where landmarks come from; by what else is given, where no flag says it. Preset tiny does without the landmark network,
/// which has no small form.
pub fn landmark_source(args: &RunArgs) -> LandmarkSource {
    let default = match (&args.landmarks, args.preset) {
        (Some(_), _) => LandmarkSource::Files,
        (None, Preset::Tiny) => LandmarkSource::Retinaface5,
        (None, _) => LandmarkSource::Fan,
    };
    args.landmark_source.unwrap_or(default)
}

fn detector(args: &RunArgs) -> Detector {
    let default = if args.preset == Preset::Tiny { Detector::Mobilenet025 } else { Detector::Resnet50 };
    args.detector.unwrap_or(default)
}

fn check_landmarks(args: &RunArgs) -> Result<()> {
    match (&args.landmarks, landmark_source(args)) {
        (None, LandmarkSource::Files) => {
            let what =
                "--landmark-source files: the mouth is cut by landmarks from files, and no folder is named";
            Err(Error::usage(what, "add --landmarks DIR, with DIR/CLIP.npy"))
        }
        (Some(_), LandmarkSource::Fan | LandmarkSource::Retinaface5) => {
            let what = "--landmarks names files, --landmark-source a network";
            Err(Error::usage(what, "give one of the two"))
        }
        (Some(folder), LandmarkSource::Files) if !folder.is_dir() => Err(Error::input(
            folder,
            "",
            "no such folder",
            "give the folder of landmark files to --landmarks",
        )),
        _ => Ok(()),
    }
}
