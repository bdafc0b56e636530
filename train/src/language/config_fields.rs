//! Checks of a language model's `config.json` that all families share.

use signclip_common::{Error, Result};
use std::path::Path;

/// The fields of a configuration that was read from this file. Every refusal names file and field.
pub(super) struct ConfigFields<'f>(pub(super) &'f Path);

impl ConfigFields<'_> {
    /// A value that the network cannot have.
    pub(super) fn unsupported(&self, field: &str, value: &str, remedy: &str) -> Error {
        Error::input(self.0, field, format!("{value} is not supported"), remedy)
    }

    /// Sizes are positive, and far below where products of two of them overflow, as real ones are.
    pub(super) fn sizes(&self, sizes: &[(&str, i64)]) -> Result<()> {
        match sizes.iter().find(|(_, size)| !(1..=1 << 24).contains(size)) {
            None => Ok(()),
            Some((field, size)) => {
                Err(self.unsupported(field, &size.to_string(), "a size is between 1 and 16777216"))
            }
        }
    }

    /// Ids are those of tokens in the vocabulary.
    pub(super) fn ids(&self, ids: &[(&str, i64)], vocab_size: i64) -> Result<()> {
        match ids.iter().find(|(_, id)| !(0..vocab_size).contains(id)) {
            None => Ok(()),
            Some((field, id)) => Err(self.unsupported(field, &id.to_string(), "an id is below vocab_size")),
        }
    }

    /// A share of values that dropout sets to 0.
    pub(super) fn dropout(&self, field: &str, share: f64) -> Result<()> {
        match (0.0..1.0).contains(&share) {
            true => Ok(()),
            false => Err(self.unsupported(field, &share.to_string(), "give a number from 0 to below 1")),
        }
    }

    /// What a norm adds to the mean of squares; `released`: what released models have.
    pub(super) fn epsilon(&self, field: &str, epsilon: f64, released: &str) -> Result<()> {
        match epsilon >= 0.0 && epsilon.is_finite() {
            true => Ok(()),
            false => Err(self.unsupported(
                field,
                &epsilon.to_string(),
                &format!("released models have {released}"),
            )),
        }
    }
}
