//! Sizes of AV-HuBERT.

use serde::{Deserialize, Serialize};

/// `eps` of PyTorch's layer norm.
pub(super) const EPS: f64 = 1e-5;

/// Sizes, by their names in the `model` section of a fairseq checkpoint's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LipConfig {
    pub encoder_layers: usize,
    pub encoder_embed_dim: i64,
    pub encoder_ffn_embed_dim: i64,
    pub encoder_attention_heads: i64,
    /// Kernel of the positional convolution.
    pub conv_pos: i64,
    pub conv_pos_groups: i64,
    /// Channels of the ResNet's first stage. No setting of the reference, which always has 64.
    #[serde(default = "resnet_width")]
    pub resnet_width: i64,
}

fn resnet_width() -> i64 {
    64
}

impl LipConfig {
    /// `conf/pretrain/base_vox_iter5.yaml` of the reference: 12 layers of width 768.
    pub fn base() -> Self {
        Self {
            encoder_layers: 12,
            encoder_embed_dim: 768,
            encoder_ffn_embed_dim: 3072,
            encoder_attention_heads: 12,
            conv_pos: 128,
            conv_pos_groups: 16,
            resnet_width: resnet_width(),
        }
    }

    /// `conf/pretrain/large_vox_iter5.yaml` of the reference: 24 layers of width 1024.
    pub fn large() -> Self {
        Self {
            encoder_layers: 24,
            encoder_embed_dim: 1024,
            encoder_ffn_embed_dim: 4096,
            encoder_attention_heads: 16,
            ..Self::base()
        }
    }

    /// A small network for trying the programs out.
    pub fn tiny() -> Self {
        Self {
            encoder_layers: 2,
            encoder_embed_dim: 128,
            encoder_ffn_embed_dim: 256,
            encoder_attention_heads: 2,
            conv_pos: 16,
            conv_pos_groups: 4,
            resnet_width: 16,
        }
    }
}
