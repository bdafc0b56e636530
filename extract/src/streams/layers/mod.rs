//! What the networks share, in inference mode; here the layers of the convolutional ones.

use crate::streams::layers::frozen::Frozen;
pub mod attention;
pub(crate) mod frozen;
pub mod passes;
pub(crate) mod pictures;
pub(crate) mod pre_norm;
pub(crate) mod rows;

use signclip_common::weights::Part;
use tch::{Kind, Tensor};

/// `eps` of PyTorch's batch normalisation.
const EPS: f64 = 1e-5;

/// Weight and bias of a convolution together with the batch normalisation behind it, whose statistics are fixed. Computed
/// in float64. `shape` is that of the weight.
pub(crate) fn folded(conv: &Part, norm: &Part, shape: &[i64]) -> (Frozen, Frozen) {
    let kind = conv.kind();
    let [conv, norm] = [conv, norm].map(|part| part.in_kind(Kind::Double));
    let channels = shape[0];
    let [weight, bias, mean, var] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| norm.get(name, &[channels]));
    norm.skip("num_batches_tracked");
    let scale = weight / (var + EPS).sqrt();
    let bias = bias - mean * &scale;
    let mut outputs_only = vec![1; shape.len()];
    outputs_only[0] = channels;
    let weight = conv.get("weight", shape) * scale.view(outputs_only.as_slice());
    (laid_out(weight.to_kind(kind)).into(), bias.to_kind(kind).into())
}

/// The weight of a convolution as its kernels read it best. On a GPU the products of half-precision types want channels last in
/// memory; the input of a convolution and what follows it are laid out as the weight is.
fn laid_out(weight: Tensor) -> Tensor {
    match weight.device().is_cuda() && weight.kind() != Kind::Float && weight.dim() == 4 {
        true => channels_last(&weight),
        false => weight,
    }
}

/// The same `[o, c, h, w]` with the values of one place next to each other.
fn channels_last(weight_ochw: &Tensor) -> Tensor {
    weight_ochw.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// A two-dimensional convolution with a square kernel, padded so that stride 1 keeps the size.
pub(crate) struct Conv {
    weight: Frozen,
    bias: Option<Frozen>,
    stride: i64,
    groups: i64,
}

impl Conv {
    /// Without bias: the usual form behind a normalisation.
    pub(crate) fn new(part: &Part, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        let weight = laid_out(part.get("weight", &[outputs, inputs, kernel, kernel]));
        Self { weight: weight.into(), bias: None, stride, groups: 1 }
    }

    pub(crate) fn with_bias(part: &Part, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        let bias = Some(part.get("bias", &[outputs]).into());
        Self { bias, ..Self::new(part, inputs, outputs, kernel, stride) }
    }

    /// Together with the batch normalisation `norm` behind it.
    pub(crate) fn normed(
        conv: &Part,
        norm: &Part,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Self {
        let (weight, bias) = folded(conv, norm, &[outputs, inputs, kernel, kernel]);
        Self { weight, bias: Some(bias), stride, groups: 1 }
    }

    /// One 3×3 filter for every channel, together with the batch normalisation behind it.
    pub(crate) fn depthwise(conv: &Part, norm: &Part, channels: i64, stride: i64) -> Self {
        let (weight, bias) = folded(conv, norm, &[channels, 1, 3, 3]);
        Self { weight, bias: Some(bias), stride, groups: channels }
    }

    pub(crate) fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let padding = self.weight.size()[2] / 2;
        let bias = self.bias.as_deref();
        x_nchw.conv2d(&self.weight, bias, [self.stride; 2], [padding; 2], [1, 1], self.groups)
    }
}

/// Batch normalisation with its stored statistics, where no convolution stands before it.
pub(crate) struct BatchNorm {
    weight: Frozen,
    bias: Frozen,
    running_mean: Frozen,
    running_var: Frozen,
}

impl BatchNorm {
    pub(crate) fn new(part: &Part, channels: i64) -> Self {
        part.skip("num_batches_tracked");
        // Kernels take them so beside inputs of any type, and a variance may be more than float16 can say.
        let part = part.in_kind(Kind::Float);
        let get = |name| part.get(name, &[channels]).into();
        Self {
            weight: get("weight"),
            bias: get("bias"),
            running_mean: get("running_mean"),
            running_var: get("running_var"),
        }
    }

    pub(crate) fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let [weight, bias, mean, var] =
            [&self.weight, &self.bias, &self.running_mean, &self.running_var].map(|x| Some(&**x));
        x_nchw.batch_norm(weight, bias, mean, var, false, 0.1, EPS, false)
    }
}

/// Double width and height by repeating every value.
pub(crate) fn double(x_nchw: &Tensor) -> Tensor {
    let size = x_nchw.size();
    x_nchw.upsample_nearest2d([size[2] * 2, size[3] * 2], None, None)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tch::Device;

    /// Values from -1 to 1 without a pattern.
    pub(crate) fn wave(shape: &[i64], step: f64) -> Tensor {
        let x = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
        (x * step).sin().reshape(shape)
    }

    /// What a GPU reads, on the CPU: other places in memory, the same result laid out the same way.
    #[test]
    fn a_convolution_follows_the_layout_of_its_weight() {
        let (x, weight) = (wave(&[2, 6, 9, 10], 1.3), wave(&[4, 6, 3, 3], 0.37));
        let last = channels_last(&weight);
        assert_eq!(last, weight);
        assert_eq!(last.stride(), [54, 1, 18, 6]);
        let run =
            |weight: Tensor| Conv { weight: weight.into(), bias: None, stride: 1, groups: 1 }.forward(&x);
        let (got, want) = (run(last), run(weight));
        assert_eq!((got.size(), got.stride()[1]), (want.size(), 1));
        let gap = (got - want).abs().max().double_value(&[]);
        assert!(gap < 1e-5, "{gap}");
    }
}
