//! Rotary position embedding (Su et al. 2021) with the frequency scaling of Llama 3.1.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use tch::{Kind, Tensor};

/// `rope_scaling` of type `llama3` in `config.json`: wavelengths above `original_max_position_embeddings / low_freq_factor`
/// are stretched by `factor`, those below `original_max_position_embeddings / high_freq_factor` stay, those between are
/// in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeScaling {
    pub rope_type: String,
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    pub original_max_position_embeddings: f64,
}

impl RopeScaling {
    /// As the official models have it, but for the factor: 8 in Llama 3.1, 32 in Llama 3.2.
    pub fn llama3(factor: f64) -> Self {
        Self {
            rope_type: "llama3".to_owned(),
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        }
    }

    /// The first field whose value gives no frequencies.
    pub(super) fn impossible(&self) -> Option<&'static str> {
        let fields = [
            ("factor", self.factor >= 1.0),
            ("low_freq_factor", self.low_freq_factor > 0.0),
            ("high_freq_factor", self.high_freq_factor > self.low_freq_factor),
            ("original_max_position_embeddings", self.original_max_position_embeddings >= 1.0),
        ];
        fields.into_iter().find(|(_, possible)| !possible).map(|(field, _)| field)
    }

    fn scaled(&self, frequency: f64) -> f64 {
        let turns = self.original_max_position_embeddings * frequency / TAU;
        if turns < self.low_freq_factor {
            return frequency / self.factor;
        }
        if turns > self.high_freq_factor {
            return frequency;
        }
        let smooth = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
        (1.0 - smooth) * frequency / self.factor + smooth * frequency
    }
}

/// Angle per position of each pair of channels of a head of width `dim`, `[dim / 2]`.
pub fn inverse_frequencies(dim: i64, theta: f64, scaling: Option<&RopeScaling>) -> Vec<f64> {
    let scaled = |frequency| scaling.map_or(frequency, |scaling| scaling.scaled(frequency));
    (0..dim / 2).map(|i| scaled(theta.powf(-2.0 * i as f64 / dim as f64))).collect()
}

/// Cosines and sines for the positions of a pass. Channel `i` of a head goes with channel `i + k / 2`, the layout of
/// transformers' weights; Meta's own files have pairs of neighbours.
#[derive(Debug)]
pub struct Rotary {
    cos_bhtk: Tensor,
    sin_bhtk: Tensor,
}

impl Rotary {
    /// For positions `[b, t]` int64, and queries and keys `[b, h, t, k]`.
    pub fn new(positions_bt: &Tensor, inverse_frequencies: &[f64]) -> Self {
        let frequencies_k = Tensor::from_slice(inverse_frequencies).to_kind(Kind::Float);
        let positions_bt1 = positions_bt.unsqueeze(-1).to_kind(Kind::Float);
        let angles_btk = positions_bt1 * frequencies_k.to_device(positions_bt.device());
        let angles_bhtk = Tensor::cat(&[&angles_btk, &angles_btk], -1).unsqueeze(1);
        Self { cos_bhtk: angles_bhtk.cos(), sin_bhtk: angles_bhtk.sin() }
    }

    /// `x [b, h, t, k]` turned by the angles of its positions, computed in float32.
    ///
    /// Deviation: for bfloat16 the reference rounds cosines, sines and both products; here the sum is rounded once.
    pub fn turn(&self, x_bhtk: &Tensor) -> Tensor {
        let halves = x_bhtk.chunk(2, -1);
        let turned_bhtk = Tensor::cat(&[&-&halves[1], &halves[0]], -1);
        (x_bhtk * &self.cos_bhtk + turned_bhtk * &self.sin_bhtk).to_kind(x_bhtk.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the reference library: unscaled, and at factors 8 and 32.
    #[test]
    fn frequencies_of_the_reference() {
        let table = [
            (28, 3.2114461e-3, 3.2114461e-3, 3.2114461e-3),
            (29, 2.6160991e-3, 2.1665706e-3, 2.1184068e-3),
            (32, 1.4142134e-3, 5.2484602e-4, 4.2955671e-4),
            (34, 9.3847385e-4, 1.7850779e-4, 9.7082862e-5),
            (35, 7.6449697e-4, 9.5562122e-5, 2.3890530e-5),
            (63, 2.4551407e-6, 3.0689259e-7, 7.6723147e-8),
        ];
        let of = |factor: Option<f64>| {
            inverse_frequencies(128, 500_000.0, factor.map(RopeScaling::llama3).as_ref())
        };
        let (plain, eight, thirty_two) = (of(None), of(Some(8.0)), of(Some(32.0)));
        for (i, of_plain, of_eight, of_thirty_two) in table {
            for (found, wanted) in
                [(plain[i], of_plain), (eight[i], of_eight), (thirty_two[i], of_thirty_two)]
            {
                assert!((found / wanted - 1.0_f64).abs() < 1e-6, "{i}: {found} where {wanted} is wanted");
            }
        }
    }

    /// Scores of turned queries and keys depend on the distance of their positions alone.
    #[test]
    fn turning_is_relative() {
        let frequencies = inverse_frequencies(32, 10_000.0, None);
        let x = |seed: f64| {
            (Tensor::arange(32, (Kind::Float, tch::Device::Cpu)) * seed).sin().view([1, 1, 1, 32])
        };
        let (q, k) = (x(1.3), x(0.7));
        let score = |query: i64, key: i64| {
            let turned = |x: &Tensor, at: i64| {
                Rotary::new(&Tensor::from_slice(&[at]).view([1, 1]), &frequencies).turn(x)
            };
            (turned(&q, query) * turned(&k, key)).sum(Kind::Float).double_value(&[])
        };
        assert!((score(9, 4) - score(105, 100)).abs() < 1e-4);
        assert!((score(9, 4) - score(9, 5)).abs() > 1e-2);
        let plain = (&q * &k).sum(Kind::Float).double_value(&[]);
        assert!((score(7, 7) - plain).abs() < 1e-4);
    }
}
