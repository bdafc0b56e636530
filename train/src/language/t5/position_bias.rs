//! Relative position bias: a learnt number per head and bucket of distances, added to the attention scores.

use super::config::T5Config;
use signclip_common::weights::{Init, Part};
use std::cell::RefCell;
use tch::{Kind, Tensor};

/// `T5Attention.compute_bias` and `_relative_position_bucket`. The weights of block 0 serve all blocks of a stack.
///
/// Deviation: the reference finds the bucket by a floating-point logarithm, which is fragile where the distance is
/// a power of two; here the borders between buckets are integers, found exactly.
#[derive(Debug)]
pub struct RelativePositionBias {
    weight_nh: Tensor,
    buckets: Buckets,
    /// Bucket of every (query, key) below some length. It depends on their difference only, so a corner of it
    /// serves every shorter length.
    square_ts: RefCell<Tensor>,
}

impl RelativePositionBias {
    pub fn new(part: &Part, config: &T5Config, bidirectional: bool) -> Self {
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        let weight_nh = part.init("weight", &shape, Init::Normal((config.d_model as f64).powf(-0.5)));
        let square_ts = RefCell::new(Tensor::empty([0, 0], (Kind::Int64, weight_nh.device())));
        Self { weight_nh, buckets: Buckets::new(config, bidirectional), square_ts }
    }

    /// Bias `[1, h, t, s]` of the queries at positions `first..first + queries` to the keys `0..keys`.
    pub fn forward(&self, first: i64, queries: i64, keys: i64, kind: Kind) -> Tensor {
        let length = keys.max(first + queries);
        if self.square_ts.borrow().size()[0] < length {
            *self.square_ts.borrow_mut() = self.square(length).to_device(self.weight_nh.device());
        }
        let bucket_ts = self.square_ts.borrow().narrow(0, first, queries).narrow(1, 0, keys);
        let bias_tsh = Tensor::embedding(&self.weight_nh, &bucket_ts, -1, false, false);
        bias_tsh.permute([2, 0, 1]).unsqueeze(0).to_kind(kind)
    }

    /// The buckets of the next power of two from `length`, so that a growing length seldom computes them anew.
    fn square(&self, length: i64) -> Tensor {
        let n = length.max(64).cast_unsigned().next_power_of_two().cast_signed();
        let ids: Vec<i64> =
            (0..n).flat_map(|t| (0..n).map(move |s| (t, s))).map(|(t, s)| self.buckets.of(s - t)).collect();
        Tensor::from_slice(&ids).reshape([n, n])
    }
}

/// Which bucket a distance falls in.
#[derive(Debug)]
struct Buckets {
    bidirectional: bool,
    /// Distances below this have a bucket each.
    exact: i64,
    /// First distance of every bucket after the first of the logarithmic ones.
    borders: Vec<i64>,
}

impl Buckets {
    fn new(config: &T5Config, bidirectional: bool) -> Self {
        let n = config.relative_attention_num_buckets / if bidirectional { 2 } else { 1 };
        let (exact, far) = (n / 2, config.relative_attention_max_distance);
        let log_buckets = n - exact;
        let power = |base: i64, exponent: i64| i128::from(base).pow(exponent.cast_unsigned() as u32);
        // Bucket j starts where ln(d/exact) / ln(far/exact) * log_buckets reaches j, that is, where
        // d^log_buckets >= exact^(log_buckets - j) * far^j. At most 128^16 = 2^112: no overflow.
        let border = |j: i64| {
            let bound = power(exact, log_buckets - j) * power(far, j);
            (exact..=far).find(|&d| power(d, log_buckets) >= bound).unwrap_or(far)
        };
        Self { bidirectional, exact, borders: (1..log_buckets).map(border).collect() }
    }

    /// Bucket of `relative` = key position - query position.
    fn of(&self, relative: i64) -> i64 {
        let half = 2 * self.exact;
        let (offset, distance) = match self.bidirectional {
            true => (if relative > 0 { half } else { 0 }, relative.abs()),
            false => (0, (-relative).max(0)),
        };
        if distance < self.exact {
            return offset + distance;
        }
        offset + self.exact + self.borders.partition_point(|&border| border <= distance) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELATIVE: [i64; 26] = [
        -300, -128, -127, -100, -64, -40, -20, -16, -12, -9, -8, -7, -1, 0, 1, 7, 8, 11, 12, 16, 32, 64, 100,
        127, 128, 500,
    ];

    fn of_all(bidirectional: bool) -> Vec<i64> {
        let buckets = Buckets::new(&T5Config::xl(), bidirectional);
        RELATIVE.iter().map(|&r| buckets.of(r)).collect()
    }

    /// Values of the reference library.
    #[test]
    fn buckets_of_the_reference() {
        let both = [
            15, 15, 15, 15, 14, 12, 10, 10, 9, 8, 8, 7, 1, 0, 17, 23, 24, 24, 25, 26, 28, 30, 31, 31, 31, 31,
        ];
        assert_eq!(of_all(true), both);
        let mut causal = vec![31, 31, 31, 30, 26, 23, 17, 16, 12, 9, 8, 7, 1];
        causal.resize(RELATIVE.len(), 0);
        assert_eq!(of_all(false), causal);
    }

    /// The borders that the reference rounds to.
    #[test]
    fn borders_of_the_reference() {
        let config = T5Config::xl();
        assert_eq!(Buckets::new(&config, true).borders, [12, 16, 23, 32, 46, 64, 91]);
        let causal = [19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113];
        assert_eq!(Buckets::new(&config, false).borders, causal);
    }
}
