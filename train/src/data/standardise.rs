//! Columns of streams with mean 0 and deviation 1: over the rows of one clip, or over those of a data set, decorrelated.

use crate::head::whitening::Statistics;
use signclip_common::store::Store;
use tch::{Device, Kind, Tensor};

/// Give each column of `[t, dim]` mean 0 and deviation 1; a column that does not vary becomes 0.
pub(super) fn over_rows(rows: &mut [f32], dim: usize) {
    let n = (rows.len() / dim) as f64;
    for column in 0..dim {
        let values = || rows.iter().skip(column).step_by(dim).map(|&x| f64::from(x));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let scale = 1.0 / (deviation + 1e-5);
        rows.iter_mut().skip(column).step_by(dim).for_each(|x| *x = ((f64::from(*x) - mean) * scale) as f32);
    }
}

/// Mean and whitening of the stream `name`, over all rows of a store that has it.
pub(super) fn over_clips(store: &Store, name: &str) -> Statistics {
    let dim = store.info.streams[name].dim as i64;
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, Device::Cpu));
    let (mut sums_s, mut products_ss, mut rows) = (zeros(&[dim]), zeros(&[dim, dim]), 0);
    for features in (0..store.clips.len()).filter_map(|clip| store.features(clip, name)) {
        let rows_ts = Tensor::from_slice(&features.to_f32()).view([-1, dim]).to_kind(Kind::Double);
        sums_s += rows_ts.sum_dim_intlist([0].as_slice(), false, Kind::Double);
        products_ss += rows_ts.tr().matmul(&rows_ts);
        rows += features.rows;
    }
    Statistics::of(&sums_s, &products_ss, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_standardised_one_by_one() {
        let mut rows = [1.0, 5.0, 3.0, 5.0];
        over_rows(&mut rows, 2);
        assert!((rows[0] + 1.0).abs() < 1e-4 && (rows[2] - 1.0).abs() < 1e-4);
        assert_eq!((rows[1], rows[3]), (0.0, 0.0));
    }
}
