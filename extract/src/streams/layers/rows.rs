//! Features of a network as rows for the store.

use signclip_common::{Error, Result};
use tch::{Device, Kind, Tensor};

/// `[t, dim]` of any type on any device as row-major float32. Errors: a value that is not finite, with the number of its row.
pub(crate) fn finite_rows(features_td: &Tensor, encoder: &str) -> Result<Vec<f32>> {
    let dim = features_td.size().last().copied().unwrap_or(1).max(1) as usize;
    let flat = features_td.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    let mut rows = vec![0.0; flat.numel()];
    flat.f_copy_data(&mut rows, flat.numel())?;
    if let Some(place) = rows.iter().position(|x: &f32| !x.is_finite()) {
        return Err(Error::usage(
            format!("the {encoder} gives {} for number {} of what it was given", rows[place], place / dim),
            "try --dtype f32; if it stays, the weight file is damaged",
        ));
    }
    Ok(rows)
}
