//! Cuts of the graph of autograd: behind a cut a leaf stands for a tensor before it, and the backward pass continues from
//! the leaf's gradient. libtorch has functions of one's own for this, which its C interface does not offer.

use signclip_common::Result;
use signclip_common::collective::Collective;
use tch::Tensor;

/// What stands for `x` behind a cut: the same values, and a gradient of its own.
pub fn leaf(x: &Tensor) -> Tensor {
    x.detach().set_requires_grad(true)
}

/// The gradient of a leaf that every rank has, summed over the ranks; a rank whose share is empty adds nothing.
pub fn summed_gradient(leaf: &Tensor, collective: &Collective) -> Result<Tensor> {
    let grad = leaf.grad();
    let grad = if grad.defined() { grad.contiguous() } else { leaf.zeros_like() };
    collective.sum(&grad.view(-1))?;
    Ok(grad)
}

/// Continue the backward pass before a cut, from tensors there with their gradients: that of Σ x · ∂L/∂x. All are of one
/// type; those that need no gradient are left out.
pub fn continue_backward<'x>(gradients: impl IntoIterator<Item = (&'x Tensor, Tensor)>) {
    let terms: Vec<Tensor> = gradients
        .into_iter()
        .filter(|(before, _)| before.requires_grad())
        .map(|(before, grad)| (before * grad).sum(before.kind()))
        .collect();
    if !terms.is_empty() {
        Tensor::stack(&terms, 0).sum(terms[0].kind()).backward();
    }
}
