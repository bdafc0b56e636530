//! RetinaFace (Deng and others 2019, arXiv:1905.00641), in the form and with the weights of `hhj1897/face_detection`
//! (`ibug/face_detection/retina_face`): a picture to boxes, scores and five points.
//!
//! Shapes: n pictures, c channels, h and w of a picture or map, p prior boxes.

use serde::{Deserialize, Serialize};
use signclip_common::weights::Part;
use signclip_common::{Result, devices};
use tch::{Device, IndexOp, Kind, Tensor};

pub use super::bodies::BodyKind;
use super::bodies::{Body, leaky_relu};
use super::face::Face;
use super::{nms, priors};
use crate::media::frame::Frame;
use crate::streams::layers::Conv;

/// Subtracted from blue, green and red.
pub const MEAN_BGR: [f32; 3] = [104.0, 117.0, 123.0];

/// The reference's default for the score from which on a box counts as a face.
pub const THRESHOLD: f32 = 0.8;

/// Prior boxes of every cell.
const ANCHORS: i64 = 2;

/// Pixels of the pictures that pass the network together: what keeps its maps near the CPU.
const PIXELS_AT_ONCE: usize = 1 << 20;
const CUDA_PIXELS_AT_ONCE: usize = 16 << 20;

/// The reference's configuration, with its own field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetinaFaceConfig {
    #[serde(rename = "name")]
    pub body: BodyKind,
    pub min_sizes: Vec<Vec<f64>>,
    pub steps: Vec<usize>,
    pub variance: [f64; 2],
    pub clip: bool,
    /// Half the channels of the body's finest map that is used.
    pub in_channel: i64,
    /// Channels of the pyramid.
    pub out_channel: i64,
    #[serde(flatten)]
    pub selection: Selection,
}

/// Which boxes stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Boxes with a lower score do not take part in the suppression.
    pub conf_thresh: f32,
    /// At most so many boxes take part in it.
    pub nms_top_k: usize,
    pub nms_thresh: f32,
    /// At most so many boxes come out of it.
    pub top_k: usize,
}

impl Default for Selection {
    fn default() -> Self {
        Self { conf_thresh: 0.02, nms_top_k: 5000, nms_thresh: 0.4, top_k: 750 }
    }
}

impl RetinaFaceConfig {
    /// The small network, 0.4 million parameters.
    pub fn mobilenet025() -> Self {
        Self {
            body: BodyKind::MobileNet025,
            min_sizes: [[16.0, 32.0], [64.0, 128.0], [256.0, 512.0]].map(Vec::from).into(),
            steps: vec![8, 16, 32],
            variance: [0.1, 0.2],
            clip: false,
            in_channel: 32,
            out_channel: 64,
            selection: Selection::default(),
        }
    }

    /// The large network, the reference's default.
    pub fn resnet50() -> Self {
        Self { body: BodyKind::ResNet50, in_channel: 256, out_channel: 256, ..Self::mobilenet025() }
    }
}

/// What the network says about every prior box.
pub struct Heads {
    /// Corrections of the box, `[n, p, 4]`.
    pub loc_np4: Tensor,
    /// Background and face, before the softmax, `[n, p, 2]`.
    pub class_np2: Tensor,
    /// Five points, `[n, p, 10]`.
    pub landm_np10: Tensor,
}

/// The network.
pub struct RetinaFace {
    body: Body,
    lateral: [ConvNorm; 3],
    merge: [ConvNorm; 2],
    context: [Context; 3],
    heads: [[Conv; 3]; 3],
    config: RetinaFaceConfig,
    device: Device,
    kind: Kind,
}

impl RetinaFace {
    /// Build from a checkpoint's root part, whose keys have no `module.` before them.
    pub fn new(root: &Part, config: &RetinaFaceConfig) -> Self {
        let c = config.out_channel;
        let slope = if c <= 64 { 0.1 } else { 0.0 };
        let fpn = root.sub("fpn");
        let head = |name: &str, level: i32, values: i64| {
            Conv::with_bias(&root.sub(&format!("{name}.{level}.conv1x1")), c, ANCHORS * values, 1, 1)
        };
        Self {
            body: Body::new(&root.sub("body"), config.body),
            lateral: [1, 2, 3].map(|i| {
                let inputs = config.in_channel << i;
                ConvNorm::new(&fpn.sub(&format!("output{i}")), inputs, c, 1, Some(slope))
            }),
            merge: [1, 2].map(|i| ConvNorm::new(&fpn.sub(&format!("merge{i}")), c, c, 3, Some(slope))),
            context: [1, 2, 3].map(|i| Context::new(&root.sub(&format!("ssh{i}")), c, slope)),
            heads: [("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10)]
                .map(|(name, values)| [0, 1, 2].map(|level| head(name, level, values))),
            config: config.clone(),
            device: root.device(),
            kind: root.kind(),
        }
    }

    /// The faces of each picture whose score is at least `threshold`, best first. Pictures of one size that follow
    /// each other pass the network together, as many as [`PIXELS_AT_ONCE`] allows.
    pub fn detect(&self, frames: &[&Frame], threshold: f32) -> Result<Vec<Vec<Face>>> {
        let _frozen = tch::no_grad_guard();
        let mut found = Vec::with_capacity(frames.len());
        let size = |frame: &Frame| (frame.width, frame.height);
        let cpu = self.device == Device::Cpu;
        let most = if cpu { PIXELS_AT_ONCE } else { CUDA_PIXELS_AT_ONCE };
        for frames in frames.chunk_by(|a, b| size(a) == size(b)) {
            let (width, height) = size(frames[0]);
            for frames in frames.chunks((most / (width * height).max(1)).max(1)) {
                let heads = self.heads(&self.pyramid(&self.body(&self.input(frames))));
                for index in 0..frames.len() {
                    found.push(self.faces(&heads, index, width, height, threshold)?);
                }
            }
        }
        Ok(found)
    }

    /// Pictures of one size at that size, blue first, minus the mean: `[n, 3, h, w]`.
    pub fn input(&self, frames: &[&Frame]) -> Tensor {
        let image = |frame: &&Frame| {
            Tensor::from_slice(&frame.rgb).view([frame.height as i64, frame.width as i64, 3])
        };
        let rgb_nhw3 = Tensor::stack(&frames.iter().map(image).collect::<Vec<_>>(), 0);
        let bgr_nhw3 = devices::upload(&rgb_nhw3, self.device).flip([3]).to_kind(Kind::Float);
        let mean = Tensor::from_slice(&MEAN_BGR).to_device(self.device);
        (bgr_nhw3 - mean).permute([0, 3, 1, 2]).contiguous().to_kind(self.kind)
    }

    /// The body's maps of strides 8, 16 and 32.
    pub fn body(&self, x_n3hw: &Tensor) -> [Tensor; 3] {
        self.body.forward(x_n3hw)
    }

    /// The body's maps to as many with equal channels, where the finer ones know of the coarser ones.
    pub fn pyramid(&self, maps: &[Tensor; 3]) -> [Tensor; 3] {
        let [fine, middle, coarse] = [0, 1, 2].map(|i| self.lateral[i].forward(&maps[i]));
        let onto = |target: &Tensor, source: &Tensor| {
            target + source.upsample_nearest2d(&target.size()[2..], None, None)
        };
        let middle = self.merge[1].forward(&onto(&middle, &coarse));
        let fine = self.merge[0].forward(&onto(&fine, &middle));
        [fine, middle, coarse]
    }

    /// The pyramid's maps to the outputs of all levels, finest first.
    pub fn heads(&self, pyramid: &[Tensor; 3]) -> Heads {
        let maps: Vec<Tensor> =
            self.context.iter().zip(pyramid).map(|(context, x)| context.forward(x)).collect();
        let [loc_np4, class_np2, landm_np10] = self.heads.each_ref().map(|levels| {
            let outputs: Vec<Tensor> = levels
                .iter()
                .zip(&maps)
                .map(|(head, x)| {
                    let out_nchw = head.forward(x);
                    let (n, values) = (out_nchw.size()[0], out_nchw.size()[1] / ANCHORS);
                    out_nchw.permute([0, 2, 3, 1]).reshape([n, -1, values])
                })
                .collect();
            Tensor::cat(&outputs, 1)
        });
        Heads { loc_np4, class_np2, landm_np10 }
    }

    /// The outputs for picture `index`, of `width`×`height` pixels, to faces with at least the score `threshold`.
    pub fn faces(
        &self,
        heads: &Heads,
        index: usize,
        width: usize,
        height: usize,
        threshold: f32,
    ) -> Result<Vec<Face>> {
        let config = &self.config;
        let plain = |x: &Tensor| x.i(index as i64).to_device(Device::Cpu).to_kind(Kind::Float);
        let scores = plain(&heads.class_np2).softmax(-1, Kind::Float).i((.., 1));
        let scores = Vec::<f32>::try_from(scores.contiguous())?;
        let priors = priors::priors(width, height, &config.min_sizes, &config.steps, config.clip);
        let (boxes, points) =
            decode(&plain(&heads.loc_np4), &plain(&heads.landm_np10), &priors, config.variance);
        let pixels = Tensor::from_slice(&[width as f32, height as f32]);
        let boxes = Vec::<f32>::try_from((boxes * pixels.repeat([2])).contiguous().view(-1))?;
        let points = Vec::<f32>::try_from((points * pixels.repeat([5])).contiguous().view(-1))?;
        let (boxes, points) = (boxes.as_chunks::<4>().0, points.as_chunks::<10>().0);

        let selection = &config.selection;
        let mut order: Vec<usize> =
            (0..scores.len()).filter(|&i| scores[i] > selection.conf_thresh).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(selection.nms_top_k);
        let candidates: Vec<[f32; 4]> = order.iter().map(|&i| boxes[i]).collect();
        let kept = nms::suppress(&candidates, selection.nms_thresh, 1.0, selection.top_k);
        let face = |i: usize| {
            let [ax, ay, bx, by, cx, cy, dx, dy, ex, ey] = points[i];
            let points = [[ax, ay], [bx, by], [cx, cy], [dx, dy], [ex, ey]];
            Face { bounds: boxes[i], score: scores[i], points }
        };
        Ok(kept.into_iter().map(|k| face(order[k])).filter(|face| face.score >= threshold).collect())
    }
}

/// Corrections of the prior boxes to corners `[p, 4]` and points `[p, 10]`, as shares of the picture.
fn decode(loc_p4: &Tensor, landm_p10: &Tensor, priors_p4: &Tensor, variance: [f64; 2]) -> (Tensor, Tensor) {
    let (place_p2, size_p2) = (priors_p4.narrow(1, 0, 2), priors_p4.narrow(1, 2, 2));
    let moved = |by: &Tensor, place: &Tensor, size: &Tensor| place + by * variance[0] * size;
    let centre_p2 = moved(&loc_p4.narrow(1, 0, 2), &place_p2, &size_p2);
    let extent_p2 = &size_p2 * (loc_p4.narrow(1, 2, 2) * variance[1]).exp();
    let low_p2 = centre_p2 - &extent_p2 / 2.0;
    let high_p2 = &low_p2 + extent_p2;
    let landm_p52 = landm_p10.view([-1, 5, 2]);
    let points_p52 = moved(&landm_p52, &place_p2.unsqueeze(1), &size_p2.unsqueeze(1));
    (Tensor::cat(&[low_p2, high_p2], 1), points_p52.view([-1, 10]))
}

/// Convolution without bias, batch normalisation, and a rectifier if there is a slope.
struct ConvNorm {
    conv: Conv,
    slope: Option<f64>,
}

impl ConvNorm {
    fn new(part: &Part, inputs: i64, outputs: i64, kernel: i64, slope: Option<f64>) -> Self {
        Self { conv: Conv::normed(&part.sub("0"), &part.sub("1"), inputs, outputs, kernel, 1), slope }
    }

    fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let x_nchw = self.conv.forward(x_nchw);
        match self.slope {
            Some(slope) => leaky_relu(&x_nchw, slope),
            None => x_nchw,
        }
    }
}

/// The context module of SSH (Najibi and others 2017, arXiv:1708.03979): views of 3×3, 5×5 and 7×7 side by side,
/// the larger ones as chains of 3×3.
struct Context {
    three: ConvNorm,
    five: [ConvNorm; 2],
    seven: [ConvNorm; 2],
}

impl Context {
    fn new(part: &Part, c: i64, slope: f64) -> Self {
        let view =
            |name: &str, inputs, outputs, slope| ConvNorm::new(&part.sub(name), inputs, outputs, 3, slope);
        let quarter = c / 4;
        Self {
            three: view("conv3X3", c, c / 2, None),
            five: [view("conv5X5_1", c, quarter, Some(slope)), view("conv5X5_2", quarter, quarter, None)],
            seven: [
                view("conv7X7_2", quarter, quarter, Some(slope)),
                // sic: the checkpoint's own spelling
                view("conv7x7_3", quarter, quarter, None),
            ],
        }
    }

    fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let begun = self.five[0].forward(x_nchw);
        let five = self.five[1].forward(&begun);
        let seven = self.seven[1].forward(&self.seven[0].forward(&begun));
        Tensor::cat(&[self.three.forward(x_nchw), five, seven], 1).relu()
    }
}
