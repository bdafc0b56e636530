//! What the head is made of, and what its losses weigh.

use crate::head::gated_fusion::FusionKind;
use crate::head::temporal::{ConvKind, Steps, masked_max, masked_mean};
use crate::language::settings::VtTarget;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};
use tch::Tensor;

/// Which feature streams the head takes (paper, ablation: SE, LE, SE + LE).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Streams {
    #[default]
    Both,
    Spatial,
    Mouthing,
}

impl Streams {
    pub fn spatial(self) -> bool {
        self != Self::Mouthing
    }

    pub fn mouthing(self) -> bool {
        self != Self::Spatial
    }
}

/// What z_s and z_m are of the frames of a clip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    #[default]
    Mean,
    Max,
}

impl Pooling {
    /// `[B, T, D]` to `[B, D]`, over valid frames.
    pub(super) fn of(self, x_btd: &Tensor, lengths_b: &Tensor) -> Tensor {
        match self {
            Self::Mean => masked_mean(x_btd, lengths_b),
            Self::Max => masked_max(x_btd, lengths_b),
        }
    }
}

/// The trainable visual part (paper, "Multimodal Contrastive Fusion"). Stream widths come from the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadConfig {
    /// `both`, or one alone as in the paper's ablation.
    pub streams: Streams,
    /// Width of the fusion, d in the paper.
    pub d: i64,
    /// Fusion of two streams: `gate` (paper), `concatenation` or `addition`.
    pub fusion: FusionKind,
    /// Temporal convolution: `spamo` (two convolutions with pooling) or `same` (one, as the text reads).
    pub conv: ConvKind,
    /// Steps that the batch statistics of the convolution are of: `valid`, or `all` as in SpaMo's code.
    pub norm_over: Steps,
    /// Project Z_m too (paper, "Implementation Details").
    pub project_mouth: bool,
    /// Give each stream of each clip mean 0 and deviation 1 over time before anything else. Not in the paper; helps
    /// features of untrained encoders, in which what a clip's frames share outweighs what differs.
    pub standardise: bool,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            streams: Streams::Both,
            d: 1024,
            fusion: FusionKind::Gate,
            conv: ConvKind::Spamo,
            norm_over: Steps::Valid,
            project_mouth: true,
            standardise: false,
        }
    }
}

/// Columns of what goes in and out; 1 or more for a stream that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    /// The gesture stream, 2d in the paper.
    pub spatial: i64,
    /// The mouthing stream, d in the paper.
    pub mouthing: i64,
    /// The language model.
    pub language: i64,
}

impl HeadConfig {
    /// Whether a head of these widths can be built.
    pub fn validate(&self, widths: Widths) -> Result<()> {
        let Widths { spatial, mouthing, language } = widths;
        let all = [
            ("the spatial stream", spatial),
            ("the mouthing stream", mouthing),
            ("head.d", self.d),
            ("the language model", language),
        ];
        if let Some((name, width)) = all.iter().find(|(_, width)| !(1..=65_536).contains(width)) {
            return Err(Error::usage(
                format!("head: the width of {name} is {width}"),
                "give a width from 1 to 65536",
            ));
        }
        if self.streams.mouthing() && !self.project_mouth && mouthing != self.d {
            return Err(Error::usage(
                format!("head: the mouthing stream is {mouthing} wide, the fusion {}", self.d),
                "set head.project_mouth to true or head.d to the width of the stream",
            ));
        }
        Ok(())
    }
}

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
    /// What L_sm compares of Z'_s and Z'_m: their `mean` over a clip or their `max`. Standardised streams
    /// (`head.standardise`) have the mean 0.
    pub sm_pooling: Pooling,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 0.2,
            symmetric: false,
            vt_target: VtTarget::Embeddings,
            vt_mean: Steps::Valid,
            sm_pooling: Pooling::Mean,
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
        let widths = Widths { spatial: 2048, mouthing: 1024, language: 2048 };
        assert!(parsed.validate(widths).is_ok());
        assert!(parsed.validate(Widths { language: 0, ..widths }).is_err());
        let error = HeadConfig { project_mouth: false, ..parsed }.validate(widths).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("1024 wide, the fusion 768")));
        assert!(HeadConfig { d: 0, ..HeadConfig::default() }.validate(widths).is_err());
        assert!(serde_json::from_str::<HeadConfig>(r#"{"gate": "scalar"}"#).is_err());
        Ok(())
    }
}
