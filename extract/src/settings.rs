//! From the command line to encoders: networks, weight files, compute type, and what the store records of them.

use crate::args::{Preset, RunArgs, StoreType};
use crate::places;
use crate::plan::TARGET_FPS;
use crate::spatial_encoder::clip_vision::ClipVisionConfig;
use crate::spatial_encoder::{SpatialConfig, SpatialEncoder};
use signclip_common::manifest::Dataset;
use signclip_common::store::{FORMAT, SPATIAL, StoreDtype, StoreInfo, StreamInfo};
use signclip_common::weights::Weights;
use signclip_common::{Error, Result, checksum, devices};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::{Device, Kind};

/// CLIP's file below the weights folder.
pub const CLIP_FILE: &str = "clip-vit-large-patch14/model.safetensors";

/// Where the tower's weights come from.
#[derive(Debug, Clone)]
pub enum WeightSource {
    File(PathBuf),
    /// Computed from names with this salt.
    Computed(u64),
}

impl WeightSource {
    /// What the command line asks for. Errors: no weight file, with the places looked at.
    pub fn find(args: &RunArgs) -> Result<Self> {
        if args.preset != Preset::Paper {
            return Ok(Self::Computed(args.salt));
        }
        let path = places::weights_root(args.weights.as_deref())?.join(CLIP_FILE);
        if path.is_file() {
            return Ok(Self::File(path));
        }
        Err(Error::input(
            path,
            "",
            "the spatial encoder's weights are not there",
            "download them (README, \"Weights\"; `./justw doctor` lists what is missing), or try --preset tiny",
        ))
    }
}

/// Everything that decides the features, settled before any clip is touched.
#[derive(Debug, Clone)]
pub struct Settings {
    pub spatial: SpatialConfig,
    pub store_dtype: StoreDtype,
    kind: Kind,
    source: WeightSource,
    preset: Preset,
}

impl Settings {
    /// Settle what the command line says for `dataset`. Errors: an unknown compute type.
    pub fn new(args: &RunArgs, dataset: &Dataset, source: WeightSource, device: Device) -> Result<Self> {
        let kind = match args.preset {
            // Too small for bf16 to pay, and the same features everywhere.
            Preset::Tiny if args.dtype == "auto" => Kind::Float,
            _ => devices::compute_kind(&args.dtype, device)?,
        };
        Ok(Self {
            spatial: SpatialConfig {
                tower: tower(args.preset),
                s2_source: args.s2_source,
                squash: dataset.spatial_squash,
            },
            store_dtype: store_dtype(args),
            kind,
            source,
            preset: args.preset,
        })
    }

    /// Load the spatial encoder onto a device.
    pub fn spatial_encoder(&self, device: Device) -> Result<SpatialEncoder> {
        let weights = match &self.source {
            WeightSource::File(path) => Weights::open(path, device, self.kind)?,
            WeightSource::Computed(salt) => Weights::synthetic(*salt, device, self.kind),
        };
        SpatialEncoder::load(&weights, &self.spatial, device)
    }

    /// `store.json` of a split. Reads the weight file once for its checksum.
    pub fn store_info(
        &self,
        dataset: &Dataset,
        split: &str,
        weights: &BTreeMap<String, String>,
    ) -> StoreInfo {
        let spatial = StreamInfo {
            dim: self.spatial.dim(),
            encoder: format!("CLIP vision tower, {} layers, with S2", self.spatial.tower.num_hidden_layers),
            compute: devices::kind_name(self.kind).to_owned(),
            weights: weights.clone(),
            config: serde_json::to_value(&self.spatial).unwrap_or_default(),
        };
        StoreInfo {
            format: FORMAT,
            dataset: dataset.name.clone(),
            split: split.to_owned(),
            language: dataset.language.clone(),
            text: dataset.text,
            dtype: self.store_dtype,
            fps: TARGET_FPS,
            streams: BTreeMap::from([(SPATIAL.to_owned(), spatial)]),
            config: serde_json::json!({ "resampling": "nearest frame in time" }),
            tool: format!("signclip extract {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Identity of the weights: SHA-256 by file name, or the salt of computed ones.
    pub fn weight_sums(&self) -> Result<BTreeMap<String, String>> {
        Ok(match &self.source {
            WeightSource::File(path) => BTreeMap::from([(CLIP_FILE.to_owned(), checksum::of_file(path)?)]),
            WeightSource::Computed(salt) => {
                BTreeMap::from([("computed".to_owned(), format!("salt {salt:#x}"))])
            }
        })
    }

    /// What a user must know about these settings before trusting the features.
    pub fn warning(&self) -> Option<&'static str> {
        match self.preset {
            Preset::Paper => None,
            Preset::Synthetic => {
                Some("computed weights: full-size but UNTRAINED networks, for timing and tests only")
            }
            Preset::Tiny => {
                Some("preset tiny: small UNTRAINED networks with computed weights, to try the programs out")
            }
        }
    }

    /// One line about networks and types.
    pub fn describe(&self) -> String {
        let t = &self.spatial.tower;
        let source = match &self.source {
            WeightSource::File(path) => path.display().to_string(),
            WeightSource::Computed(salt) => format!("computed weights, salt {salt:#x}"),
        };
        format!(
            "CLIP vision tower ({} layers, width {}, {}x{} images) with S2, {}, from {source}",
            t.num_hidden_layers,
            t.hidden_size,
            t.image_size,
            t.image_size,
            devices::kind_name(self.kind),
        )
    }
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
    2 * tower(args.preset).hidden_size as usize * store_dtype(args).bytes()
}

fn tower(preset: Preset) -> ClipVisionConfig {
    match preset {
        Preset::Paper | Preset::Synthetic => ClipVisionConfig::vit_large_patch14(),
        Preset::Tiny => ClipVisionConfig::tiny(),
    }
}
