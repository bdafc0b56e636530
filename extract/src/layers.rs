//! Layers that the face networks share, in inference mode.

use signclip_common::weights::Part;
use tch::Tensor;

/// A two-dimensional convolution with a square kernel, padded so that stride 1 keeps the size.
pub(crate) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    groups: i64,
}

impl Conv {
    /// Without bias: the usual form before a batch normalisation.
    pub(crate) fn new(part: &Part, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        Self { weight: part.get("weight", &[outputs, inputs, kernel, kernel]), bias: None, stride, groups: 1 }
    }

    pub(crate) fn with_bias(part: &Part, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        let bias = Some(part.get("bias", &[outputs]));
        Self { bias, ..Self::new(part, inputs, outputs, kernel, stride) }
    }

    /// One 3×3 filter for every channel, without bias.
    pub(crate) fn depthwise(part: &Part, channels: i64, stride: i64) -> Self {
        Self { weight: part.get("weight", &[channels, 1, 3, 3]), bias: None, stride, groups: channels }
    }

    pub(crate) fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let padding = self.weight.size()[2] / 2;
        let bias = self.bias.as_ref();
        x_nchw.conv2d(&self.weight, bias, [self.stride; 2], [padding; 2], [1, 1], self.groups)
    }
}

/// Batch normalisation with its stored statistics.
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    pub(crate) fn new(part: &Part, channels: i64) -> Self {
        part.skip("num_batches_tracked");
        let get = |name| part.get(name, &[channels]);
        Self {
            weight: get("weight"),
            bias: get("bias"),
            running_mean: get("running_mean"),
            running_var: get("running_var"),
        }
    }

    pub(crate) fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let [weight, bias, mean, var] =
            [&self.weight, &self.bias, &self.running_mean, &self.running_var].map(Some);
        x_nchw.batch_norm(weight, bias, mean, var, false, 0.1, 1e-5, false)
    }
}

/// Double width and height by repeating every value.
pub(crate) fn double(x_nchw: &Tensor) -> Tensor {
    let size = x_nchw.size();
    x_nchw.upsample_nearest2d([size[2] * 2, size[3] * 2], None, None)
}
