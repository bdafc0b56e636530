//! Sums over all devices in the middle of a forward pass, with their gradients.
//!
//! The objective of a step is the sum of what the ranks contribute. Where one rank's forward pass needs a sum over all
//! ranks (statistics of the whole batch, embeddings of all clips), the graph is cut: the sum becomes a leaf of a new
//! graph, and with it everything else that is needed beyond the cut. [`Exchange::backward`] goes through the cuts from
//! the last to the first. At each one the gradients of the sums are added up over the ranks, because every rank's
//! objective depends on every rank's part of them; then Σ x · ∂L/∂x over what was cut, differentiated, continues the
//! backward pass in the graph before it. On one rank that gives the gradients of an uncut graph to the last bit.

use crate::cut::{continue_backward, leaf};
use signclip_common::Result;
use signclip_common::collective::Collective;
use std::cell::RefCell;
use tch::{Kind, Tensor, no_grad_guard};

/// The cuts of one training pass on one rank.
pub struct Exchange<'c> {
    collective: &'c Collective,
    cuts: RefCell<Vec<Cut>>,
}

/// Tensors before a cut with the leaves that stand for them behind it.
struct Cut {
    through: Vec<(Tensor, Tensor)>,
    sums: Vec<(Tensor, Tensor)>,
}

impl<'c> Exchange<'c> {
    pub fn new(collective: &'c Collective) -> Self {
        Self { collective, cuts: RefCell::default() }
    }

    /// Whether there is only one rank, so that its own sums are all there is.
    pub fn is_solo(&self) -> bool {
        self.collective.size() == 1
    }

    /// The sums of `parts` over all ranks, without gradients.
    pub fn totals(&self, parts: &[&Tensor]) -> Result<Vec<Tensor>> {
        let _guard = no_grad_guard();
        if self.is_solo() || parts.is_empty() {
            return Ok(parts.iter().map(|part| part.detach()).collect());
        }
        let flat: Vec<Tensor> = parts.iter().map(|part| part.detach().reshape([-1])).collect();
        let flat = Tensor::cat(&flat, 0);
        self.collective.sum(&flat)?;
        let mut first = 0;
        let mut next = |part: &&Tensor| {
            let total = flat.narrow(0, first, part.numel() as i64).reshape(part.size());
            first += part.numel() as i64;
            total
        };
        Ok(parts.iter().map(&mut next).collect())
    }

    /// Cut the graph: gives `through` unchanged and the sums of `parts` over all ranks. Behind the cut nothing else
    /// of the graph before it may be used.
    pub fn cut(&self, through: &[&Tensor], parts: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
        let totals: Vec<Tensor> = self.totals(parts)?.iter().map(leaf).collect();
        let leaves: Vec<Tensor> = through.iter().map(|x| leaf(x)).collect();
        let pairs = |before: &[&Tensor], after: &[Tensor]| -> Vec<(Tensor, Tensor)> {
            before.iter().zip(after).map(|(b, a)| (b.shallow_clone(), a.shallow_clone())).collect()
        };
        let cut = Cut { through: pairs(through, &leaves), sums: pairs(parts, &totals) };
        self.cuts.borrow_mut().push(cut);
        Ok((leaves, totals))
    }

    /// Continue the backward pass through all cuts, after that of what lies behind the last one.
    pub fn backward(self) -> Result<()> {
        for cut in self.cuts.borrow_mut().drain(..).rev() {
            let gradient = |leaf: &Tensor| {
                let grad = leaf.grad();
                if grad.defined() { grad } else { leaf.zeros_like() }
            };
            let sums: Vec<Tensor> = cut.sums.iter().map(|(_, leaf)| gradient(leaf)).collect();
            let sums = Exchange::new(self.collective).totals(&sums.iter().collect::<Vec<_>>())?;
            let through = cut.through.iter().map(|(before, leaf)| (before, gradient(leaf)));
            let before = cut.sums.iter().map(|(before, _)| before).zip(sums);
            continue_backward(through.chain(before));
        }
        Ok(())
    }
}

/// Add up the gradients of `parameters` over all ranks, in one buffer. One that has a gradient on some rank has the
/// same one on every rank afterwards; one that has none anywhere stays without.
pub fn sum_gradients(collective: &Collective, parameters: &[&Tensor]) -> Result<()> {
    if collective.size() == 1 || parameters.is_empty() {
        return Ok(());
    }
    let flat = {
        let _guard = no_grad_guard();
        let grads: Vec<Tensor> = parameters.iter().map(|parameter| parameter.grad()).collect();
        let present: Vec<f64> = grads.iter().map(|grad| f64::from(u8::from(grad.defined()))).collect();
        let mut parts: Vec<Tensor> = grads
            .iter()
            .zip(parameters)
            .map(|(grad, p)| if grad.defined() { grad.reshape([-1]) } else { p.zeros_like().reshape([-1]) })
            .collect();
        parts.push(Tensor::from_slice(&present).to_kind(parts[0].kind()).to_device(parts[0].device()));
        Tensor::cat(&parts, 0)
    };
    collective.sum(&flat)?;
    let total: i64 = parameters.iter().map(|parameter| parameter.numel() as i64).sum();
    let present =
        Vec::<f64>::try_from(&flat.narrow(0, total, parameters.len() as i64).to_kind(Kind::Double))?;
    let mut first = 0;
    for (parameter, present) in parameters.iter().zip(present) {
        let n = parameter.numel() as i64;
        if present > 0.0 {
            if !parameter.grad().defined() {
                // The C interface cannot set a gradient, only accumulate into one.
                (*parameter * 0.0).sum(parameter.kind()).backward();
            }
            parameter.grad().copy_(&flat.narrow(0, first, n).view_as(parameter));
        }
        first += n;
    }
    Ok(())
}
