//! Official files of the mouthing stream's networks, recognised by the names of their tensors: AV-HuBERT (as
//! pre-trained, or inside a fine-tuned model), RetinaFace, FAN.

use crate::streams::mouthing::faces::retina_face::BodyKind;
use crate::streams::mouthing::lips::config::LipConfig;
use signclip_common::tensor_file::TensorFile;
use signclip_common::torch_file::{Plain, TorchFile};
use signclip_common::{Error, Result};
use std::path::{Path, PathBuf};

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    AvHubert(LipConfig),
    RetinaFace(BodyKind),
    /// `2dfan2` and `2dfan2_alt` differ in their values alone.
    Fan {
        hourglasses: i64,
    },
}

impl Architecture {
    /// The network in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::AvHubert(config) => {
                let (layers, width) = (config.encoder_layers, config.encoder_embed_dim);
                format!("AV-HuBERT of {layers} layers, width {width}, video")
            }
            Self::RetinaFace(BodyKind::MobileNet025) => "RetinaFace with MobileNet-0.25".to_owned(),
            Self::RetinaFace(BodyKind::ResNet50) => "RetinaFace with ResNet-50".to_owned(),
            Self::Fan { hourglasses } => format!("FAN of {hourglasses} hourglasses"),
        }
    }
}

/// Prefix of a converted file's metadata that belongs to this program.
pub const METADATA: &str = "signclip.";

/// A recognised file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub path: PathBuf,
    pub architecture: Architecture,
    /// What stands before the network's own names.
    pub prefix: String,
}

/// A name that only one kind of network has, at its end.
const AV_HUBERT: &str = "feature_extractor_video.resnet.frontend3D.0.weight";
const MOBILE_NET: &str = "body.stage1.0.0.weight";
const RES_NET: &str = "body.layer1.0.conv1.weight";
const FAN: &str = "m0.b1_4.bn1.weight";

impl Checkpoint {
    /// Open and recognise `path`: `.pt`, `.pth`, or what `extract convert` made of one.
    ///
    /// # Errors
    /// What opening a file of weights reports, and a file of another network, with some of its names.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&TensorFile::open(path)?)
    }

    /// Recognise an open file.
    pub fn of(file: &TensorFile) -> Result<Self> {
        let file = match file {
            TensorFile::Torch(file) => return Self::of_torch(file),
            TensorFile::Safetensors(file) => file,
        };
        let names: Vec<&str> = file.names().collect();
        let heads = file.metadata().get(&format!("{METADATA}heads")).and_then(|heads| heads.parse().ok());
        let shape = |name: &str| file.shape(name).map(<[i64]>::to_vec);
        recognise(&file.path, &names, &shape, heads)
    }

    /// Recognise an open PyTorch file.
    pub fn of_torch(file: &TorchFile) -> Result<Self> {
        let names: Vec<&str> = file.names().collect();
        // A fine-tuned file describes the encoder inside in `w2v_args`; its own `model` describes the decoder too.
        let heads = ["cfg.model.w2v_args.model", "cfg.model"].iter().find_map(|place| {
            match file.value(&format!("{place}.encoder_attention_heads")) {
                Some(Plain::Int(heads)) => i64::try_from(heads).ok(),
                _ => None,
            }
        });
        recognise(&file.path, &names, &|name: &str| file.shape(name), heads)
    }

    /// This file's network in a few words.
    pub fn describe(&self) -> String {
        let tuned = if self.prefix.contains("w2v_model") { ", from a fine-tuned model" } else { "" };
        self.architecture.describe() + tuned
    }

    /// The error that this file is not what `wanted` says.
    pub fn mistaken(&self, wanted: &str) -> Error {
        let what = format!("it holds {}, where {wanted} is wanted", self.describe());
        Error::input(
            &self.path,
            "keys",
            what,
            "put the right file there, or ask for the network that it holds",
        )
    }
}

fn recognise(
    path: &Path,
    names: &[&str],
    shape: &dyn Fn(&str) -> Option<Vec<i64>>,
    heads: Option<i64>,
) -> Result<Checkpoint> {
    // Of several places the least deep one: a file may hold a copy of an earlier state.
    let below = |marker: &str| {
        let prefixes = names.iter().filter_map(|name| name.strip_suffix(marker));
        let whole = |prefix: &&str| prefix.is_empty() || prefix.ends_with('.');
        prefixes.filter(whole).min_by_key(|prefix| prefix.len()).map(str::to_owned)
    };
    let found = |architecture, prefix| Ok(Checkpoint { path: path.to_path_buf(), architecture, prefix });
    if let Some(prefix) = below(AV_HUBERT) {
        let config = lip_config(names, &|name: &str| shape(&format!("{prefix}{name}")), &prefix, heads);
        return found(Architecture::AvHubert(config), prefix);
    }
    for (marker, body) in [(MOBILE_NET, BodyKind::MobileNet025), (RES_NET, BodyKind::ResNet50)] {
        // A classifier's ResNet has no pyramid.
        let detector = |prefix: &String| names.contains(&format!("{prefix}fpn.output1.0.weight").as_str());
        if let Some(prefix) = below(marker).filter(detector) {
            return found(Architecture::RetinaFace(body), prefix);
        }
    }
    if let Some(prefix) = below(FAN) {
        let last = |i: &i64| names.contains(&format!("{prefix}l{i}.weight").as_str());
        let hourglasses = (0..).take_while(last).count() as i64;
        return found(Architecture::Fan { hourglasses }, prefix);
    }
    let first = match names.split_at_checked(3) {
        Some((first, _)) => format!("tensors such as {}", first.join(", ")),
        None if names.is_empty() => "no tensor".to_owned(),
        None => format!("only {}", names.join(", ")),
    };
    Err(Error::input(
        path,
        "keys",
        format!("neither AV-HuBERT nor RetinaFace nor FAN; it has {first}"),
        "give one of the official files that docs/weights.md names",
    ))
}

/// Sizes as the shapes tell them. Where some are missing or they contradict each other, loading the network reports
/// it key by key.
fn lip_config(
    names: &[&str],
    shape: &dyn Fn(&str) -> Option<Vec<i64>>,
    prefix: &str,
    heads: Option<i64>,
) -> LipConfig {
    let large = LipConfig::large();
    let size = |name: &str, axis: usize| shape(name).and_then(|shape| shape.get(axis).copied());
    let layers = format!("{prefix}encoder.layers.");
    let numbers = names.iter().filter_map(|name| name.strip_prefix(&layers)?.split('.').next()?.parse().ok());
    // The highest number: where a lower one is missing, its keys are named.
    let encoder_layers = numbers.max().map_or(0, |last: usize| last.min(1000) + 1);
    let width = size("post_extract_proj.weight", 0).filter(|&n| n > 0).unwrap_or(large.encoder_embed_dim);
    let grouped = size("encoder.pos_conv.0.weight_v", 1).filter(|&n| n > 0 && width % n == 0);
    LipConfig {
        encoder_layers,
        encoder_embed_dim: width,
        encoder_ffn_embed_dim: size("encoder.layers.0.fc1.weight", 0).unwrap_or(large.encoder_ffn_embed_dim),
        // Heads leave no trace in the shapes; in both published sizes they are 64 wide.
        encoder_attention_heads: heads.filter(|&h| h > 0 && width % h == 0).unwrap_or((width / 64).max(1)),
        conv_pos: size("encoder.pos_conv.0.weight_v", 2).unwrap_or(large.conv_pos),
        conv_pos_groups: grouped.map_or(large.conv_pos_groups, |n| (width / n).max(1)),
        resnet_width: size(AV_HUBERT, 0).unwrap_or(large.resnet_width),
    }
}
