//! Results of a network as plain numbers.

use signclip_common::{Error, Result};
use tch::{Device, Kind, Tensor};

/// `[t, dim]` of any type on any device as row-major float32. `exact`: the flag by which the network computes in float32.
/// Errors: a value that is not finite, with the number of its row.
pub(crate) fn finite_rows(results_td: &Tensor, network: &str, exact: &str) -> Result<Vec<f32>> {
    let dim = results_td.size().last().copied().unwrap_or(1).max(1) as usize;
    let flat = results_td.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    let mut rows = vec![0.0; flat.numel()];
    flat.f_copy_data(&mut rows, flat.numel())?;
    match rows.iter().position(|x: &f32| !x.is_finite()) {
        Some(place) => {
            let of = format!("number {} of what it was given", place / dim);
            Err(not_finite(network, rows[place], &of, exact))
        }
        None => Ok(rows),
    }
}

/// The error of a network that gives `value`, which is not finite, for `what`.
pub(crate) fn not_finite(network: &str, value: f32, what: &str, exact: &str) -> Error {
    Error::usage(
        format!("the {network} gives {value} for {what}"),
        format!("try {exact}; if it stays, the weight file is damaged"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_named() {
        let rows = |value: f32| Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, value, 6.0]).view([3, 2]);
        let got = finite_rows(&rows(5.0), "lip encoder", "--dtype f32").expect("rows");
        assert_eq!(got, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let error = finite_rows(&rows(f32::NAN), "lip encoder", "--dtype f32").expect_err("NaN").to_string();
        assert!(
            error.contains("lip encoder gives NaN for number 2") && error.contains("--dtype f32"),
            "{error}"
        );
    }
}
