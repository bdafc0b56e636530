//! Which file each frozen network is loaded from.

use crate::cli::args::{Detector, FanModel, Preset, RunArgs};
use crate::recipe::checkpoint::{Architecture, Checkpoint, METADATA};
use crate::streams::mouthing::faces::retina_face::BodyKind;
use crate::streams::mouthing::lips::LipConfig;
use crate::places;
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, checksum, tensor_file};
use std::path::{Path, PathBuf};
use tch::{Device, Kind};

/// CLIP's file below the weights folder.
const CLIP_FILE: &str = "clip-vit-large-patch14/model.safetensors";

/// Where the weights of one network come from.
#[derive(Debug, Clone)]
pub enum WeightSource {
    /// A file, its name for the store, and what stands before the network's names in it.
    File { path: PathBuf, name: String, prefix: String },
    /// Computed from the tensors' names with this salt.
    Computed(u64),
}

impl WeightSource {
    pub fn open(&self, device: Device, kind: Kind) -> Result<Weights> {
        match self {
            Self::File { path, prefix, .. } => Ok(Weights::open(path, device, kind)?.below(prefix)),
            Self::Computed(salt) => Ok(Weights::synthetic(*salt, device, kind)),
        }
    }

    /// What the store records of them: the official file and its SHA-256, or the salt. A converted file counts as the
    /// one it was made of, so that a store goes on after a conversion.
    pub fn identity(&self, network: &str) -> Result<(String, String)> {
        Ok(match self {
            Self::File { path, name, .. } => match source_of(path) {
                Some(sum) => (name.clone(), sum),
                None => (name.clone(), checksum::of_file(path)?),
            },
            Self::Computed(salt) => (format!("{network} (computed)"), format!("salt {salt:#x}")),
        })
    }

    pub fn describe(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Computed(salt) => format!("computed weights, salt {salt:#x}"),
        }
    }

    pub fn is_computed(&self) -> bool {
        matches!(self, Self::Computed(_))
    }
}

/// SHA-256 of the file that `extract convert` made this one of.
fn source_of(path: &Path) -> Option<String> {
    let converted = path.extension().is_some_and(|ending| ending == "safetensors");
    let file = converted.then(|| SafetensorsFile::open(path).ok())??;
    file.metadata().get(&format!("{METADATA}source_sha256")).cloned()
}

/// Finds the networks' files: below `--weights`, else `$SIGNCLIP_WEIGHTS`, else `weights/`. What is not there is an error
/// with preset `paper`; the other presets compute it.
pub struct WeightFiles<'a> {
    args: &'a RunArgs,
    root: Option<PathBuf>,
}

impl<'a> WeightFiles<'a> {
    /// Errors: no weights folder, with preset `paper` or where one was named.
    pub fn new(args: &'a RunArgs) -> Result<Self> {
        match places::weights_root(args.weights.as_deref()) {
            Ok(root) => Ok(Self { args, root: Some(root) }),
            Err(error) if args.preset == Preset::Paper || args.weights.is_some() => Err(error),
            Err(_) => Ok(Self { args, root: None }),
        }
    }

    pub fn clip(&self) -> Result<WeightSource> {
        // The small tower has no file.
        if self.args.preset == Preset::Tiny {
            return Ok(WeightSource::Computed(self.args.salt));
        }
        let Some((path, name)) = self.find("the spatial encoder", CLIP_FILE)? else {
            return Ok(WeightSource::Computed(self.args.salt));
        };
        Ok(WeightSource::File { path, name, prefix: String::new() })
    }

    pub fn detector(&self, detector: Detector) -> Result<WeightSource> {
        let (file, body) = match detector {
            Detector::Resnet50 => ("retinaface/Resnet50_Final.pth", BodyKind::ResNet50),
            Detector::Mobilenet025 => ("retinaface/mobilenet0.25_Final.pth", BodyKind::MobileNet025),
        };
        let wanted = Architecture::RetinaFace(body);
        self.official("the face detector", file, |found| *found == wanted, detector.name())
    }

    pub fn fan(&self, model: FanModel) -> Result<WeightSource> {
        let name = model.name();
        let wanted = Architecture::Fan { hourglasses: model.config().num_modules };
        self.official("the landmark network", &format!("fan/{name}.pth"), |found| *found == wanted, name)
    }

    /// Weights and sizes of the lip encoder: `large`, `base`, or a file.
    pub fn lips(&self, which: &str) -> Result<(WeightSource, LipConfig)> {
        let (file, published) = match which {
            "large" => (Path::new("av-hubert/large_vox_iter5.pt"), Some(LipConfig::large())),
            "base" => (Path::new("av-hubert/base_vox_iter5.pt"), Some(LipConfig::base())),
            file => (Path::new(file), None),
        };
        let computed = |config| Ok((WeightSource::Computed(self.args.salt), config));
        if self.args.preset == Preset::Tiny {
            if which != "large" {
                let what = format!("--lip-encoder {which}: preset tiny has a small lip encoder of its own");
                return Err(Error::usage(what, "leave it out, or take another preset"));
            }
            return computed(LipConfig::tiny());
        }
        if published.is_none() && !file.exists() {
            let what = format!("--lip-encoder {which:?}: neither a published size nor a file");
            return Err(Error::usage(what, "give large, base, or an AV-HuBERT file"));
        }
        let found = match &published {
            Some(_) => self.find("the lip encoder", &file.display().to_string())?,
            None => Some((file.to_path_buf(), file.file_name().unwrap_or_default().display().to_string())),
        };
        let Some((path, name)) = found else {
            return computed(published.unwrap_or_else(LipConfig::large));
        };
        let checkpoint = Checkpoint::open(&path)?;
        let Architecture::AvHubert(config) = &checkpoint.architecture else {
            return Err(checkpoint.mistaken("AV-HuBERT"));
        };
        if published.is_some_and(|published| published != *config) {
            return Err(checkpoint.mistaken(&format!("AV-HuBERT {which}")));
        }
        let config = config.clone();
        Ok((WeightSource::File { path, name, prefix: checkpoint.prefix }, config))
    }

    /// An official file of which `fits` says whether it is the right one.
    fn official(
        &self,
        what: &str,
        file: &str,
        fits: impl Fn(&Architecture) -> bool,
        wanted: &str,
    ) -> Result<WeightSource> {
        let Some((path, name)) = self.find(what, file)? else {
            return Ok(WeightSource::Computed(self.args.salt));
        };
        let checkpoint = Checkpoint::open(&path)?;
        if !fits(&checkpoint.architecture) {
            return Err(checkpoint.mistaken(wanted));
        }
        Ok(WeightSource::File { path, name, prefix: checkpoint.prefix })
    }

    /// `file` below the weights folder, what `extract convert` made of it, or PyTorch's own in its place, with its name
    /// there.
    fn find(&self, what: &str, file: &str) -> Result<Option<(PathBuf, String)>> {
        let Some(root) = &self.root else { return Ok(None) };
        let converted = Path::new(file).with_extension("safetensors");
        let candidates = [PathBuf::from(file), converted];
        let found = candidates.into_iter().find(|candidate| root.join(candidate).exists());
        if let Some(found) = found {
            return Ok(Some((root.join(found), file.to_owned())));
        }
        let torch = tensor_file::in_place_of(Path::new(file));
        if let Some(torch) = torch.filter(|torch| root.join(torch).exists()) {
            return Ok(Some((root.join(&torch), torch.display().to_string())));
        }
        if self.args.preset != Preset::Paper {
            return Ok(None);
        }
        Err(Error::input(
            root.join(file),
            "",
            format!("the weights of {what} are not there"),
            "download them (README, \"Weights\"; `./justw doctor` lists what is missing), or try --preset tiny",
        ))
    }
}
