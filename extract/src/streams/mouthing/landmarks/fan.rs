//! FAN, the face alignment network (Bulat and Tzimiropoulos 2017, arXiv:1703.07332), in the form and with the weights
//! of `hhj1897/face_alignment` (`ibug/face_alignment/fan`): face boxes to 68 landmarks.
//!
//! Shapes: n faces, k landmarks, c channels, h and w of a feature map.

use serde::{Deserialize, Serialize};
use signclip_common::weights::Part;
use signclip_common::{Result, devices};
use tch::{Device, Kind, Tensor};

use super::crop::CropBox;
use crate::card;
use crate::media::frame::Frame;
use crate::streams::layers::rows::finite_rows;
use crate::streams::layers::{BatchNorm, Conv, double};

/// The reference's configuration, with its own field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FanConfig {
    /// Side of the face box as a share of the side of the crop.
    pub crop_ratio: f32,
    /// Pixels per side of the crop.
    pub input_size: i64,
    /// Stacked hourglasses.
    pub num_modules: i64,
    pub hg_num_features: i64,
    pub hg_depth: i64,
    /// Average instead of largest value, wherever the network halves a map.
    pub use_avg_pool: bool,
    pub stem_conv_kernel_size: i64,
    pub stem_conv_stride: i64,
    pub stem_pool_kernel_size: i64,
    pub num_landmarks: i64,
    /// Exponent of the heat values in the centroid.
    pub gamma: f64,
    /// Reach of the centroid around the peak, as a share of the map's side.
    pub radius: f64,
}

impl FanConfig {
    /// `2dfan2` and, with other weights, `2dfan2_alt`: two hourglasses, largest values.
    pub fn two_hourglasses() -> Self {
        Self {
            crop_ratio: 0.55,
            input_size: 256,
            num_modules: 2,
            hg_num_features: 256,
            hg_depth: 4,
            use_avg_pool: false,
            stem_conv_kernel_size: 7,
            stem_conv_stride: 2,
            stem_pool_kernel_size: 2,
            num_landmarks: 68,
            gamma: 1.0,
            radius: 0.1,
        }
    }

    /// `2dfan4`: four hourglasses, averages.
    pub fn four_hourglasses() -> Self {
        Self { num_modules: 4, use_avg_pool: true, ..Self::two_hourglasses() }
    }

    /// Cut the face `[x1, y1, x2, y2]` out of a picture. Runs on any thread; no tensor is involved.
    pub fn cut(&self, frame: &Frame, face: [f32; 4]) -> Result<FaceCrop> {
        let bounds = CropBox::around(face, self.crop_ratio)?;
        Ok(FaceCrop { picture: bounds.cut(frame, self.input_size as usize)?, bounds })
    }

    fn pool(&self, x_nchw: &Tensor, kernel: i64) -> Tensor {
        let (kernel, none) = ([kernel; 2], [0, 0]);
        if self.use_avg_pool {
            x_nchw.avg_pool2d(kernel, kernel, none, false, true, None)
        } else {
            x_nchw.max_pool2d(kernel, kernel, none, [1, 1], false)
        }
    }
}

/// The network's picture of a face, and where it was cut.
pub struct FaceCrop {
    pub picture: Frame,
    pub bounds: CropBox,
}

/// Faces that pass the network together: on the CPU as many as keep its maps near it.
const FACES_AT_ONCE: usize = 2;

/// The landmarks of one face.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmarks {
    /// x and y in pixels of the picture; the centre of the first pixel is at (0.5, 0.5).
    pub points: Vec<[f32; 2]>,
    /// Peak of each landmark's heat map.
    pub scores: Vec<f32>,
}

/// The network.
pub struct Fan {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: ConvBlock,
    conv3: ConvBlock,
    conv4: ConvBlock,
    stacks: Vec<Stack>,
    config: FanConfig,
    device: Device,
    kind: Kind,
}

impl Fan {
    /// Build from a checkpoint's root part.
    pub fn new(root: &Part, config: &FanConfig) -> Self {
        let (kernel, stride) = (config.stem_conv_kernel_size, config.stem_conv_stride);
        let last = config.num_modules - 1;
        Self {
            conv1: Conv::with_bias(&root.sub("conv1"), 3, 64, kernel, stride),
            bn1: BatchNorm::new(&root.sub("bn1"), 64),
            conv2: ConvBlock::new(&root.sub("conv2"), 64, 128),
            conv3: ConvBlock::new(&root.sub("conv3"), 128, 128),
            conv4: ConvBlock::new(&root.sub("conv4"), 128, config.hg_num_features),
            stacks: (0..=last).map(|i| Stack::new(root, i, i == last, config)).collect(),
            config: config.clone(),
            device: root.device(),
            kind: root.kind(),
        }
    }

    /// Landmarks of the faces that were cut out, in their order. Errors: one that is not finite.
    pub fn landmarks(&self, faces: &[FaceCrop]) -> Result<Vec<Landmarks>> {
        let _frozen = tch::no_grad_guard();
        let at_once = if self.device == Device::Cpu { FACES_AT_ONCE } else { card::FACES };
        let parts = faces.chunks(at_once).map(|faces| self.landmarks_at_once(faces));
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }

    fn landmarks_at_once(&self, faces: &[FaceCrop]) -> Result<Vec<Landmarks>> {
        let crops: Vec<&Frame> =
            card::filled(faces, self.device).into_iter().map(|face| &face.picture).collect();
        let heatmaps_nkhw = self.heatmaps(&self.input(&crops));
        let (height, width) = (heatmaps_nkhw.size()[2] as f32, heatmaps_nkhw.size()[3] as f32);
        let (points_nk2, scores_nk) = self.decode(&heatmaps_nkhw);
        let finite = |x: &Tensor| finite_rows(x, "landmark network", "--face-dtype f32");
        let (points, scores) = (finite(&points_nk2.flatten(1, 2))?, finite(&scores_nk)?);
        let count = self.config.num_landmarks as usize;
        let results = faces.iter().zip(points.chunks_exact(count * 2)).zip(scores.chunks_exact(count));
        Ok(results
            .map(|((face, points), scores)| {
                let b = &face.bounds;
                let place = |xy: &[f32; 2]| {
                    [
                        xy[0] * (b.right - b.left) as f32 / width + b.left as f32,
                        xy[1] * (b.bottom - b.top) as f32 / height + b.top as f32,
                    ]
                };
                let points = points.as_chunks::<2>().0.iter().map(place).collect();
                Landmarks { points, scores: scores.to_vec() }
            })
            .collect())
    }

    /// Crops of the network's input size to `[n, 3, h, w]` in 0..1, on the device and in the type of the weights.
    pub fn input(&self, crops: &[&Frame]) -> Tensor {
        let image = |crop: &&Frame| {
            Tensor::from_slice(&crop.rgb).view([crop.height as i64, crop.width as i64, 3]).permute([2, 0, 1])
        };
        let images: Vec<Tensor> = crops.iter().map(image).collect();
        (devices::upload(&Tensor::stack(&images, 0), self.device).to_kind(Kind::Float) / 255.0)
            .to_kind(self.kind)
    }

    /// What the first hourglass gets: `[n, 3, 256, 256]` to `[n, c, 64, 64]`.
    pub fn stem(&self, crops_n3hw: &Tensor) -> Tensor {
        let x_nchw = self.bn1.forward(&self.conv1.forward(crops_n3hw)).relu();
        let x_nchw = self.config.pool(&self.conv2.forward(&x_nchw), self.config.stem_pool_kernel_size);
        self.conv4.forward(&self.conv3.forward(&x_nchw))
    }

    /// Heat maps of the last hourglass: `[n, 3, 256, 256]` to `[n, k, 64, 64]`.
    pub fn heatmaps(&self, crops_n3hw: &Tensor) -> Tensor {
        let mut x_nchw = self.stem(crops_n3hw);
        let mut heat_nkhw = x_nchw.shallow_clone();
        for stack in &self.stacks {
            let features_nchw = stack.features(&x_nchw, &self.config);
            heat_nkhw = stack.heat.forward(&features_nchw);
            if let Some((features, heat)) = &stack.back {
                x_nchw = x_nchw + features.forward(&features_nchw) + heat.forward(&heat_nkhw);
            }
        }
        heat_nkhw
    }

    /// Heat maps `[n, k, h, w]` to landmarks `[n, k, 2]` (x, y in cells) and scores `[n, k]`, both float32.
    ///
    /// A landmark is the centroid of the positive cells within the radius of the peak, with cell centres at one half.
    /// A map without a positive value gives (0, 0).
    pub fn decode(&self, heatmaps_nkhw: &Tensor) -> (Tensor, Tensor) {
        let heat = heatmaps_nkhw.to_kind(Kind::Float);
        let size = heat.size();
        let (height, width) = (size[2], size[3]);
        let (scores_nk, peak_nk) = heat.flatten(2, 3).max_dim(-1, false);
        let cells = |count: i64| Tensor::arange(count, (Kind::Float, heat.device()));
        let (x_w, y_h) = (cells(width), cells(height));
        let peak = |place_nk: Tensor| place_nk.to_kind(Kind::Float).unsqueeze(-1).unsqueeze(-1);
        let from_x = x_w.view([1, 1, 1, width]) - peak(peak_nk.remainder(width));
        let from_y = y_h.view([1, 1, height, 1]) - peak(peak_nk.divide_scalar_mode(width, "floor"));
        let distance_nkhw = (from_x.square() + from_y.square()).sqrt();
        let radius = self.config.radius * ((height * width) as f64).sqrt();
        let near_nkhw = distance_nkhw.le(radius).to_kind(Kind::Float);
        let mut mass_nkhw = (heat * near_nkhw).clamp_min(0.0);
        if self.config.gamma != 1.0 {
            mass_nkhw = mass_nkhw.pow_tensor_scalar(self.config.gamma);
        }
        let over = |dims: &[i64]| mass_nkhw.sum_dim_intlist(dims, false, Kind::Float);
        let total_nk = over(&[2, 3]).clamp_min(f64::from(f32::EPSILON));
        let centroid = |mass: Tensor, cells: Tensor| {
            (mass * (cells + 0.5)).sum_dim_intlist([2i64].as_slice(), false, Kind::Float) / &total_nk
        };
        (Tensor::stack(&[centroid(over(&[2]), x_w), centroid(over(&[3]), y_h)], -1), scores_nk)
    }
}

/// One hourglass with what leads to its heat maps and back into the next one.
struct Stack {
    hourglass: Hourglass,
    top: ConvBlock,
    conv_last: Conv,
    bn_end: BatchNorm,
    heat: Conv,
    /// From features and from heat maps into the input of the next stack.
    back: Option<(Conv, Conv)>,
}

impl Stack {
    fn new(root: &Part, i: i64, last: bool, config: &FanConfig) -> Self {
        let (c, k) = (config.hg_num_features, config.num_landmarks);
        let pointwise = |name: &str, inputs, outputs| {
            Conv::with_bias(&root.sub(&format!("{name}{i}")), inputs, outputs, 1, 1)
        };
        Self {
            hourglass: Hourglass::new(&root.sub(&format!("m{i}")), c, config.hg_depth),
            top: ConvBlock::new(&root.sub(&format!("top_m_{i}")), c, c),
            conv_last: pointwise("conv_last", c, c),
            bn_end: BatchNorm::new(&root.sub(&format!("bn_end{i}")), c),
            heat: pointwise("l", c, k),
            back: (!last).then(|| (pointwise("bl", c, c), pointwise("al", k, c))),
        }
    }

    fn features(&self, x_nchw: &Tensor, config: &FanConfig) -> Tensor {
        let x_nchw = self.top.forward(&self.hourglass.forward(x_nchw, config));
        self.bn_end.forward(&self.conv_last.forward(&x_nchw)).relu()
    }
}

/// One level of an hourglass: a branch at full size, and one at half size with the next level inside.
struct Hourglass {
    full: ConvBlock,
    down: ConvBlock,
    inner: Inner,
    up: ConvBlock,
}

enum Inner {
    Level(Box<Hourglass>),
    Bottom(Box<ConvBlock>),
}

impl Hourglass {
    fn new(part: &Part, c: i64, level: i64) -> Self {
        let block = |name: &str| ConvBlock::new(&part.sub(&format!("{name}_{level}")), c, c);
        let inner = if level > 1 {
            Inner::Level(Box::new(Self::new(part, c, level - 1)))
        } else {
            Inner::Bottom(Box::new(block("b2_plus")))
        };
        Self { full: block("b1"), down: block("b2"), inner, up: block("b3") }
    }

    fn forward(&self, x_nchw: &Tensor, config: &FanConfig) -> Tensor {
        let low_nchw = self.down.forward(&config.pool(x_nchw, 2));
        let low_nchw = match &self.inner {
            Inner::Level(level) => level.forward(&low_nchw, config),
            Inner::Bottom(block) => block.forward(&low_nchw),
        };
        self.full.forward(x_nchw) + double(&self.up.forward(&low_nchw))
    }
}

/// Three convolutions, normalised before each, whose outputs side by side are added to the input.
struct ConvBlock {
    layers: [(BatchNorm, Conv); 3],
    /// For the input, where it has another number of channels.
    downsample: Option<(BatchNorm, Conv)>,
}

impl ConvBlock {
    fn new(part: &Part, inputs: i64, outputs: i64) -> Self {
        let (half, quarter) = (outputs / 2, outputs / 4);
        let pair = |norm: &str, conv: &str, inputs, outputs, kernel| {
            let norm = BatchNorm::new(&part.sub(norm), inputs);
            (norm, Conv::new(&part.sub(conv), inputs, outputs, kernel, 1))
        };
        Self {
            layers: [
                pair("bn1", "conv1", inputs, half, 3),
                pair("bn2", "conv2", half, quarter, 3),
                pair("bn3", "conv3", quarter, quarter, 3),
            ],
            downsample: (inputs != outputs).then(|| pair("downsample.0", "downsample.2", inputs, outputs, 1)),
        }
    }

    fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let apply = |(norm, conv): &(BatchNorm, Conv), x: &Tensor| conv.forward(&norm.forward(x).relu());
        let [first, second, third] = &self.layers;
        let first = apply(first, x_nchw);
        let second = apply(second, &first);
        let third = apply(third, &second);
        let skip = self.downsample.as_ref().map_or_else(|| x_nchw.shallow_clone(), |d| apply(d, x_nchw));
        Tensor::cat(&[first, second, third], 1) + skip
    }
}
