//! RetinaFace (Deng and others 2019, arXiv:1905.00641), in the form and with the weights of `hhj1897/face_detection`
//! (`ibug/face_detection/retina_face`): a picture to boxes, scores and five points.
//!
//! Shapes: n pictures, c channels, h and w of a picture or map, p prior boxes.

use signclip_common::Result;
use signclip_common::weights::Part;
use tch::{Device, Kind, Tensor};

pub use super::bodies::BodyKind;
use super::bodies::{Body, leaky_relu};
pub use super::config::{RetinaFaceConfig, Selection};
use super::decoder::{FaceDecoder, Outputs};
use super::face::Face;
use crate::card;
use crate::media::frame::Frame;
use crate::streams::layers::frozen::Frozen;
use crate::streams::layers::{Conv, pictures};

/// Subtracted from blue, green and red.
pub const MEAN_BGR: [f32; 3] = [104.0, 117.0, 123.0];

/// The reference's default for the score from which on a box counts as a face.
pub const THRESHOLD: f32 = 0.8;

/// Prior boxes of every cell.
const ANCHORS: i64 = 2;

/// Pixels of the pictures that pass the network together: what keeps its maps near the CPU.
const PIXELS_AT_ONCE: usize = 1 << 20;

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
    mean_bgr: Frozen,
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
            mean_bgr: Tensor::from_slice(&MEAN_BGR).to_device(root.device()).into(),
            config: config.clone(),
            device: root.device(),
            kind: root.kind(),
        }
    }

    /// The faces of each picture whose score is at least `threshold`, best first.
    pub fn detect(&self, frames: &[&Frame], threshold: f32) -> Result<Vec<Vec<Face>>> {
        let mut decoder = FaceDecoder::new(&self.config);
        self.outputs(frames)?.iter().map(|outputs| decoder.faces(outputs, threshold)).collect()
    }

    /// What the network says about each picture. Pictures of one size that follow each other pass it together, as many as
    /// [`PIXELS_AT_ONCE`] allows.
    pub fn outputs(&self, frames: &[&Frame]) -> Result<Vec<Outputs>> {
        let _frozen = tch::no_grad_guard();
        let mut outputs = Vec::with_capacity(frames.len());
        let size = |frame: &Frame| (frame.width, frame.height);
        let cpu = self.device == Device::Cpu;
        let most = if cpu { PIXELS_AT_ONCE } else { card::PIXELS };
        for frames in frames.chunk_by(|a, b| size(a) == size(b)) {
            let (width, height) = size(frames[0]);
            for frames in frames.chunks((most / (width * height).max(1)).max(1)) {
                let batch: Vec<&Frame> = card::filled(frames, self.device).into_iter().copied().collect();
                let heads = self.heads(&self.pyramid(&self.body(&self.input(&batch))));
                // One copy for all.
                let values_npv = Tensor::cat(&[heads.class_np2, heads.loc_np4, heads.landm_np10], 2)
                    .narrow(0, 0, frames.len() as i64)
                    .to_kind(Kind::Float)
                    .to_device(Device::Cpu);
                for values_pv in values_npv.unbind(0) {
                    let values = Vec::<f32>::try_from(values_pv.contiguous().view(-1))?;
                    outputs.push(Outputs { values, width, height });
                }
            }
        }
        Ok(outputs)
    }

    /// Pictures of one size at that size, blue first, minus the mean: `[n, 3, h, w]`.
    pub fn input(&self, frames: &[&Frame]) -> Tensor {
        let size = frames.first().map_or([0, 0], |frame| [frame.height as i64, frame.width as i64]);
        let rgb = frames.iter().map(|frame| frame.rgb.as_slice());
        let bgr_nhw3 = pictures::upload(rgb, size, self.device).flip([3]).to_kind(Kind::Float);
        (bgr_nhw3 - &*self.mean_bgr).permute([0, 3, 1, 2]).contiguous().to_kind(self.kind)
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
