//! What a GPU wants of training and decoding that a CPU does not: few and large kernels, as each that is started costs some
//! microseconds. **Not checked on a GPU: none was at hand.**

use tch::{Device, Tensor};

/// Elements up to which a parameter is updated together with others: larger ones fill the card by themselves.
const SMALL: usize = 1 << 22;

/// Clips that are searched together in validation. A step of the search is the same number of kernels for any of them.
const SEARCHED: usize = 64;

/// Whether what is done to a parameter is done to many of them as one.
pub fn joins(parameter: &Tensor) -> bool {
    parameter.device().is_cuda() && parameter.is_contiguous() && parameter.numel() <= SMALL
}

/// Clips that are searched together where `training` of them make a step.
pub fn searched(device: Device, training: usize) -> usize {
    if device.is_cuda() { training.max(SEARCHED) } else { training }
}
