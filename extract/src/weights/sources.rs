//! Where the weights of each frozen network are on this machine.

use crate::recipe::{Recipe, StreamRecipe};
use crate::streams::config::{Network, StreamConfig};
use crate::weights::checkpoint::{Architecture, Checkpoint, METADATA};
use signclip_common::places::{self, Form};
use signclip_common::tensor_file::TensorFile;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, checksum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind};

/// Which weights a network is to have.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A file of the weights folder; where it is not there, computed with the salt, if there is one.
    Official(String, Option<u64>),
    /// A file somewhere else, opened.
    Own(Arc<TensorFile>),
    /// Computed from the tensors' names with this salt.
    Computed(u64),
}

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
    /// one it was made of, so that a store can be continued after a conversion.
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

/// The weights of the networks that a recipe needs.
#[derive(Debug, Clone, Default)]
pub struct Sources(BTreeMap<Network, WeightSource>);

impl Sources {
    /// Finds the weights that are `wanted`: below `folder`, else `$SIGNCLIP_WEIGHTS`, else `weights/`. Errors: every file
    /// that is missing or holds another network than the recipe's.
    pub fn find(
        recipe: &Recipe,
        wanted: &BTreeMap<Network, Wanted>,
        folder: Option<&Path>,
    ) -> Result<Self, Vec<Error>> {
        let needs_folder = wanted.values().any(|wanted| matches!(wanted, Wanted::Official(_, None)));
        let root = match places::weights_root(folder) {
            Ok(root) => Some(root),
            Err(error) if folder.is_some() || needs_folder => return Err(vec![error]),
            Err(_) => None,
        };
        let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
        for config in recipe.streams.values().map(|stream| &stream.config) {
            for network in config.networks() {
                let Some(wanted) = wanted.get(&network) else {
                    let what = format!("the store does not say which weights {} had", network.name());
                    problems.push(Error::usage(what, "extract the data set again"));
                    continue;
                };
                match find(network, config, wanted, root.as_deref()) {
                    Ok(source) => _ = found.insert(network, source),
                    Err(error) => problems.push(error),
                }
            }
        }
        if problems.is_empty() { Ok(Self(found)) } else { Err(problems) }
    }

    /// The weights of a network for a device.
    pub fn on(&self, network: Network, device: Device, kind: Kind) -> Result<Weights> {
        let source = self.0.get(&network).ok_or_else(|| {
            Error::usage(
                format!("{}: no weights were looked for", network.name()),
                "this is a bug; please report it",
            )
        })?;
        Ok(source.on(device, kind))
    }

    /// The recipe with the identity of all weights. Reads every file once for its checksum.
    pub fn identify(&self, mut recipe: Recipe) -> Result<Recipe> {
        for StreamRecipe { config, weights, .. } in recipe.streams.values_mut() {
            let networks = config.networks().into_iter();
            let sources = networks.filter_map(|network| Some((network, self.0.get(&network)?)));
            *weights =
                sources.map(|(network, source)| source.identity(network.name())).collect::<Result<_>>()?;
        }
        Ok(recipe)
    }

    /// What a user must know before trusting the features.
    pub fn warning(&self) -> Option<String> {
        let computed = self.0.iter().filter(|(_, source)| source.is_computed());
        let computed: Vec<&str> = computed.map(|(network, _)| network.name()).collect();
        (!computed.is_empty()).then(|| {
            format!("UNTRAINED, with computed weights, for tests and timing only: {}", computed.join(", "))
        })
    }

    /// One line for each network.
    pub fn lines(&self) -> Vec<String> {
        let line = |(network, source): (&Network, &WeightSource)| {
            format!("{} from {}", network.name(), source.describe())
        };
        self.0.iter().map(line).collect()
    }
}

/// The weights of one network of a stream.
fn find(
    network: Network,
    config: &StreamConfig,
    wanted: &Wanted,
    root: Option<&Path>,
) -> Result<WeightSource> {
    let (file, name) = match wanted {
        Wanted::Computed(salt) => return Ok(WeightSource::Computed(*salt)),
        Wanted::Own(file) => {
            (file.clone(), file.path().file_name().unwrap_or_default().display().to_string())
        }
        Wanted::Official(file, or_computed) => {
            let found = root.and_then(|root| Some((root, places::weight_file(root, file)?)));
            let (path, name) = match (found, or_computed) {
                (Some((root, (path, Form::Torch))), _) => (root.join(&path), path.display().to_string()),
                (Some((root, (path, _))), _) => (root.join(path), file.clone()),
                (None, Some(salt)) => return Ok(WeightSource::Computed(*salt)),
                (None, None) => {
                    let path = root.map_or_else(|| PathBuf::from(file), |root| root.join(file));
                    let what = format!("the weights of {} are not there", network.name());
                    let remedy = "download them (docs/weights.md; `./justw doctor` lists what is missing), or try \
                                  --preset tiny";
                    return Err(Error::input(path, "", what, remedy));
                }
            };
            (Arc::new(TensorFile::open(&path)?), name)
        }
    };
    let Some(architecture) = architecture(network, config) else {
        return Ok(WeightSource::File { file, name, prefix: String::new() });
    };
    let checkpoint = Checkpoint::of(&file)?;
    if checkpoint.architecture != architecture {
        return Err(checkpoint.mistaken(&architecture.describe()));
    }
    Ok(WeightSource::File { file, name, prefix: checkpoint.prefix })
}

/// What the file of a network has to hold; `None` where its names are all that can be compared.
fn architecture(network: Network, config: &StreamConfig) -> Option<Architecture> {
    let StreamConfig::Mouthing(config) = config else { return None };
    match network {
        Network::RetinaFace => {
            config.detector.as_ref().map(|detector| Architecture::RetinaFace(detector.body))
        }
        Network::Fan => config.fan.as_ref().map(|fan| Architecture::Fan { hourglasses: fan.num_modules }),
        Network::AvHubert => Some(Architecture::AvHubert(config.lips.clone())),
        Network::Clip | Network::VideoMae => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::spatial::clip_vision::ClipVisionConfig;
    use crate::streams::spatial::encoder::SpatialConfig;
    use crate::streams::spatial::s2::S2Source;
    use signclip_common::safetensors_file;

    /// The table of a large file is read once, not once a device: what comes later needs only the open file.
    #[test]
    fn a_file_is_opened_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("model.safetensors");
        let table = [("a".to_owned(), Kind::Float, vec![2])];
        let mut bytes = Vec::new();
        let tensor = |_| Ok(tch::Tensor::from_slice(&[1.0_f32, 2.0]));
        safetensors_file::write(&mut bytes, &[], &table, tensor).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let config =
            SpatialConfig { tower: ClipVisionConfig::tiny(), s2_source: S2Source::Upsampled, squash: None };
        let wanted = Wanted::Official("model.safetensors".to_owned(), None);
        let source = find(Network::Clip, &StreamConfig::Spatial(config), &wanted, Some(root.path())).unwrap();
        std::fs::remove_file(&path).unwrap();
        for _device in 0..2 {
            let weights = source.on(Device::Cpu, Kind::Float);
            let values = weights.build(&[], |root| root.get("a", &[2])).unwrap();
            assert_eq!(Vec::<f32>::try_from(&values).unwrap(), [1.0, 2.0]);
        }
    }
}
