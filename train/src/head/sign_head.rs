//! The trainable visual part: cached feature streams in, visual tokens for the language model out (paper,
//! Multimodal Contrastive Fusion).
//!
//! ```text
//! Z'_s = W_s Z_s,  Z'_m = W_m Z_m  →  gated fusion  →  temporal convolution  →  projector  →  visual tokens
//! ```
//!
//! What the paper leaves open, and the choice here:
//! * Z_m is projected too (its implementation details say so, its method does not); `project_mouth` turns that off.
//! * z_v is the mean of the visual tokens over valid steps, because z_t has the width of the language model.
//! * z_s and z_m are means over valid frames of Z'_s and Z'_m, each through a Linear of its own ("temporal pooling and
//!   projection"), and L_sm has a temperature of its own. `sm_pooling` takes maxima instead.
//! * One stream alone is its projection without gate, without L_sm (paper, ablation of the encoders).
//!
//! What others do instead is there as settings: SpaMo joins its streams along time, and the authors' published code puts
//! markers around the visual tokens, has no projections in L_sm, one temperature, and a contrast of single frames.
//
// Shapes: B clips, T frames, T' steps, S and M stream widths, D channels, L width of the language model.

use crate::head::along_time::join;
use crate::head::config::{HeadConfig, LossConfig, Pooling, SM_PAIR, StandardiseBy, Widths};
use crate::head::contrastive::InfoNce;
use crate::head::frame_contrast::frame_contrast;
use crate::head::gated_fusion::Fusion;
use crate::head::markers::Markers;
use crate::head::projector::{Affine, Projector};
use crate::head::streams::StreamBatches;
use crate::head::temporal::{Steps, TemporalConv, masked_mean, valid};
use crate::head::whitening::{Statistics, Whitening};
use signclip_common::store::MOUTHING;
use signclip_common::weights::Part;
use signclip_common::{Error, Result};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// The head under its names in a state dict; what one stream alone does not need is absent.
pub struct SignHead {
    /// The streams in use in the order of the fusion, each with its projection, where it has one.
    streams: Vec<(String, Option<Affine>)>,
    /// Of the streams by name, where they are whitened.
    whitenings: BTreeMap<String, Whitening>,
    /// Absent with one stream and along time.
    fusion: Option<Fusion>,
    temporal: Option<TemporalConv>,
    llm_proj: Projector,
    markers: Option<Markers>,
    sm: Option<SpatialMouthing>,
    vt_loss: Option<InfoNce>,
    vt_mean: Steps,
    kind: Kind,
}

/// L_sm.
struct SpatialMouthing {
    /// Of z_s and z_m.
    projections: Option<[Affine; 2]>,
    pooling: Pooling,
    over: Steps,
    /// Whether single frames are contrasted too.
    frames: bool,
    loss: InfoNce,
}

/// The projected streams that L_sm compares, `[B, T, D]`, at padded positions too, with their valid frames `[B]`.
pub struct FramePair {
    pub spatial: Tensor,
    pub mouth: Tensor,
    pub lengths: Tensor,
}

/// Everything a step of training or a translation needs from the head.
pub struct HeadOutput {
    /// `[B, T, D]`, at padded positions too; absent with one stream, and with a fusion that has none.
    pub gate: Option<Tensor>,
    /// `[B, T, D]`, zero at padding.
    pub fused: Tensor,
    /// `[B, T', D]`, zero beyond `out_lengths`; the same as `fused` where nothing is convolved.
    pub conv: Tensor,
    /// The visual tokens `[B, T', L]`, zero beyond `out_lengths`.
    pub tokens: Tensor,
    /// Valid steps of each clip, `[B]` int64 on the CPU, as are `sequence_lengths`.
    pub out_lengths: Tensor,
    /// What the language model gets in front of the prompt: the visual tokens, between the markers where there are any.
    pub sequence: Tensor,
    pub sequence_lengths: Tensor,
    /// `[B, L]`
    pub z_v: Tensor,
    /// `[B, D]`, absent without L_sm.
    pub z_s: Option<Tensor>,
    /// `[B, D]`, absent without L_sm.
    pub z_m: Option<Tensor>,
    /// Absent without a contrast of single frames.
    pub frame_pair: Option<FramePair>,
}

impl SignHead {
    /// All tensors are trainable. `config` must be [valid](HeadConfig::validate). What only a loss with the weight 0
    /// would train is absent.
    pub fn new(part: &Part, config: &HeadConfig, widths: &Widths, loss: &LossConfig) -> Self {
        let part = &part.trainable();
        let d = config.d;
        let affine = |name: &str, inputs: i64| Affine::new(&part.sub(name), inputs, d);
        let projection = |name: &str| {
            let width = widths.streams.get(name).copied().unwrap_or(1);
            let projected = name != MOUTHING || config.project_mouth;
            let key = if name == MOUTHING { "mouth_proj".to_owned() } else { format!("{name}_proj") };
            (name.to_owned(), projected.then(|| affine(&key, width)))
        };
        let streams: Vec<_> = config.streams.names().map(projection).collect();
        let whitening = |name: &str| {
            let width = widths.streams.get(name).copied().unwrap_or(1);
            (name.to_owned(), Whitening::new(&part.sub(&format!("{name}_whitening")), width))
        };
        let whitenings = match config.standardises(StandardiseBy::Whitening) {
            true => config.streams.names().map(whitening).collect(),
            false => BTreeMap::new(),
        };
        let (has_sm, has_vt) = (config.has_sm_pair() && loss.beta > 0.0, loss.alpha > 0.0);
        let temperature = |name: &str| InfoNce::new(part, name, loss.scale_bound);
        let shared = (loss.shared_temperature && (has_sm || has_vt)).then(|| temperature("logit_scale"));
        let contrast = |name: &str| shared.as_ref().map_or_else(|| temperature(name), InfoNce::sharing);
        let temporal = || TemporalConv::new(&part.sub("temporal"), d, config.conv, config.norm_over);
        Self {
            fusion: match config.streams.is_one() {
                true => None,
                false => Fusion::new(part, d, config.fusion, config.gate_layers),
            },
            streams,
            whitenings,
            temporal: config.is_convolved().then(temporal),
            llm_proj: Projector::new(&part.sub("llm_proj"), d, widths.language),
            markers: config.markers.then(|| Markers::new(part, widths.language)),
            sm: has_sm.then(|| SpatialMouthing {
                projections: loss
                    .sm_projection
                    .then(|| ["sm_spatial", "sm_mouth"].map(|name| affine(name, d))),
                pooling: loss.sm_pooling,
                over: loss.sm_over,
                frames: loss.sm_frames,
                loss: contrast("logit_scale_sm"),
            }),
            vt_loss: has_vt.then(|| contrast("logit_scale_vt")),
            vt_mean: loss.vt_mean,
            kind: part.leaf_kind(),
        }
    }

    /// Whether the streams are whitened.
    pub fn is_whitened(&self) -> bool {
        !self.whitenings.is_empty()
    }

    /// Whiten the streams by `statistics`, where the settings say so.
    pub fn whiten(&self, statistics: &BTreeMap<String, Statistics>) {
        for (name, whitening) in &self.whitenings {
            if let Some(statistics) = statistics.get(name) {
                whitening.set(statistics);
            }
        }
    }

    /// The streams of padded clips by name. Those that the head does not take are ignored and may be absent. In training the
    /// statistics of the batch count.
    ///
    /// # Errors
    /// A stream that the head takes is absent.
    pub fn forward(&self, batch: &StreamBatches, train: bool) -> Result<HeadOutput> {
        let mut projected = Vec::with_capacity(self.streams.len());
        for (name, projection) in &self.streams {
            let stream = batch.get(name).ok_or_else(|| {
                let what = format!("the batch has no {name} features, and the head is made for them");
                Error::usage(
                    what,
                    "extract that stream, or train a run on the other one alone (head.streams)",
                )
            })?;
            let mut rows = stream.rows.to_kind(self.kind);
            if let Some(whitening) = self.whitenings.get(name) {
                rows = whitening.forward(&rows, &stream.lengths);
            }
            let rows =
                projection.as_ref().map_or(rows.shallow_clone(), |projection| projection.forward(&rows));
            projected.push((name.as_str(), rows, &stream.lengths));
        }
        let of = |name: &str| {
            projected.iter().find(|(other, ..)| *other == name).map(|(_, rows, lengths)| (rows, *lengths))
        };
        let (mut gate, mut z_s, mut z_m, mut frame_pair) = (None, None, None, None);
        if let (Some(sm), [Some((spatial_btd, lengths_b)), Some((mouth_btd, mouth_lengths_b))]) =
            (&self.sm, SM_PAIR.map(of))
        {
            let pooled = [(spatial_btd, lengths_b), (mouth_btd, mouth_lengths_b)]
                .map(|(x_btd, lengths_b)| sm.pooling.of(x_btd, lengths_b, sm.over));
            let [spatial_bd, mouth_bd] = match &sm.projections {
                Some([sm_spatial, sm_mouth]) => {
                    [sm_spatial.forward(&pooled[0]), sm_mouth.forward(&pooled[1])]
                }
                None => pooled,
            };
            (z_s, z_m) = (Some(spatial_bd), Some(mouth_bd));
            frame_pair = sm.frames.then(|| FramePair {
                spatial: spatial_btd.shallow_clone(),
                mouth: mouth_btd.shallow_clone(),
                lengths: lengths_b.shallow_clone(),
            });
        }
        let (fused, lengths_b) = match (&self.fusion, projected.as_slice()) {
            (_, []) => return Err(Error::usage("the head has no stream", "name one in head.streams")),
            // Streams that are fused frame by frame have the same rows: who opens them checks that.
            (Some(fusion), [(_, first_btd, lengths_b), (_, second_btd, _)]) => {
                let fused_btd;
                (gate, fused_btd) = fusion.forward(first_btd, second_btd);
                (zero_padding(&fused_btd, lengths_b), lengths_b.shallow_clone())
            }
            (_, [(_, z_btd, lengths_b)]) => (zero_padding(z_btd, lengths_b), lengths_b.shallow_clone()),
            (_, several) => {
                join(&several.iter().map(|(_, z_btd, lengths_b)| (z_btd, *lengths_b)).collect::<Vec<_>>())
            }
        };
        let (conv, out_lengths, padded) = match &self.temporal {
            Some(temporal) => temporal.forward_padded(&fused, &lengths_b, train),
            None => (fused.shallow_clone(), lengths_b, projected[0].1.shallow_clone()),
        };
        let mask_bt1 = valid(&out_lengths, conv.size()[1], conv.device()).unsqueeze(-1);
        let tokens = self.llm_proj.forward(&conv) * mask_bt1;
        let z_v = match self.vt_mean {
            Steps::Valid => masked_mean(&tokens, &out_lengths),
            Steps::All => {
                let all_btd = self.llm_proj.forward(&padded);
                all_btd.mean_dim([1].as_slice(), false, all_btd.kind())
            }
        };
        let (sequence, sequence_lengths) = match &self.markers {
            Some(markers) => markers.around(&tokens, &out_lengths),
            None => (tokens.shallow_clone(), out_lengths.shallow_clone()),
        };
        Ok(HeadOutput {
            gate,
            fused,
            conv,
            tokens,
            out_lengths,
            sequence,
            sequence_lengths,
            z_v,
            z_s,
            z_m,
            frame_pair,
        })
    }

    /// L_vt of N clips and texts (see [`InfoNce::loss`]); `None` without it.
    pub fn loss_vt(
        &self,
        z_v: &Tensor,
        z_t: &Tensor,
        same: Option<&Tensor>,
        symmetric: bool,
    ) -> Option<Tensor> {
        self.vt_loss.as_ref().map(|vt| vt.loss(z_v, z_t, same, symmetric))
    }

    /// L_sm of N clips; `None` without it, or with one stream.
    pub fn loss_sm(
        &self,
        z_s: &Tensor,
        z_m: &Tensor,
        same: Option<&Tensor>,
        symmetric: bool,
    ) -> Option<Tensor> {
        self.sm.as_ref().map(|sm| sm.loss.loss(z_s, z_m, same, symmetric))
    }

    /// The contrast of single frames, which is added to L_sm; `None` without it.
    pub fn loss_frames(&self, out: &HeadOutput) -> Option<Tensor> {
        let (sm, pair) = (self.sm.as_ref()?, out.frame_pair.as_ref()?);
        Some(frame_contrast(&pair.spatial, &pair.mouth, &pair.lengths, sm.over))
    }

    /// Whether there is an L_vt.
    pub fn has_loss_vt(&self) -> bool {
        self.vt_loss.is_some()
    }

    /// Whether there is an L_sm.
    pub fn has_loss_sm(&self) -> bool {
        self.sm.is_some()
    }

    /// Bring the temperatures back into their range; to be called after each update.
    pub fn clamp_temperatures(&self) {
        let sm = self.sm.as_ref().map(|sm| &sm.loss);
        self.vt_loss.iter().chain(sm).for_each(InfoNce::clamp);
    }
}

/// `[B, T, D]` with zeros beyond each length.
fn zero_padding(x_btd: &Tensor, lengths_b: &Tensor) -> Tensor {
    x_btd * valid(lengths_b, x_btd.size()[1], x_btd.device()).unsqueeze(-1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::gated_fusion::FusionKind;
    use crate::head::streams::{StreamBatch, Streams};
    use signclip_common::store::SPATIAL;
    use signclip_common::weights::Weights;
    use std::collections::BTreeMap;
    use tch::Device;

    fn config(streams: Streams) -> HeadConfig {
        HeadConfig { streams, d: 8, ..HeadConfig::default() }
    }

    fn head(weights: &Weights, config: &HeadConfig, loss: &LossConfig) -> Result<SignHead> {
        let streams = BTreeMap::from([(SPATIAL.to_owned(), 10), (MOUTHING.to_owned(), 6)]);
        let widths = Widths { streams, language: 12 };
        weights.build(&[], |root| SignHead::new(root, config, &widths, loss))
    }

    /// A batch of the streams that are there.
    fn batch(spatial: Option<&Tensor>, mouthing: Option<&Tensor>, lengths: &Tensor) -> StreamBatches {
        let streams = [(SPATIAL, spatial), (MOUTHING, mouthing)];
        let there =
            streams.into_iter().filter_map(|(name, rows)| Some((name.to_owned(), rows?.shallow_clone())));
        there.map(|(name, rows)| (name, StreamBatch { rows, lengths: lengths.shallow_clone() })).collect()
    }

    fn random(shape: [i64; 3]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// A padded batch gives what its clips give one by one, whatever the padding holds.
    #[test]
    fn padding_changes_nothing() -> Result<()> {
        tch::manual_seed(3);
        let weights = Weights::synthetic(1, Device::Cpu, Kind::Float);
        let head = head(&weights, &config(Streams::both()), &LossConfig::default())?;
        let lengths = [45, 7, 16, 30];
        let (spatial, mouth) = (random([4, 45, 10]), random([4, 45, 6]));
        let all = batch(Some(&spatial), Some(&mouth), &Tensor::from_slice(&lengths));
        let together = head.forward(&all, false)?;
        for (b, &length) in lengths.iter().enumerate() {
            let b = b as i64;
            let alone = |x: &Tensor| x.narrow(0, b, 1).narrow(1, 0, length);
            let one = batch(Some(&alone(&spatial)), Some(&alone(&mouth)), &Tensor::from_slice(&[length]));
            let one = head.forward(&one, false)?;
            let steps = one.out_lengths.int64_value(&[0]);
            assert_eq!(together.out_lengths.int64_value(&[b]), steps);
            let near = |got: &Tensor, want: &Tensor| {
                (got - want.get(0)).abs().max().double_value(&[]) < 1e-5 && got.size() == want.get(0).size()
            };
            assert!(
                near(&together.tokens.get(b).narrow(0, 0, steps), &one.tokens),
                "tokens of {length} frames"
            );
            assert!(near(&together.z_v.get(b), &one.z_v), "z_v of {length} frames");
            for (got, want) in [(&together.z_s, &one.z_s), (&together.z_m, &one.z_m)] {
                assert!(got.as_ref().zip(want.as_ref()).is_some_and(|(got, want)| near(&got.get(b), want)));
            }
        }
        Ok(())
    }

    /// The ablation with one stream has no gate and no L_sm, and needs no features of the other stream.
    #[test]
    fn one_stream_alone() -> Result<()> {
        let lengths = Tensor::from_slice(&[20i64, 18]);
        for name in [SPATIAL, MOUTHING] {
            let weights = Weights::fresh(0, Device::Cpu, Kind::Float);
            let head = head(&weights, &config(Streams::only(name)), &LossConfig::default())?;
            let spatial = (name == SPATIAL).then(|| random([2, 20, 10]).to_kind(Kind::Half));
            let mouth = (name == MOUTHING).then(|| random([2, 20, 6]).to_kind(Kind::Half));
            let out = head.forward(&batch(spatial.as_ref(), mouth.as_ref(), &lengths), true)?;
            assert_eq!(out.tokens.size(), [2, 2, 12]);
            assert!(out.gate.is_none() && out.z_s.is_none() && out.z_m.is_none() && !head.has_loss_sm());
            assert!(head.loss_sm(&out.z_v, &out.z_v, None, false).is_none());
            let names: Vec<String> = weights.parameters().into_iter().map(|(name, _)| name).collect();
            assert!(!names.iter().any(|name| name.starts_with("gate") || name.contains("sm")), "{names:?}");
            let other = if name == SPATIAL { "mouth_proj" } else { "spatial_proj" };
            assert!(!names.iter().any(|name| name.starts_with(other)));
        }
        Ok(())
    }

    /// A batch without a stream that the head is made for is an error that names it.
    #[test]
    fn an_absent_stream_is_named() -> Result<()> {
        let lengths = Tensor::from_slice(&[20i64, 18]);
        let (spatial, mouth) = (random([2, 20, 10]), random([2, 20, 6]));
        let weights = Weights::synthetic(1, Device::Cpu, Kind::Float);
        let head = head(&weights, &config(Streams::both()), &LossConfig::default())?;
        for (streams, name) in [((None, Some(&mouth)), "spatial"), ((Some(&spatial), None), "mouthing")] {
            let error =
                head.forward(&batch(streams.0, streams.1, &lengths), false).err().map(|e| e.to_string());
            assert!(error.is_some_and(|e| e.contains(name) && e.contains("head.streams")), "{name}");
        }
        Ok(())
    }

    /// Both streams have a say in every fusion, and only one has a gate.
    #[test]
    fn every_fusion_fuses_both() -> Result<()> {
        tch::manual_seed(4);
        let lengths = Tensor::from_slice(&[20i64, 18]);
        let (spatial, mouth) = (random([2, 20, 10]), random([2, 20, 6]));
        let mut fused = Vec::new();
        for fusion in [FusionKind::Gate, FusionKind::Concatenation, FusionKind::Addition] {
            let weights = Weights::synthetic(1, Device::Cpu, Kind::Float);
            let head =
                head(&weights, &HeadConfig { fusion, ..config(Streams::both()) }, &LossConfig::default())?;
            let out = head.forward(&batch(Some(&spatial), Some(&mouth), &lengths), false)?;
            assert_eq!(out.gate.is_some(), fusion == FusionKind::Gate);
            // Each stream has a say.
            for (spatial, mouth) in [(&(&spatial + 1.0), &mouth), (&spatial, &(&mouth + 1.0))] {
                let other = head.forward(&batch(Some(spatial), Some(mouth), &lengths), false)?;
                assert!(!other.fused.allclose(&out.fused, 1e-3, 1e-3, false), "{fusion:?}");
            }
            fused.push(out.fused);
        }
        assert!(!fused[1].allclose(&fused[2], 1e-3, 1e-3, false));
        Ok(())
    }

    /// The mean of a standardised stream says nothing about a clip, its maximum does; padding counts for neither.
    #[test]
    fn maxima_of_standardised_streams_differ() -> Result<()> {
        tch::manual_seed(5);
        let centred = |x: Tensor| &x - x.mean_dim([1].as_slice(), true, Kind::Float);
        let (spatial, mouth) = (centred(random([3, 20, 10])), centred(random([3, 20, 6])));
        let padded = |x: &Tensor| x.constant_pad_nd([0, 0, 0, 5]) + 0.0;
        for sm_pooling in [Pooling::Mean, Pooling::Max] {
            let weights = Weights::synthetic(1, Device::Cpu, Kind::Float);
            let head = head(
                &weights,
                &config(Streams::both()),
                &LossConfig { sm_pooling, ..LossConfig::default() },
            )?;
            let lengths = Tensor::from_slice(&[20i64; 3]);
            let z = |spatial: &Tensor, mouth: &Tensor| {
                head.forward(&batch(Some(spatial), Some(mouth), &lengths), false)
                    .map(|out| [out.z_s, out.z_m])
            };
            let (plain, with_padding) = (z(&spatial, &mouth)?, z(&padded(&spatial), &padded(&mouth))?);
            for (z, with_padding) in plain.iter().flatten().zip(with_padding.iter().flatten()) {
                let equal = z.get(0).allclose(&z.get(1), 1e-4, 1e-4, false);
                assert_eq!(equal, sm_pooling == Pooling::Mean, "{sm_pooling:?}");
                assert!(z.allclose(with_padding, 1e-5, 1e-5, false), "{sm_pooling:?}");
            }
        }
        Ok(())
    }

    /// As in SpaMo's code, padding changes z_v and the batch statistics, but never the tokens' place.
    #[test]
    fn padding_counts_where_asked() -> Result<()> {
        tch::manual_seed(6);
        let (spatial, lengths) = (random([2, 40, 10]), Tensor::from_slice(&[40i64, 20]));
        let run = |vt_mean: Steps, norm_over: Steps| {
            let weights = Weights::synthetic(1, Device::Cpu, Kind::Float);
            let config = HeadConfig { norm_over, ..config(Streams::only(SPATIAL)) };
            head(&weights, &config, &LossConfig { vt_mean, ..LossConfig::default() })?
                .forward(&batch(Some(&spatial), None, &lengths), true)
        };
        let valid = run(Steps::Valid, Steps::Valid)?;
        let (mean, norm) = (run(Steps::All, Steps::Valid)?, run(Steps::Valid, Steps::All)?);
        let same = |a: &Tensor, b: &Tensor| a.allclose(b, 1e-5, 1e-5, false);
        assert!(same(&valid.tokens, &mean.tokens) && !same(&valid.z_v, &mean.z_v));
        assert!(same(&valid.z_v.get(0), &mean.z_v.get(0)), "the longest clip has no padding");
        assert!(!same(&valid.tokens, &norm.tokens));
        assert!([&mean, &norm].iter().all(|out| out.out_lengths == valid.out_lengths));
        Ok(())
    }
}
