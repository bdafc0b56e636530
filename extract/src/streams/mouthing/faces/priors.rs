//! Prior boxes: the places and sizes that the detector's outputs are corrections of (`PriorBox` of
//! `hhj1897/face_detection`).

use tch::Tensor;

/// Prior boxes `[p, 4]` (centre x, centre y, width, height, as shares of the picture's width and height) of a picture
/// of `width`×`height` pixels.
///
/// Level by level, row by row, column by column, and there one for each of the level's `min_sizes` (in pixels); the
/// cells of a level are `steps` pixels apart. `clip` limits all numbers to 0..1.
pub fn priors(width: usize, height: usize, min_sizes: &[Vec<f64>], steps: &[usize], clip: bool) -> Tensor {
    let (w, h) = (width as f64, height as f64);
    let mut values = Vec::new();
    for (sizes, &step) in min_sizes.iter().zip(steps) {
        let place = |cell: usize, whole: f64| (cell as f64 + 0.5) * step as f64 / whole;
        for row in 0..height.div_ceil(step) {
            for column in 0..width.div_ceil(step) {
                for size in sizes {
                    values.extend([place(column, w), place(row, h), size / w, size / h].map(|v| v as f32));
                }
            }
        }
    }
    let priors_p4 = Tensor::from_slice(&values).view([-1, 4]);
    if clip { priors_p4.clamp(0.0, 1.0) } else { priors_p4 }
}
