//! What of a language model is trained.

use crate::language::lora::{Lora, LoraConfig};
use crate::language::targets::AdapterNames;
use signclip_common::Result;
use signclip_common::weights::{Part, Weights};

/// What is trained.
#[derive(Clone, Copy)]
pub enum Tuning<'a> {
    /// Nothing.
    Frozen,
    /// An adapter, whose tensors come from weights of its own.
    Lora(&'a LoraConfig, &'a Weights),
    /// Everything, as float32 leaves; computed in the type of the base weights.
    Full,
}

impl Tuning<'_> {
    /// Builds a network of a family from `base`. Errors: what is wrong with the weights or the adapter, in one line.
    pub fn build<T>(
        self,
        base: &Weights,
        names: &AdapterNames,
        make: impl FnOnce(&Part, Option<&Lora>) -> T,
    ) -> Result<T> {
        match self {
            Tuning::Frozen => base.build(&[], |part| make(part, None)),
            Tuning::Full => base.build(&[], |part| make(&part.trainable(), None)),
            Tuning::Lora(config, adapter) => {
                config.check()?;
                base.build(&[], |part| {
                    adapter.build(&[], |root| {
                        let lora = Lora::new(config, names, root)?;
                        let model = make(part, Some(&lora));
                        lora.check().map(|()| model)
                    })
                })??
            }
        }
    }
}
