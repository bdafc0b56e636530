//! Settings that change nothing beside others.

use crate::config::TrainConfig;
use crate::head::gated_fusion::FusionKind;
use crate::head::temporal::{ConvKind, Steps};
use crate::training::schedule::Decay;
use signclip_common::store::{MOUTHING, SPATIAL};

/// The fields of `config` that change nothing, each with the reason.
pub fn without_effect(config: &TrainConfig) -> Vec<(&'static str, &'static str)> {
    let TrainConfig { head, loss, optimiser, .. } = config;
    let one = head.streams.is_one();
    let has_vt = loss.alpha > 0.0;
    let has_sm = loss.beta > 0.0 && head.has_sm_pair();
    let normed = head.is_convolved() && head.conv == ConvKind::Spamo;
    let cases: [(bool, &[&str], &str); 17] = [
        (config.no_features, &["shuffle_features", "shuffle_mouthing"], "no_features is set"),
        (!head.standardise, &["head.standardise_by"], "head.standardise is false"),
        (one, &["head.fusion"], "head.streams has one stream alone"),
        (one || head.fusion != FusionKind::Gate, &["head.gate_layers"], "there is no gate"),
        (!one, &["head.unconvolved_alone"], "head.streams has several streams"),
        (!head.is_convolved(), &["head.conv"], "the stream is not convolved (head.unconvolved_alone)"),
        (!normed, &["head.norm_over"], "there is no batch norm"),
        (
            !head.streams.has(MOUTHING),
            &["head.project_mouth", "shuffle_mouthing"],
            "head.streams has no mouthing",
        ),
        (
            !head.has_sm_pair(),
            &["loss.beta"],
            "L_sm compares spatial and mouthing, and head.streams does not have both",
        ),
        (
            !has_sm,
            &["loss.sm_pooling", "loss.sm_over", "loss.sm_projection", "loss.sm_frames"],
            "there is no L_sm",
        ),
        (
            !has_vt,
            &["loss.vt_target", "loss.vt_mean", "loss.vt_text_tokens", "loss.vt_alone_steps"],
            "loss.alpha is 0",
        ),
        (loss.vt_mean == Steps::Valid, &["loss.vt_text_tokens"], "loss.vt_mean leaves padding out"),
        (
            !has_vt && !has_sm,
            &["loss.symmetric", "loss.scale_bound", "loss.same_sentence_negatives"],
            "there is neither L_vt nor L_sm",
        ),
        (!has_vt || !has_sm, &["loss.shared_temperature"], "there are not both L_vt and L_sm"),
        (!head.streams.has(SPATIAL), &["max_frames_of"], "head.streams has no spatial"),
        (
            optimiser.decay == Decay::Constant,
            &["optimiser.decay_by", "optimiser.lr_floor"],
            "optimiser.decay is constant",
        ),
        (optimiser.weight_decay == 0.0, &["optimiser.decay_vectors"], "optimiser.weight_decay is 0"),
    ];
    let idle = cases.into_iter().filter(|(holds, ..)| *holds);
    idle.flat_map(|(_, fields, why)| fields.iter().map(move |field| (*field, why))).collect()
}
