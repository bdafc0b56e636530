//! The convolutional bodies of RetinaFace: a picture to feature maps of strides 8, 16 and 32.

use serde::{Deserialize, Serialize};
use signclip_common::weights::Part;
use tch::Tensor;

use crate::streams::layers::Conv;

/// Which body, by its name in the reference's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyKind {
    #[serde(rename = "mobilenet0.25")]
    MobileNet025,
    #[serde(rename = "Resnet50")]
    ResNet50,
}

/// A body with its weights.
pub(super) enum Body {
    MobileNet([Vec<Separable>; 3]),
    ResNet(Box<ResNet>),
}

impl Body {
    /// Build from the part `body` of a checkpoint.
    pub(super) fn new(part: &Part, kind: BodyKind) -> Self {
        match kind {
            BodyKind::MobileNet025 => Self::MobileNet(mobile_net(part)),
            BodyKind::ResNet50 => Self::ResNet(Box::new(ResNet::new(part))),
        }
    }

    /// `[n, 3, h, w]` to the three maps, finest first.
    pub(super) fn forward(&self, x_n3hw: &Tensor) -> [Tensor; 3] {
        let mut x_nchw = x_n3hw.shallow_clone();
        match self {
            Self::MobileNet(stages) => stages.each_ref().map(|stage| {
                for block in stage {
                    x_nchw = block.forward(&x_nchw);
                }
                x_nchw.shallow_clone()
            }),
            Self::ResNet(net) => {
                x_nchw = net.conv1.forward(&x_nchw).relu();
                x_nchw = x_nchw.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
                let maps = net.layers.each_ref().map(|layer| {
                    for block in layer {
                        x_nchw = block.forward(&x_nchw);
                    }
                    x_nchw.shallow_clone()
                });
                let [_, second, third, fourth] = maps;
                [second, third, fourth]
            }
        }
    }
}

/// max(x, slope · x); slope 0 is ReLU.
pub(super) fn leaky_relu(x: &Tensor, slope: f64) -> Tensor {
    if slope == 0.0 { x.relu() } else { x.maximum(&(x * slope)) }
}

/// MobileNet V1 (Howard and others 2017, arXiv:1704.04861) at a quarter of its width.
fn mobile_net(part: &Part) -> [Vec<Separable>; 3] {
    const SLOPE: f64 = 0.1;
    // Output channels and strides of each stage; a first plain convolution leads from 3 channels to 8.
    const STAGES: [&[(i64, i64)]; 3] = [
        &[(8, 2), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)],
        &[(128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1)],
        &[(256, 2), (256, 1)],
    ];
    let mut inputs = 3;
    let mut stage = 0;
    STAGES.map(|blocks| {
        stage += 1;
        let mut built = Vec::with_capacity(blocks.len());
        for (i, &(outputs, stride)) in blocks.iter().enumerate() {
            let part = part.sub(&format!("stage{stage}.{i}"));
            let layers = if inputs == 3 {
                vec![Conv::normed(&part.sub("0"), &part.sub("1"), inputs, outputs, 3, stride)]
            } else {
                vec![
                    Conv::depthwise(&part.sub("0"), &part.sub("1"), inputs, stride),
                    Conv::normed(&part.sub("3"), &part.sub("4"), inputs, outputs, 1, 1),
                ]
            };
            built.push(Separable { layers, slope: SLOPE });
            inputs = outputs;
        }
        built
    })
}

/// A filter for each channel and a mixture of channels, each normalised and rectified.
pub(super) struct Separable {
    layers: Vec<Conv>,
    slope: f64,
}

impl Separable {
    fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let mut x_nchw = x_nchw.shallow_clone();
        for conv in &self.layers {
            x_nchw = leaky_relu(&conv.forward(&x_nchw), self.slope);
        }
        x_nchw
    }
}

/// ResNet-50 (He and others 2015, arXiv:1512.03385) as torchvision builds it, with its names.
pub(super) struct ResNet {
    conv1: Conv,
    layers: [Vec<Bottleneck>; 4],
}

impl ResNet {
    fn new(part: &Part) -> Self {
        let mut inputs = 64;
        // Inner channels, blocks and stride of the first block.
        let layers = [(1, 64, 3, 1), (2, 128, 4, 2), (3, 256, 6, 2), (4, 512, 3, 2)].map(
            |(layer, inner, blocks, stride)| {
                let mut built = Vec::with_capacity(blocks);
                for i in 0..blocks {
                    let part = part.sub(&format!("layer{layer}.{i}"));
                    built.push(Bottleneck::new(&part, inputs, inner, if i == 0 { stride } else { 1 }));
                    inputs = 4 * inner;
                }
                built
            },
        );
        Self { conv1: Conv::normed(&part.sub("conv1"), &part.sub("bn1"), 3, 64, 7, 2), layers }
    }
}

/// Three convolutions, the middle one 3×3 on a quarter of the channels, added to the input.
struct Bottleneck {
    layers: [Conv; 3],
    /// For the input, where it has another number of channels or another size.
    downsample: Option<Conv>,
}

impl Bottleneck {
    fn new(part: &Part, inputs: i64, inner: i64, stride: i64) -> Self {
        let pair = |conv: &str, norm: &str, inputs, outputs, kernel, stride| {
            Conv::normed(&part.sub(conv), &part.sub(norm), inputs, outputs, kernel, stride)
        };
        let outputs = 4 * inner;
        Self {
            layers: [
                pair("conv1", "bn1", inputs, inner, 1, 1),
                pair("conv2", "bn2", inner, inner, 3, stride),
                pair("conv3", "bn3", inner, outputs, 1, 1),
            ],
            downsample: (inputs != outputs || stride != 1)
                .then(|| pair("downsample.0", "downsample.1", inputs, outputs, 1, stride)),
        }
    }

    fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let [first, second, third] = &self.layers;
        let inner = second.forward(&first.forward(x_nchw).relu()).relu();
        let skip = self.downsample.as_ref().map_or_else(|| x_nchw.shallow_clone(), |d| d.forward(x_nchw));
        (third.forward(&inner) + skip).relu()
    }
}
