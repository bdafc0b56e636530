//! What the detector says about its prior boxes to faces: in the thread of the clip, while the device goes on.

use super::config::RetinaFaceConfig;
use super::face::Face;
use super::{nms, priors};
use crate::streams::layers::rows::not_finite;
use signclip_common::Result;
use tch::{Kind, Tensor};

/// What the network says about one picture, as plain numbers.
pub struct Outputs {
    /// For each of p prior boxes background and face before the softmax, 4 corrections of the box, and 10 of the points:
    /// row-major `[p, 16]`.
    pub values: Vec<f32>,
    pub width: usize,
    pub height: usize,
}

/// Makes faces of them. It keeps the prior boxes of the last size: the pictures of a clip have one.
pub struct FaceDecoder {
    config: RetinaFaceConfig,
    priors: Option<((usize, usize), Tensor)>,
}

impl FaceDecoder {
    pub fn new(config: &RetinaFaceConfig) -> Self {
        Self { config: config.clone(), priors: None }
    }

    /// The faces with at least the score `threshold`, best first. Errors: an output that is not finite, beside which no face
    /// would be found.
    pub fn faces(&mut self, outputs: &Outputs, threshold: f32) -> Result<Vec<Face>> {
        let (width, height) = (outputs.width, outputs.height);
        if let Some(&value) = outputs.values.iter().find(|value| !value.is_finite()) {
            return Err(not_finite("face detector", value, "a picture", "--face-dtype f32"));
        }
        let config = &self.config;
        if self.priors.as_ref().is_none_or(|(size, _)| *size != (width, height)) {
            let priors = priors::priors(width, height, &config.min_sizes, &config.steps, config.clip);
            self.priors = Some(((width, height), priors));
        }
        let Some((_, priors)) = &self.priors else { return Ok(Vec::new()) };
        let values_pv = Tensor::from_slice(&outputs.values).view([-1, 16]);
        let [class_p2, loc_p4, landm_p10] =
            [(0, 2), (2, 4), (6, 10)].map(|(first, count)| values_pv.narrow(1, first, count).contiguous());
        let scores = class_p2.softmax(-1, Kind::Float).select(1, 1);
        let scores = Vec::<f32>::try_from(scores.contiguous())?;
        let (boxes, points) = decode(&loc_p4, &landm_p10, priors, config.variance);
        let pixels = Tensor::from_slice(&[width as f32, height as f32]);
        let boxes = Vec::<f32>::try_from((boxes * pixels.repeat([2])).contiguous().view(-1))?;
        let points = Vec::<f32>::try_from((points * pixels.repeat([5])).contiguous().view(-1))?;
        let (boxes, points) = (boxes.as_chunks::<4>().0, points.as_chunks::<10>().0);

        let selection = &config.selection;
        let mut order: Vec<usize> =
            (0..scores.len()).filter(|&i| scores[i] > selection.conf_thresh).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(selection.nms_top_k);
        let candidates: Vec<[f32; 4]> = order.iter().map(|&i| boxes[i]).collect();
        let kept = nms::suppress(&candidates, selection.nms_thresh, 1.0, selection.top_k);
        let face = |i: usize| {
            let [ax, ay, bx, by, cx, cy, dx, dy, ex, ey] = points[i];
            let points = [[ax, ay], [bx, by], [cx, cy], [dx, dy], [ex, ey]];
            Face { bounds: boxes[i], score: scores[i], points }
        };
        Ok(kept.into_iter().map(|k| face(order[k])).filter(|face| face.score >= threshold).collect())
    }
}

/// Corrections of the prior boxes to corners `[p, 4]` and points `[p, 10]`, as shares of the picture.
fn decode(loc_p4: &Tensor, landm_p10: &Tensor, priors_p4: &Tensor, variance: [f64; 2]) -> (Tensor, Tensor) {
    let (place_p2, size_p2) = (priors_p4.narrow(1, 0, 2), priors_p4.narrow(1, 2, 2));
    let moved = |by: &Tensor, place: &Tensor, size: &Tensor| place + by * variance[0] * size;
    let centre_p2 = moved(&loc_p4.narrow(1, 0, 2), &place_p2, &size_p2);
    let extent_p2 = &size_p2 * (loc_p4.narrow(1, 2, 2) * variance[1]).exp();
    let low_p2 = centre_p2 - &extent_p2 / 2.0;
    let high_p2 = &low_p2 + extent_p2;
    let landm_p52 = landm_p10.view([-1, 5, 2]);
    let points_p52 = moved(&landm_p52, &place_p2.unsqueeze(1), &size_p2.unsqueeze(1));
    (Tensor::cat(&[low_p2, high_p2], 1), points_p52.view([-1, 10]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged detector does not pass for one that sees no face.
    #[test]
    fn outputs_that_are_no_numbers_are_refused() {
        let mut decoder = FaceDecoder::new(&RetinaFaceConfig::mobilenet025());
        // Cells of strides 8, 16 and 32, with two prior boxes each.
        let mut outputs = Outputs { values: vec![0.0; (16 + 4 + 1) * 2 * 16], width: 32, height: 32 };
        assert!(decoder.faces(&outputs, 0.8).expect("no face").is_empty());
        outputs.values[40] = f32::NAN;
        let error = decoder.faces(&outputs, 0.8).expect_err("not a number").to_string();
        assert!(error.contains("face detector gives NaN") && error.contains("--face-dtype f32"), "{error}");
    }
}
