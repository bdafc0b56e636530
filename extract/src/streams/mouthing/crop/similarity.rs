//! Scale, rotation and translation between two sets of points.

/// `(x, y)` becomes `(a·x − b·y + tx, b·x + a·y + ty)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    pub a: f64,
    pub b: f64,
    pub tx: f64,
    pub ty: f64,
}

impl Similarity {
    /// The least-squares transform that takes `from` to `to`.
    ///
    /// scikit-image's `estimate_transform("similarity")` (Umeyama 1991) as the reference calls it. With points as
    /// complex numbers s and d, and without reflection, that is a = Σ conj(s−s̄)(d−d̄) / Σ |s−s̄|², t = d̄ − a·s̄.
    ///
    /// Deviation: where all points of `from` coincide, or no rotation fits better than another, the reference has no
    /// answer; here the scale is 1 and the centroid is moved, so that the result is always invertible.
    pub fn estimate(from: &[[f64; 2]], to: &[[f64; 2]]) -> Self {
        assert_eq!(from.len(), to.len(), "a point of each set for every pair");
        let (source, target) = (centroid(from), centroid(to));
        let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
        for (s, d) in from.iter().zip(to) {
            let (sx, sy) = (s[0] - source[0], s[1] - source[1]);
            let (dx, dy) = (d[0] - target[0], d[1] - target[1]);
            real += sx * dx + sy * dy;
            imaginary += sx * dy - sy * dx;
            spread += sx * sx + sy * sy;
        }
        let (mut a, mut b) = (real / spread, imaginary / spread);
        let size = a * a + b * b;
        if !size.is_normal() {
            (a, b) = (1.0, 0.0);
        }
        let tx = target[0] - (a * source[0] - b * source[1]);
        let ty = target[1] - (b * source[0] + a * source[1]);
        Self { a, b, tx, ty }
    }

    /// Where `point` goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty]
    }

    /// `first`, and then this one.
    pub fn after(&self, first: &Self) -> Self {
        let [tx, ty] = self.apply([first.tx, first.ty]);
        Self { a: self.a * first.a - self.b * first.b, b: self.b * first.a + self.a * first.b, tx, ty }
    }

    /// The way back.
    pub fn inverse(&self) -> Self {
        let size = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / size, -self.b / size);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// The upper two rows of the 3×3 matrix.
    pub fn matrix(&self) -> [f64; 6] {
        [self.a, -self.b, self.tx, self.b, self.a, self.ty]
    }
}

/// Mean of some points.
pub(super) fn centroid(points: &[[f64; 2]]) -> [f64; 2] {
    let sum = points.iter().fold([0.0, 0.0], |sum, point| [sum[0] + point[0], sum[1] + point[1]]);
    sum.map(|value| value / points.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: [[f64; 2]; 4] = [[10.0, 20.0], [35.0, 18.0], [22.0, 40.0], [0.5, -3.0]];

    #[test]
    fn finds_the_transform_that_made_the_points() {
        let made = Similarity { a: 1.3, b: -0.4, tx: 17.0, ty: -5.0 };
        let found = Similarity::estimate(&FACE, &FACE.map(|point| made.apply(point)));
        for (found, made) in found.matrix().iter().zip(made.matrix()) {
            assert!((found - made).abs() < 1e-12, "{found} instead of {made}");
        }
        for point in FACE {
            let back = made.inverse().apply(made.apply(point));
            assert!((back[0] - point[0]).abs() < 1e-12 && (back[1] - point[1]).abs() < 1e-12);
        }
    }

    #[test]
    fn two_in_a_row() {
        let (first, second) = (
            Similarity { a: 1.3, b: -0.4, tx: 17.0, ty: -5.0 },
            Similarity { a: 0.2, b: 0.7, tx: 1.0, ty: 2.5 },
        );
        for point in FACE {
            let (both, by_turns) = (second.after(&first).apply(point), second.apply(first.apply(point)));
            assert!((both[0] - by_turns[0]).abs() < 1e-12 && (both[1] - by_turns[1]).abs() < 1e-12);
        }
    }

    #[test]
    fn coinciding_points_are_only_moved() {
        let found = Similarity::estimate(&[[7.0, 9.0]; 4], &FACE);
        let target = centroid(&FACE);
        assert_eq!(found, Similarity { a: 1.0, b: 0.0, tx: target[0] - 7.0, ty: target[1] - 9.0 });
        assert!(found.inverse().matrix().iter().all(|value| value.is_finite()));
    }
}
