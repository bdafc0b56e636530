//! Which file each frozen network is loaded from.

use crate::cli::args::{Detector, FanModel, Preset, RunArgs};
use crate::recipe::checkpoint::{Architecture, Checkpoint, METADATA};
use crate::streams::mouthing::faces::retina_face::BodyKind;
use crate::streams::mouthing::lips::LipConfig;
use signclip_common::places::{self, Form};
use signclip_common::tensor_file::TensorFile;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, checksum};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind};

/// CLIP's file below the weights folder.
const CLIP_FILE: &str = "clip-vit-large-patch14/model.safetensors";

/// Where the weights of one network come from.
#[derive(Debug, Clone)]
pub enum WeightSource {
    /// A file, opened once for all devices, its name for the store, and what stands before the network's names in it.
    File { file: Arc<TensorFile>, name: String, prefix: String },
    /// Computed from the tensors' names with this salt.
    Computed(u64),
}

impl WeightSource {
    /// The weights for a device.
    pub fn on(&self, device: Device, kind: Kind) -> Weights {
        match self {
            Self::File { file, prefix, .. } => Weights::file(file.clone(), device, kind).below(prefix),
            Self::Computed(salt) => Weights::synthetic(*salt, device, kind),
        }
    }

    /// What the store records of them: the official file and its SHA-256, or the salt. A converted file counts as the
    /// one it was made of, so that a store goes on after a conversion.
    pub fn identity(&self, network: &str) -> Result<(String, String)> {
        Ok(match self {
            Self::File { file, name, .. } => match source_of(file) {
                Some(sum) => (name.clone(), sum),
                None => (name.clone(), checksum::of_file(file.path())?),
            },
            Self::Computed(salt) => (format!("{network} (computed)"), format!("salt {salt:#x}")),
        })
    }

    pub fn describe(&self) -> String {
        match self {
            Self::File { file, .. } => file.path().display().to_string(),
            Self::Computed(salt) => format!("computed weights, salt {salt:#x}"),
        }
    }

    pub fn is_computed(&self) -> bool {
        matches!(self, Self::Computed(_))
    }
}

/// SHA-256 of the file that `extract convert` made this one of.
fn source_of(file: &TensorFile) -> Option<String> {
    match file {
        TensorFile::Safetensors(file) => file.metadata().get(&format!("{METADATA}source_sha256")).cloned(),
        TensorFile::Torch(_) => None,
    }
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
        Ok(WeightSource::File { file: Arc::new(TensorFile::open(&path)?), name, prefix: String::new() })
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
        let file = TensorFile::open(&path)?;
        let checkpoint = Checkpoint::of(&file)?;
        let Architecture::AvHubert(config) = &checkpoint.architecture else {
            return Err(checkpoint.mistaken("AV-HuBERT"));
        };
        if published.is_some_and(|published| published != *config) {
            return Err(checkpoint.mistaken(&format!("AV-HuBERT {which}")));
        }
        let config = config.clone();
        Ok((WeightSource::File { file: Arc::new(file), name, prefix: checkpoint.prefix }, config))
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
        let file = TensorFile::open(&path)?;
        let checkpoint = Checkpoint::of(&file)?;
        if !fits(&checkpoint.architecture) {
            return Err(checkpoint.mistaken(wanted));
        }
        Ok(WeightSource::File { file: Arc::new(file), name, prefix: checkpoint.prefix })
    }

    /// `file` below the weights folder, in whatever form it is there, with the name that the store gives it.
    fn find(&self, what: &str, file: &str) -> Result<Option<(PathBuf, String)>> {
        let Some(root) = &self.root else { return Ok(None) };
        if let Some((found, form)) = places::weight_file(root, file) {
            let name = if form == Form::Torch { found.display().to_string() } else { file.to_owned() };
            return Ok(Some((root.join(found), name)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use signclip_common::safetensors_file;

    /// The table of a large file is read once, not once a device: what comes later needs only the open file.
    #[test]
    fn a_file_is_opened_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(CLIP_FILE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let table = [("a".to_owned(), Kind::Float, vec![2])];
        let mut bytes = Vec::new();
        let tensor = |_| Ok(tch::Tensor::from_slice(&[1.0_f32, 2.0]));
        safetensors_file::write(&mut bytes, &[], &table, tensor).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let line = ["extract", "--dataset", "phoenix", "--weights", root.path().to_str().unwrap()];
        let args = crate::cli::args::Cli::parse_from(line).run;
        let source = WeightFiles::new(&args).unwrap().clip().unwrap();
        std::fs::remove_file(&path).unwrap();
        for _device in 0..2 {
            let weights = source.on(Device::Cpu, Kind::Float);
            let values = weights.build(&[], |root| root.get("a", &[2])).unwrap();
            assert_eq!(Vec::<f32>::try_from(&values).unwrap(), [1.0, 2.0]);
        }
    }
}
