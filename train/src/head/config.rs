//! What the head is made of, and what its losses weigh.

use crate::head::gated_fusion::FusionKind;
use crate::head::streams::Streams;
use crate::head::temporal::{ConvKind, Steps, masked_max, masked_mean};
use crate::language::settings::VtTarget;
use serde::{Deserialize, Serialize};
use signclip_common::store::{MOUTHING, SPATIAL};
use signclip_common::{Error, Result};
use std::collections::BTreeMap;
use tch::Tensor;

/// What z_s and z_m are of the frames of a clip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    #[default]
    Mean,
    Max,
}

impl Pooling {
    /// `[B, T, D]` to `[B, D]`, over valid frames or over the padding too.
    pub(super) fn of(self, x_btd: &Tensor, lengths_b: &Tensor, over: Steps) -> Tensor {
        match (self, over) {
            (Self::Mean, Steps::Valid) => masked_mean(x_btd, lengths_b),
            (Self::Max, Steps::Valid) => masked_max(x_btd, lengths_b),
            (Self::Mean, Steps::All) => x_btd.mean_dim([1].as_slice(), false, x_btd.kind()),
            (Self::Max, Steps::All) => x_btd.amax([1].as_slice(), false),
        }
    }
}

/// How streams are standardised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandardiseBy {
    /// Each column over the rows of its clip.
    #[default]
    Columns,
    /// Over all clips of the training, where columns are also decorrelated.
    Whitening,
}

/// The trainable visual part (paper, "Multimodal Contrastive Fusion"). Stream widths come from the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadConfig {
    /// Names of streams: two that the fusion takes, or one alone as in the paper's ablation.
    pub streams: Streams,
    /// Width of the fusion, d in the paper.
    pub d: i64,
    /// Fusion of several streams: `gate` (paper), `concatenation`, `addition`, or `along_time` (SpaMo).
    pub fusion: FusionKind,
    /// Linear layers of the gate: 2 ("MLP" of the paper) or 1 (the authors' published code).
    pub gate_layers: usize,
    /// Temporal convolution: `spamo` (two convolutions with pooling) or `same` (one, as the text reads).
    pub conv: ConvKind,
    /// Streams whose rows are not convolved where they are used alone: none (paper), mouthing (the authors' published code),
    /// motion (SpaMo).
    pub unconvolved_alone: Vec<String>,
    /// Steps that the batch statistics of the convolution are of: `valid`, or `all` as in SpaMo's code.
    pub norm_over: Steps,
    /// Project Z_m too (paper, "Implementation Details").
    pub project_mouth: bool,
    /// Give each column of each stream mean 0 and deviation 1 before anything else. Not in the paper; helps features of
    /// untrained encoders, in which what frames share outweighs what differs.
    pub standardise: bool,
    /// How: by `columns`, each over the rows of its clip, or by `whitening` over all clips of the training.
    pub standardise_by: StandardiseBy,
    /// Learned vectors before and behind the visual tokens (the authors' published code).
    pub markers: bool,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            streams: Streams::both(),
            d: 1024,
            fusion: FusionKind::Gate,
            gate_layers: 2,
            conv: ConvKind::Spamo,
            unconvolved_alone: Vec::new(),
            norm_over: Steps::Valid,
            project_mouth: true,
            standardise: false,
            standardise_by: StandardiseBy::Columns,
            markers: false,
        }
    }
}

/// Columns of what goes in and out.
#[derive(Debug, Clone)]
pub struct Widths {
    /// Of each stream in use; in the paper 2d for the spatial and d for the mouthing one.
    pub streams: BTreeMap<String, i64>,
    /// The language model.
    pub language: i64,
}

impl HeadConfig {
    /// Whether a head of these widths can be built.
    pub fn validate(&self, widths: &Widths) -> Result<()> {
        self.check_fusion()?;
        if !(1..=2).contains(&self.gate_layers) {
            return Err(Error::usage(format!("head.gate_layers is {}", self.gate_layers), "give 1 or 2"));
        }
        let stream = |name: &str| {
            let width = widths.streams.get(name).copied().unwrap_or(0);
            (format!("the stream {name}"), width)
        };
        let others = [("head.d", self.d), ("the language model", widths.language)];
        let others = others.into_iter().map(|(name, width)| (name.to_owned(), width));
        let mut all = self.streams.names().map(stream).chain(others);
        if let Some((name, width)) = all.find(|(_, width)| !(1..=65_536).contains(width)) {
            return Err(Error::usage(
                format!("head: the width of {name} is {width}"),
                "give a width from 1 to 65536",
            ));
        }
        let mouthing = widths.streams.get(MOUTHING).copied().filter(|_| self.streams.has(MOUTHING));
        if let Some(mouthing) = mouthing.filter(|width| !self.project_mouth && *width != self.d) {
            return Err(Error::usage(
                format!("head: the mouthing stream is {mouthing} wide, the fusion {}", self.d),
                "set head.project_mouth to true or head.d to the width of the stream",
            ));
        }
        Ok(())
    }

    /// Whether the fusion takes the streams.
    fn check_fusion(&self) -> Result<()> {
        let needs = self.fusion.streams();
        let Some(needs) = needs.filter(|needs| !self.streams.is_one() && self.streams.names().ne(*needs))
        else {
            return Ok(());
        };
        let (needs, names) = (needs.join(" and "), self.streams.names().collect::<Vec<_>>().join(", "));
        let what = format!("head.fusion={} fuses {needs}, head.streams has {names}", self.fusion.name());
        Err(Error::usage(
            what,
            "name these two in head.streams, one stream alone, or set head.fusion=along_time",
        ))
    }

    /// Whether streams are standardised so.
    pub fn standardises(&self, by: StandardiseBy) -> bool {
        self.standardise && self.standardise_by == by
    }

    /// Whether the streams go through the convolution.
    pub fn is_convolved(&self) -> bool {
        !(self.streams.is_one() && self.unconvolved_alone.iter().any(|name| self.streams.has(name)))
    }

    /// Whether L_sm has the two streams that it compares.
    pub fn has_sm_pair(&self) -> bool {
        SM_PAIR.into_iter().all(|name| self.streams.has(name))
    }
}

/// The streams that L_sm compares.
pub(super) const SM_PAIR: [&str; 2] = [SPATIAL, MOUTHING];

/// L_total = L_trans + α L_vt + β L_sm (paper, "Training details").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Weight α of the visual-text contrast; 0 leaves it out.
    pub alpha: f64,
    /// Weight β of the spatial-mouthing contrast; 0 leaves it out. Without effect where only one stream is used.
    pub beta: f64,
    /// Mean of both directions instead of the one that the paper prints.
    pub symmetric: bool,
    /// What L_vt pulls the visual tokens towards.
    pub vt_target: VtTarget,
    /// Steps and tokens that z_v and z_t are means of: `valid`, or `all` as in SpaMo's code, with the padding.
    pub vt_mean: Steps,
    /// Tokens to which sentences are padded for z_t with `vt_mean` = `all`; 0: to the longest of the batch. The authors'
    /// published code pads to 128, so that z_t is mostly the padding's row.
    pub vt_text_tokens: usize,
    /// So many first updates train on L_vt alone (SpaMo).
    pub vt_alone_steps: u64,
    /// What L_sm compares of Z'_s and Z'_m: their `mean` over a clip or their `max`. Standardised streams
    /// (`head.standardise`) have the mean 0.
    pub sm_pooling: Pooling,
    /// Frames that z_s and z_m are of, and that take part in `sm_frames`: `valid`, or `all` with the padding.
    pub sm_over: Steps,
    /// z_s and z_m go through a Linear each (paper, "temporal pooling and projection").
    pub sm_projection: bool,
    /// Add the contrast of single frames to L_sm (the authors' published code, `use_frame`).
    pub sm_frames: bool,
    /// One temperature for L_vt and L_sm together instead of one each.
    pub shared_temperature: bool,
    /// Largest 1/τ; null: none.
    pub scale_bound: Option<f64>,
    /// Clips with the same sentence are negatives of each other, as in published code.
    pub same_sentence_negatives: bool,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 0.2,
            symmetric: false,
            vt_target: VtTarget::Embeddings,
            vt_mean: Steps::Valid,
            vt_text_tokens: 0,
            vt_alone_steps: 0,
            sm_pooling: Pooling::Mean,
            sm_over: Steps::Valid,
            sm_projection: true,
            sm_frames: false,
            shared_temperature: false,
            scale_bound: Some(100.0),
            same_sentence_negatives: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() -> serde_json::Result<()> {
        let parsed: HeadConfig = serde_json::from_str(r#"{"streams": "both", "conv": "same", "d": 768}"#)?;
        assert_eq!((parsed.conv, parsed.d), (ConvKind::Same, 768));
        let streams = [("spatial", 2048), ("mouthing", 1024), ("motion", 1024)];
        let streams: BTreeMap<String, i64> = streams.map(|(name, width)| (name.to_owned(), width)).into();
        let widths = Widths { streams, language: 2048 };
        assert!(parsed.validate(&widths).is_ok());
        assert!(parsed.validate(&Widths { language: 0, ..widths.clone() }).is_err());
        let check = |config: HeadConfig| config.validate(&widths).map_err(|e| e.to_string());
        let error = check(HeadConfig { project_mouth: false, ..parsed });
        assert!(error.is_err_and(|e| e.contains("1024 wide, the fusion 768")));
        assert!(check(HeadConfig { d: 0, ..HeadConfig::default() }).is_err());
        let streams = |names: &str| serde_json::from_value(names.into());
        assert!(check(HeadConfig { streams: streams("motion")?, ..HeadConfig::default() }).is_ok());
        let error = check(HeadConfig { streams: streams("spatial,motion")?, ..HeadConfig::default() });
        assert!(
            error.is_err_and(
                |e| e.contains("gate fuses spatial and mouthing, head.streams has spatial, motion")
            )
        );
        let along_time = HeadConfig {
            streams: streams("spatial,motion")?,
            fusion: FusionKind::AlongTime,
            ..HeadConfig::default()
        };
        assert!(check(along_time).is_ok());
        assert!(check(HeadConfig { gate_layers: 3, ..HeadConfig::default() }).is_err());
        assert!(serde_json::from_str::<HeadConfig>(r#"{"gate": "scalar"}"#).is_err());
        Ok(())
    }
}
