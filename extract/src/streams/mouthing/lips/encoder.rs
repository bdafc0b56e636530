//! Mouth crops to Z_m.

use super::config::{EPS, LipConfig};
use super::transformer::Transformer;
use super::visual_frontend::VisualFrontend;
use crate::streams::layers::attention::{LayerNorm, Linear};
use crate::streams::layers::rows::finite_rows;
use crate::streams::mouthing::crop::{INPUT, lip_input};
use signclip_common::weights::{Part, Weights};
use signclip_common::{Error, Result, devices};
use tch::{Device, Kind, Tensor};

/// Beginnings of the keys of a self-supervised checkpoint that features from video do not need: the embedding of masked
/// frames, the audio projection, and the prediction of cluster labels.
pub const IGNORED_KEYS: [&str; 4] =
    ["mask_emb", "feature_extractor_audio.", "final_proj.", "label_embs_concat"];

/// AV-HuBERT without its audio half and without its pre-training heads.
pub struct LipEncoder {
    layer: Option<usize>,
    device: Device,
    kind: Kind,
    frontend: VisualFrontend,
    video_proj: Linear,
    layer_norm: LayerNorm,
    post_extract_proj: Linear,
    transformer: Transformer,
}

impl LipEncoder {
    /// Load the network; [`IGNORED_KEYS`] are skipped, anything else unexpected is an error.
    ///
    /// # Errors
    /// Keys that are missing, of another shape, or of another network.
    pub fn load(weights: &Weights, config: &LipConfig) -> Result<Self> {
        weights.build(&IGNORED_KEYS, |root| Self::new(root, config))
    }

    /// Build from the part below which the keys are those of a self-supervised checkpoint's `model`.
    pub fn new(root: &Part, config: &LipConfig) -> Self {
        let d = config.encoder_embed_dim;
        let video = root.sub("feature_extractor_video");
        let frontend = VisualFrontend::new(&video.sub("resnet"), config.resnet_width);
        Self {
            video_proj: Linear::new(&video.sub("proj"), frontend.outputs(), d),
            frontend,
            layer: None,
            device: root.device(),
            kind: root.kind(),
            layer_norm: LayerNorm::new(&root.sub("layer_norm"), 2 * d, EPS),
            post_extract_proj: Linear::new(&root.sub("post_extract_proj"), 2 * d, d),
            transformer: Transformer::new(&root.sub("encoder"), config),
        }
    }

    /// The same network, from which [`Self::encode`] takes the output of `layer`.
    ///
    /// # Errors
    /// A layer that the network does not have.
    pub fn at_layer(self, layer: Option<usize>) -> Result<Self> {
        self.check_layer(layer)?;
        Ok(Self { layer, ..self })
    }

    /// Z_m of one clip of gray mouth crops `[t, 88, 88]`, at least one: row-major `[t, d]`.
    pub fn encode(&self, levels: &[u8]) -> Result<Vec<f32>> {
        let _frozen = tch::no_grad_guard();
        let (size, picture) = (INPUT as i64, INPUT * INPUT);
        // As numbers, the crops take four times the memory: never more than a window of them.
        let part = |first: i64, frames: i64| {
            let levels = &levels[first as usize * picture..][..frames as usize * picture];
            let video = Tensor::from_slice(&lip_input(levels)).view([1, 1, frames, size, size]);
            devices::upload(&video, self.device).to_kind(self.kind)
        };
        let resnet_ntc = self.frontend.in_windows((levels.len() / picture) as i64, part);
        let features = self.transformer.forward(&self.joined(&resnet_ntc), None, self.layer);
        finite_rows(&features.squeeze_dim(0), "lip encoder", "--dtype f32")
    }

    /// Features of normalised mouth crops `[n, 1, t, height, width]`: `[n, t, d]`.
    ///
    /// Each clip needs at least one frame. `padded_nt` is true where a clip has ended (see [`pad_batch`]). The video
    /// must be zero there, which is what the 3-D convolution sees beyond the end of a clip that comes alone; rows of
    /// the result there are meaningless. Without `layer` the result is that of the last layer after the final layer
    /// norm; `Some(i)` is the output of layer i, counted from 1, without that norm, also for the last layer.
    ///
    /// # Errors
    /// A layer that the network does not have.
    pub fn features(
        &self,
        video_n1thw: &Tensor,
        padded_nt: Option<&Tensor>,
        layer: Option<usize>,
    ) -> Result<Tensor> {
        self.check_layer(layer)?;
        Ok(self.transformer.forward(&self.transformer_input(video_n1thw), padded_nt, layer))
    }

    fn check_layer(&self, layer: Option<usize>) -> Result<()> {
        let layers = self.transformer.layers();
        match layer.filter(|layer| !(1..=layers).contains(layer)) {
            None => Ok(()),
            Some(layer) => Err(Error::usage(
                format!("AV-HuBERT of {layers} layers has no layer {layer}"),
                format!("give 1 to {layers}, or none for the last layer after the final layer norm"),
            )),
        }
    }

    /// What the ResNet makes of the video, before any projection: `[n, t, 512]`.
    pub fn resnet(&self, video_n1thw: &Tensor) -> Tensor {
        self.frontend.forward(video_n1thw)
    }

    /// What the transformer gets, before its positional convolution: `[n, t, d]`.
    pub fn transformer_input(&self, video_n1thw: &Tensor) -> Tensor {
        self.joined(&self.resnet(video_n1thw))
    }

    /// The ResNet's output `[n, t, 512]` beside the absent audio: `[n, t, d]`.
    fn joined(&self, resnet_ntc: &Tensor) -> Tensor {
        let video_ntd = self.video_proj.forward(resnet_ntc);
        // Absent audio is zeros in the place of the projected audio: the bias of that projection does not take part,
        // but the zeros do take part in the statistics of the norm.
        let audio_ntd = video_ntd.zeros_like();
        let both = Tensor::cat(&[audio_ntd, video_ntd], 2);
        self.post_extract_proj.forward(&self.layer_norm.forward(&both))
    }
}

/// Normalised clips `[t, height, width]` of one frame size as a batch `[n, 1, longest t, height, width]`, filled up with
/// zeros, and the mask `[n, longest t]` that is true where a clip has ended.
pub fn pad_batch(clips_thw: &[Tensor]) -> (Tensor, Tensor) {
    let longest = clips_thw.iter().map(|clip| clip.size()[0]).max().unwrap_or(0);
    let device = clips_thw.first().map_or(Device::Cpu, Tensor::device);
    let (videos, masks): (Vec<Tensor>, Vec<Tensor>) = clips_thw
        .iter()
        .map(|clip_thw| {
            let t = clip_thw.size()[0];
            let video = clip_thw.constant_pad_nd([0, 0, 0, 0, 0, longest - t]).unsqueeze(0);
            (video, Tensor::arange(longest, (Kind::Int64, device)).ge(t))
        })
        .unzip();
    (Tensor::stack(&videos, 0), Tensor::stack(&masks, 0))
}
