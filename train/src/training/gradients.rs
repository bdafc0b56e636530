//! Gradients summed over the devices of a run.

use crate::training::model::Named;
use signclip_common::Result;
use signclip_common::collective::Collective;
use tch::{Kind, Tensor, no_grad_guard};

/// Sums the gradients of `parameters` over all ranks, in one buffer. A parameter that has a gradient on some rank has
/// the same one on every rank afterwards; one that has none anywhere stays without.
pub fn sum_gradients(collective: &Collective, parameters: &Named) -> Result<()> {
    if collective.size() == 1 || parameters.is_empty() {
        return Ok(());
    }
    let flat = {
        let _guard = no_grad_guard();
        let grads: Vec<Tensor> = parameters.iter().map(|(_, parameter)| parameter.grad()).collect();
        let present: Vec<f64> = grads.iter().map(|grad| f64::from(u8::from(grad.defined()))).collect();
        let mut parts: Vec<Tensor> = grads
            .iter()
            .zip(parameters)
            .map(
                |(grad, (_, p))| {
                    if grad.defined() { grad.reshape([-1]) } else { p.zeros_like().reshape([-1]) }
                },
            )
            .collect();
        parts.push(Tensor::from_slice(&present).to_kind(parts[0].kind()).to_device(parts[0].device()));
        Tensor::cat(&parts, 0)
    };
    collective.sum(&flat)?;
    let total: i64 = parameters.iter().map(|(_, parameter)| parameter.numel() as i64).sum();
    let present =
        Vec::<f64>::try_from(&flat.narrow(0, total, parameters.len() as i64).to_kind(Kind::Double))?;
    let mut first = 0;
    for ((_, parameter), present) in parameters.iter().zip(present) {
        let n = parameter.numel() as i64;
        if present > 0.0 {
            if !parameter.grad().defined() {
                // The C interface cannot set a gradient, only accumulate into one.
                (parameter * 0.0).sum(parameter.kind()).backward();
            }
            parameter.grad().copy_(&flat.narrow(0, first, n).view_as(parameter));
        }
        first += n;
    }
    Ok(())
}
