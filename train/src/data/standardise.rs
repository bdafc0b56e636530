//! Columns of streams with mean 0 and deviation 1: over the rows of one clip, or over those of a data set.

use crate::head::standard::Statistics;
use rayon::prelude::*;
use signclip_common::store::Store;

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

/// Mean and deviation of each column of the stream `name`, over all rows of a store that has it.
pub(super) fn over_clips(store: &Store, name: &str) -> Statistics {
    let dim = store.info.streams[name].dim;
    // Clip by clip, and added up in their order, whatever the number of threads.
    let of_clip = |clip: usize| {
        let (mut sums, mut rows) = (vec![[0.0_f64; 2]; dim], 0);
        if let Some(features) = store.features(clip, name) {
            rows = features.rows;
            for (column, x) in features.to_f32().into_iter().enumerate() {
                let (sum, x) = (&mut sums[column % dim], f64::from(x));
                *sum = [sum[0] + x, sum[1] + x * x];
            }
        }
        (sums, rows)
    };
    let of_clips: Vec<_> = (0..store.clips.len()).into_par_iter().map(of_clip).collect();
    let (mut sums, mut rows) = (vec![[0.0; 2]; dim], 0);
    for (of_clip, count) in of_clips {
        rows += count;
        sums.iter_mut().zip(of_clip).for_each(|(sum, of)| *sum = [sum[0] + of[0], sum[1] + of[1]]);
    }
    let n = rows.max(1) as f64;
    let mean = sums.iter().map(|sum| (sum[0] / n) as f32).collect();
    let deviation = |sum: &[f64; 2]| (sum[1] / n - (sum[0] / n).powi(2)).max(0.0).sqrt() as f32;
    let deviation = sums.iter().map(deviation).collect();
    Statistics { mean, deviation }
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
