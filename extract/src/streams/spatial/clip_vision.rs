//! The vision tower of CLIP, as `CLIPVisionModel` of transformers computes it.
//!
//! Shapes: n images, t tokens (class token first), d hidden size.

use crate::streams::layers::attention::{Attention, LayerNorm, Linear};
use crate::streams::layers::frozen::Frozen;
use crate::streams::layers::pre_norm::{self, PreNormLayer, quick_gelu_mlp};
use serde::{Deserialize, Serialize};
use signclip_common::weights::Part;
use tch::Tensor;

/// Fields of the `vision_config` in Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipVisionConfig {
    pub hidden_size: i64,
    pub intermediate_size: i64,
    pub num_hidden_layers: i64,
    pub num_attention_heads: i64,
    pub image_size: i64,
    pub patch_size: i64,
    pub layer_norm_eps: f64,
}

impl ClipVisionConfig {
    /// `openai/clip-vit-large-patch14`: 24 layers of width 1024 on 224×224 images.
    pub fn vit_large_patch14() -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size: 224,
            patch_size: 14,
            layer_norm_eps: 1e-5,
        }
    }

    /// Two layers of width 256 on 64×64 images of 4×4 patches: for trying the programs out, without trained weights.
    /// Few large patches, since an untrained class token averages over all of them.
    pub fn tiny() -> Self {
        Self {
            hidden_size: 256,
            intermediate_size: 512,
            num_hidden_layers: 2,
            num_attention_heads: 16,
            image_size: 64,
            patch_size: 16,
            layer_norm_eps: 1e-5,
        }
    }
}

/// Keys of a complete CLIP checkpoint that belong to its text side or to projections that are not used.
pub const OTHER_KEYS: [&str; 5] = [
    "text_model.",
    "visual_projection.weight",
    "text_projection.weight",
    "logit_scale",
    "vision_model.embeddings.position_ids",
];

/// The vision tower: class-token features before `post_layernorm`.
pub struct ClipVision {
    class_embedding: Frozen,
    /// A row for each value of a patch.
    patch_embedding_cd: Frozen,
    position_embedding: Frozen,
    pre_layrnorm: LayerNorm,
    layers: Vec<PreNormLayer>,
    post_layernorm: LayerNorm,
    patch_size: i64,
}

impl ClipVision {
    /// Build from a checkpoint's root part; keys begin with `vision_model.`.
    pub fn new(root: &Part, config: &ClipVisionConfig) -> Self {
        let part = root.sub("vision_model");
        let (d, patch) = (config.hidden_size, config.patch_size);
        let tokens = (config.image_size / patch).pow(2) + 1;
        let embeddings = part.sub("embeddings");
        let layers = (0..config.num_hidden_layers)
            .map(|i| layer(&part.sub(&format!("encoder.layers.{i}")), config))
            .collect();
        Self {
            class_embedding: embeddings.get("class_embedding", &[d]).into(),
            patch_embedding_cd: embeddings
                .get("patch_embedding.weight", &[d, 3, patch, patch])
                .flatten(1, -1)
                .tr()
                .contiguous()
                .into(),
            position_embedding: embeddings.get("position_embedding.weight", &[tokens, d]).into(),
            // sic: the checkpoint's own spelling
            pre_layrnorm: LayerNorm::new(&part.sub("pre_layrnorm"), d, config.layer_norm_eps),
            layers,
            post_layernorm: LayerNorm::new(&part.sub("post_layernorm"), d, config.layer_norm_eps),
            patch_size: patch,
        }
    }

    /// Class token of the last layer, before `post_layernorm`: pixels `[n, 3, size, size]` (normalised) to `[n, d]`.
    pub fn class_token(&self, pixels_n3hw: &Tensor) -> Tensor {
        pre_norm::first_token(&self.layers, self.embed(pixels_n3hw))
    }

    /// Every hidden state: the output of `pre_layrnorm`, then of each layer; `[n, t, d]` each.
    pub fn hidden_states(&self, pixels_n3hw: &Tensor) -> Vec<Tensor> {
        pre_norm::hidden_states(&self.layers, self.embed(pixels_n3hw))
    }

    /// `post_layernorm` of a class token, the pooled output of the reference: `[n, d]` to `[n, d]`.
    pub fn pool(&self, class_token_nd: &Tensor) -> Tensor {
        self.post_layernorm.forward(class_token_nd)
    }

    /// Patches do not overlap: their convolution is one matrix product.
    fn embed(&self, pixels_n3hw: &Tensor) -> Tensor {
        let (n, p) = (pixels_n3hw.size()[0], self.patch_size);
        let pixels = pixels_n3hw.to_kind(self.patch_embedding_cd.kind());
        let patches = pixels.unflatten(3, [-1, p]).unflatten(2, [-1, p]).permute([0, 2, 4, 1, 3, 5]);
        let patches_ntd = patches.reshape([n, -1, 3 * p * p]).matmul(&self.patch_embedding_cd);
        let class_n1d = self.class_embedding.expand([n, 1, -1], false);
        let x_ntd = Tensor::cat(&[class_n1d, patches_ntd], 1) + &*self.position_embedding;
        self.pre_layrnorm.forward(&x_ntd)
    }
}

fn layer(part: &Part, config: &ClipVisionConfig) -> PreNormLayer {
    let (d, wide, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let maps = [Linear::new(&part.sub("mlp.fc1"), d, wide), Linear::new(&part.sub("mlp.fc2"), wide, d)];
    let (mlp, activation) = quick_gelu_mlp(maps, part.device());
    PreNormLayer {
        before_attention: LayerNorm::new(&part.sub("layer_norm1"), d, eps),
        attention: Attention::new(&part.sub("self_attn"), d, config.num_attention_heads),
        before_mlp: LayerNorm::new(&part.sub("layer_norm2"), d, eps),
        mlp,
        activation,
    }
}
