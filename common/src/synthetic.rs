//! Weights computed from tensor names: the same value on every machine without a weight file.
//!
//! Networks under these weights are not trained; they serve tests against reference implementations, timings, and
//! the `tiny` preset. A tensor is a pure function of (key, shape, salt): FNV-1a of the key seeds
//! splitmix64, and the key's ending chooses the scale, so that activations stay finite at full size.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

/// Constants of splitmix64 (Steele, Lea and Flood 2014).
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const FACTORS: [u64; 2] = [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB];

/// Random numbers of a key, by splitmix64: element `i` is a pure function of (key, salt, i).
#[derive(Debug, Clone, Copy)]
pub struct Random {
    seed: u64,
}

impl Random {
    /// The numbers of `key` under `salt`.
    pub fn new(key: &str, salt: u64) -> Self {
        let hash = key
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        Self { seed: hash ^ salt }
    }

    /// The numbers that follow from `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self { seed }
    }

    /// 64 random bits, element `i`.
    pub fn bits(&self, i: u64) -> u64 {
        let mut z = self.seed.wrapping_add((i.wrapping_add(1)).wrapping_mul(STEP));
        z = (z ^ (z >> 30)).wrapping_mul(FACTORS[0]);
        z = (z ^ (z >> 27)).wrapping_mul(FACTORS[1]);
        z ^ (z >> 31)
    }

    /// [`Self::bits`] of the elements 0 to `n`, computed on `device`: int64 `[n]`.
    pub fn bits_on(&self, device: Device, n: i64) -> Tensor {
        let signed = u64::cast_signed;
        // A right shift of int64 brings in copies of the sign.
        let folded = |z: Tensor, by: i64| {
            let shifted = z.bitwise_right_shift_tensor_scalar(by).bitwise_and(signed(u64::MAX >> by));
            z.bitwise_xor_tensor(&shifted)
        };
        let z =
            Tensor::arange(n, (Kind::Int64, device)) * signed(STEP) + signed(self.seed.wrapping_add(STEP));
        let z = folded(z, 30) * signed(FACTORS[0]);
        let z = folded(z, 27) * signed(FACTORS[1]);
        folded(z, 31)
    }

    /// Uniform in [0, 1), element `i`.
    pub fn unit(&self, i: u64) -> f64 {
        (self.bits(i) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in [-1, 1), element `i`.
    pub fn signed(&self, i: u64) -> f64 {
        2.0 * self.unit(i) - 1.0
    }
}

/// How the elements of one tensor follow from its random numbers.
struct Rule {
    offset: f64,
    factor: f64,
    signed: bool,
}

impl Rule {
    fn of(key: &str, shape: &[i64]) -> Self {
        let n: i64 = shape.iter().product();
        let signed = |offset, factor| Self { offset, factor, signed: true };
        let wide = || (3.0 / (n as f64 / shape[0] as f64)).sqrt();
        let matrix = shape.len() >= 2;
        if key.ends_with("num_batches_tracked") {
            signed(0.0, 0.0)
        } else if key.ends_with("weight_g") {
            signed(1.0, 0.1)
        } else if shape.len() <= 2 && (key.contains("embed") || key.contains("shared")) {
            signed(0.0, 3_f64.sqrt() * 0.5)
        } else if matrix && (key.ends_with(".q.weight") || key == "body.conv1.weight") {
            signed(0.0, wide() * 0.125)
        } else if matrix && key.contains("lora_B") {
            signed(0.0, wide() * 0.1)
        } else if matrix {
            signed(0.0, wide())
        } else if key.ends_with("running_var") {
            Self { offset: 1.0, factor: 0.5, signed: false }
        } else if key.ends_with("running_mean") {
            signed(0.0, 0.1)
        } else if ["relu1.weight", "relu2.weight", "frontend3D.2.weight"].iter().any(|e| key.ends_with(e)) {
            signed(0.25, 0.05)
        } else if key.starts_with("L2Norm") {
            signed(10.0, 1.0)
        } else if key.ends_with("weight") {
            signed(1.0, 0.1)
        } else {
            signed(0.0, 0.02)
        }
    }
}

/// The float32 elements of tensor `key` with `shape` under `salt`, row-major.
pub fn tensor(key: &str, shape: &[i64], salt: u64) -> Vec<f32> {
    let rule = Rule::of(key, shape);
    let random = Random::new(key, salt);
    let n = shape.iter().product::<i64>() as u64;
    let value = |i| {
        let s = if rule.signed { random.signed(i) } else { random.unit(i) };
        (rule.offset + s * rule.factor) as f32
    };
    (0..n).into_par_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked examples of the rule, bit by bit.
    #[test]
    fn worked_examples() {
        let cases: [(&str, &[i64], usize, u64, u32); 7] = [
            ("vision_model.encoder.layers.0.self_attn.q_proj.weight", &[1024, 1024], 5, 0, 0xbd2c_b40f),
            ("shared.weight", &[32128, 512], 1000, 0, 0xbf17_81a8),
            ("decoder.block.0.layer.1.EncDecAttention.q.weight", &[384, 512], 1, 0, 0xbb93_abbe),
            ("feature_extractor_video.resnet.frontend3D.1.running_var", &[64], 0, 0, 0x3fae_9ac7),
            ("feature_extractor_video.resnet.trunk.layer1.0.relu1.weight", &[64], 63, 0, 0x3e97_bb53),
            ("encoder.pos_conv.0.weight_g", &[1, 1, 128], 127, 0, 0x3f68_445f),
            ("vision_model.pre_layrnorm.bias", &[1024], 2, 0x0123_4567_89ab_cdef, 0x3c27_f575),
        ];
        for (key, shape, i, salt, bits) in cases {
            let got = tensor(key, shape, salt)[i];
            assert_eq!(got.to_bits(), bits, "{key}: {got}");
        }
    }
}
