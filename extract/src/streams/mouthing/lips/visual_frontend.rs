//! From mouth crops to one vector for each frame: `ResEncoder` of `avhubert/resnet.py` in facebookresearch/av_hubert, a
//! 3-D convolution over five frames and then a ResNet-18 on every frame, with PReLU.
//!
//! Every convolution is followed by batch normalisation with fixed statistics; the two are folded into one convolution
//! at construction.
//!
//! Shapes: n clips, t frames, c channels, h and w height and width; m = n·t frames of all clips.

use crate::streams::layers::frozen::Frozen;
use crate::streams::layers::{Conv, folded};
use signclip_common::weights::Part;
use tch::{Device, Tensor};

/// Channels of the four stages, in those of the first one, which comes after the stem and keeps the size; the others
/// halve it.
const STAGES: [i64; 4] = [1, 2, 4, 8];
const BLOCKS: usize = 2;

/// The stem looks this many frames back and ahead.
const REACH: i64 = 2;

/// Frames of a clip that pass together, so that memory does not grow with the clip.
const WINDOW: usize = 64;

/// The stem and the ResNet.
pub struct VisualFrontend {
    stem: Stem,
    stem_slopes: Frozen,
    blocks: Vec<Block>,
    outputs: i64,
}

impl VisualFrontend {
    /// Build from the part `feature_extractor_video.resnet`; `width` is 64 in the published networks.
    pub fn new(part: &Part, width: i64) -> Self {
        let stem = part.sub("frontend3D");
        let stages = STAGES.map(|factor| factor * width);
        let channels = stages[0];
        let kernel = [channels, 1, 2 * REACH + 1, 7, 7];
        let blocks = (0..STAGES.len()).flat_map(|stage| (0..BLOCKS).map(move |block| (stage, block)));
        let block = |(stage, block): (usize, usize)| {
            let begins = stage > 0 && block == 0;
            let inputs = if begins { stages[stage - 1] } else { stages[stage] };
            Block::new(&part.sub(&format!("trunk.layer{}.{block}", stage + 1)), inputs, stages[stage])
        };
        Self {
            stem: Stem::new(&stem.sub("0"), &stem.sub("1"), &kernel),
            stem_slopes: stem.get("2.weight", &[channels]).into(),
            blocks: blocks.map(block).collect(),
            outputs: stages[3],
        }
    }

    /// Values for each frame: 512 in the published networks.
    pub fn outputs(&self) -> i64 {
        self.outputs
    }

    /// Video `[n, 1, t, h, w]` to `[n, t, 512]`. Beyond both ends of a clip there are zeros.
    pub fn forward(&self, video_n1thw: &Tensor) -> Tensor {
        self.in_windows(video_n1thw.size()[2], |first, frames| video_n1thw.narrow(2, first, frames))
    }

    /// The same for a clip of `t` frames of which `part(first, frames)` gives a part `[n, 1, frames, h, w]`, so that the
    /// whole of a long one need not be there at once.
    pub fn in_windows(&self, t: i64, part: impl Fn(i64, i64) -> Tensor) -> Tensor {
        let window = |begin: i64| {
            let (wanted, beyond) = (begin - REACH, (begin + WINDOW as i64).min(t) + REACH);
            let (first, end) = (wanted.max(0), beyond.min(t));
            let video = part(first, end - first).to_kind(self.stem.weight.kind());
            // On a card always a whole window: one shape.
            let more = if video.device().is_cuda() { begin + WINDOW as i64 + REACH - beyond } else { 0 };
            let rows = self.window(&video.constant_pad_nd([0, 0, 0, 0, first - wanted, beyond - end + more]));
            rows.narrow(1, 0, beyond - REACH - begin)
        };
        Tensor::cat(&(0..t).step_by(WINDOW).map(window).collect::<Vec<_>>(), 1)
    }

    /// Frames with their neighbours on both sides, which get no vectors of their own.
    fn window(&self, video_n1thw: &Tensor) -> Tensor {
        let n = video_n1thw.size()[0];
        // What follows looks at one frame at a time.
        let low_mchw = self.stem.over_time(video_n1thw).prelu(&self.stem_slopes);
        let mut x_mchw = low_mchw.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        for block in &self.blocks {
            x_mchw = block.forward(&x_mchw);
        }
        x_mchw.mean_dim([2_i64, 3].as_slice(), false, x_mchw.kind()).view([n, -1, self.outputs])
    }
}

/// Two 3×3 convolutions beside a shortcut. Where the channels change, the size is halved and the shortcut is a 1×1
/// convolution.
struct Block {
    conv1: Conv,
    slopes1: Frozen,
    conv2: Conv,
    slopes2: Frozen,
    shortcut: Option<Conv>,
}

impl Block {
    fn new(part: &Part, inputs: i64, outputs: i64) -> Self {
        let convolution = |conv: &str, norm: &str, inputs: i64, kernel: i64, stride: i64| {
            Conv::normed(&part.sub(conv), &part.sub(norm), inputs, outputs, kernel, stride)
        };
        let halves = inputs != outputs;
        let stride = if halves { 2 } else { 1 };
        Self {
            conv1: convolution("conv1", "bn1", inputs, 3, stride),
            slopes1: part.get("relu1.weight", &[outputs]).into(),
            conv2: convolution("conv2", "bn2", outputs, 3, 1),
            slopes2: part.get("relu2.weight", &[outputs]).into(),
            shortcut: halves.then(|| convolution("downsample.0", "downsample.1", inputs, 1, stride)),
        }
    }

    fn forward(&self, x_mchw: &Tensor) -> Tensor {
        let inner = self.conv1.forward(x_mchw).prelu(&self.slopes1);
        let outer = self.conv2.forward(&inner);
        let sum = match &self.shortcut {
            Some(shortcut) => outer + shortcut.forward(x_mchw),
            None => outer + x_mchw,
        };
        sum.prelu(&self.slopes2)
    }
}

/// The convolution over five frames, together with the batch normalisation behind it.
struct Stem {
    weight: Frozen,
    bias: Frozen,
}

impl Stem {
    fn new(conv: &Part, norm: &Part, shape: &[i64]) -> Self {
        let (weight, bias) = folded(conv, norm, shape);
        Self { weight, bias }
    }

    /// Gray video `[n, 1, t, h, w]` to `[n·(t - 4), c, h/2, w/2]`.
    fn over_time(&self, video_n1thw: &Tensor) -> Tensor {
        match video_n1thw.device() {
            Device::Cpu => {
                let bias = Some(&*self.bias);
                let low_ncthw = video_n1thw.conv3d(&self.weight, bias, [1, 2, 2], [0, 3, 3], [1, 1, 1], 1);
                low_ncthw.transpose(1, 2).flatten(0, 1)
            }
            _ => self.over_shifted(video_n1thw),
        }
    }

    /// The same with the frames that the kernel sees side by side as channels: cuDNN has no fast three-dimensional
    /// convolution of a single channel in bf16.
    fn over_shifted(&self, video_n1thw: &Tensor) -> Tensor {
        let shifted_nthwk = video_n1thw.squeeze_dim(1).unfold(1, 2 * REACH + 1, 1);
        let shifted_mkhw = shifted_nthwk.permute([0, 1, 4, 2, 3]).flatten(0, 1);
        let weight_ckhw = self.weight.squeeze_dim(1);
        shifted_mkhw.conv2d(&weight_ckhw, Some(&*self.bias), [2, 2], [3, 3], [1, 1], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::layers::tests::wave;

    /// What a GPU computes, on the CPU.
    #[test]
    fn shifted_frames_are_the_third_dimension() {
        let stem = Stem { weight: wave(&[6, 1, 5, 7, 7], 0.37).into(), bias: wave(&[6], 0.7).into() };
        let video = wave(&[2, 1, 9, 16, 20], 1.3);
        let (got, want) = (stem.over_shifted(&video), stem.over_time(&video));
        assert_eq!(got.size(), [10, 6, 8, 10]);
        let gap = (got - want).abs().max().double_value(&[]);
        assert!(gap < 1e-4, "{gap}");
    }
}
