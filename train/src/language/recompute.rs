//! Activation recomputation (gradient checkpointing, Chen et al. 2016).
//!
//! The forward pass keeps the input of every block and nothing of its inside; the backward pass computes a block
//! again, with the same dropout, when its turn comes. The memory of activations falls to that of one block, for the
//! time of a second forward pass.

use crate::language::cut::{continue_backward, leaf};
use crate::language::dropout::{self, Mark};
use tch::{Tensor, no_grad_guard};

/// A pass that has gone through its blocks without a graph.
pub(crate) struct Passed<B> {
    block: B,
    /// What goes in, in the graph.
    input: Tensor,
    inputs: Vec<(Tensor, Mark)>,
    /// What comes out: a leaf.
    output: Tensor,
}

impl<B: Fn(usize, &Tensor) -> Tensor> Passed<B> {
    /// Takes `input` through so many blocks.
    pub(crate) fn new(blocks: usize, input: Tensor, block: B) -> Self {
        let _no_grad = no_grad_guard();
        let mut x = input.detach();
        let mut inputs = Vec::with_capacity(blocks);
        for number in 0..blocks {
            inputs.push((x.shallow_clone(), dropout::mark()));
            x = block(number, &x);
        }
        let output = leaf(&x);
        Self { block, input, inputs, output }
    }

    /// What comes out, whose gradient is to be known before [`Self::backward`].
    pub(crate) fn output(&self) -> &Tensor {
        &self.output
    }

    /// Continue the backward pass from the gradient of the output to everything before the first block.
    pub(crate) fn backward(self) {
        let mut grad = self.output.grad();
        drop(self.output);
        for (number, (x, mark)) in self.inputs.into_iter().enumerate().rev() {
            dropout::rewind(mark);
            let x = leaf(&x);
            continue_backward([(&(self.block)(number, &x), grad)]);
            grad = x.grad();
        }
        continue_backward([(&self.input, grad)]);
    }
}
