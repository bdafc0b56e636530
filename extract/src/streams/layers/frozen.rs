//! The weights of the frozen networks, which several threads read at once.

use std::ops::Deref;
use tch::Tensor;

/// A tensor that nobody writes to. Networks made of it may be shared by threads as far as their other fields may.
pub(crate) struct Frozen(Tensor);

// SAFETY: there is no way to a `&mut Tensor`, which tch's operations in place take. Several threads may read a tensor of
// libtorch: its counters are atomic, and none of the operations in a forward pass changes an input.
#[allow(unsafe_code)]
unsafe impl Sync for Frozen {}

impl From<Tensor> for Frozen {
    fn from(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

impl Deref for Frozen {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}
