//! Matrix products in float32 by oneDNN, for CPUs on which libtorch's own choice is slow.
//!
//! libtorch leaves float32 to MKL, which has AVX-512 for Intel's CPUs only: on others it multiplies at half of their
//! width. oneDNN, which libtorch has as well, takes what there is, and is about twice as fast there.
//!
//! The two forms round differently. Features in the stores were made by the first, which has no gradients.

use crate::machine;
use std::sync::LazyLock;
use tch::{Device, Kind, Tensor};

/// Whether oneDNN multiplies `x` faster than MKL.
pub fn is_faster(x: &Tensor) -> bool {
    static NARROW: LazyLock<bool> = LazyLock::new(|| {
        let text = machine::cpuinfo();
        text.contains("AuthenticAMD") && text.contains(" avx512f")
    });
    x.kind() == Kind::Float && x.device() == Device::Cpu && *NARROW
}

/// `x W^T + bias` of matrices: `x [n, in]`, `W [out, in]`.
pub fn linear(x_ni: &Tensor, weight_oi: &Tensor, bias: Option<&Tensor>) -> Tensor {
    x_ni.contiguous().to_mkldnn().mkldnn_linear(weight_oi, bias).to_dense(None, false)
}

/// `x W^T` with gradients, as a convolution of one pixel, which libtorch gives to oneDNN: `x [..., in]`, `W [out, in]`.
pub fn product(x: &Tensor, weight_oi: &Tensor) -> Tensor {
    let [outputs, inputs] = [0, 1].map(|axis| weight_oi.size()[axis]);
    let mut size = x.size();
    size.splice(size.len() - 1.., [outputs]);
    // Channels last: the memory is that of the matrices.
    let pixels = x.reshape([1, -1, 1, inputs]).permute([0, 3, 1, 2]);
    let y = pixels.conv2d::<&Tensor>(&weight_oi.view([outputs, inputs, 1, 1]), None, 1, 0, 1, 1);
    y.permute([0, 2, 3, 1]).reshape(size.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also on a CPU that has no use for it.
    #[test]
    fn both_forms_are_the_product() {
        let wave = |size: [i64; 2], factor: f64| {
            let count = size[0] * size[1];
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * factor).sin().view(size)
        };
        let (x_ni, weight_oi) = (wave([70, 48], 0.37), wave([32, 48], 0.11));
        let bias = wave([1, 32], 0.7).view([32]);
        let gap = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let wanted = x_ni.matmul(&weight_oi.tr());
        assert!(gap(&linear(&x_ni, &weight_oi, Some(&bias)), &(&wanted + &bias)) < 1e-4);
        assert!(gap(&linear(&x_ni, &weight_oi, None), &wanted) < 1e-4);
        let leaf = x_ni.copy().set_requires_grad(true);
        let y = product(&leaf.view([7, 10, 48]), &weight_oi);
        assert_eq!(y.size(), [7, 10, 32]);
        assert!(gap(&y.view([70, 32]), &wanted) < 1e-4);
        y.square().sum(Kind::Float).backward();
        assert!(gap(&leaf.grad(), &(wanted * 2.0).matmul(&weight_oi)) < 1e-3);
    }
}
