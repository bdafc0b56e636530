//! The face: 68 points in the iBUG order, and the drawing that is laid through exactly these points, so that
//! the landmarks of a frame are known without any detector.

use anyhow::Result;

use crate::canvas::{Canvas, Colour};
use crate::geometry::{Point, at};
use crate::mouthing::Mouth;
use crate::signer::{Hair, Head, Signer};

pub(crate) const POINTS: usize = 68;
/// The point of the mean face that a head turns about.
const PIVOT: Point = at(128.7, 140.0);

/// The mean face that lip-reading pipelines align to (`20words_mean_face.npy`), to a tenth of a pixel.
/// Only points 0..=47 are used: the mouth is built from the lip shape of the moment.
#[rustfmt::skip]
const MEAN_FACE: [[f32; 2]; 48] = [
    [70.9, 97.1], [72.6, 114.9], [76.0, 131.1], [79.3, 146.2], [83.6, 163.3], [91.3, 177.4],
    [100.3, 187.1], [112.1, 196.0], [130.7, 200.5], [149.9, 195.3], [163.1, 186.4], [173.7, 176.6],
    [182.4, 162.3], [187.2, 145.1], [190.2, 129.7], [193.0, 113.5], [194.4, 95.6], [81.3, 80.8],
    [87.8, 75.3], [96.2, 73.8], [104.6, 74.7], [112.2, 77.0], [144.5, 76.4], [152.3, 73.8],
    [161.1, 72.6], [170.6, 73.8], [178.2, 79.4], [128.7, 95.4], [128.5, 106.9], [128.2, 118.3],
    [128.3, 127.7], [118.8, 135.2], [123.0, 136.1], [128.9, 137.3], [134.9, 136.0], [139.5, 134.9],
    [92.5, 94.4], [97.6, 91.0], [105.4, 90.9], [112.8, 94.9], [106.1, 97.1], [98.0, 97.4],
    [145.5, 94.5], [152.6, 90.2], [160.6, 90.2], [166.7, 93.6], [160.6, 96.5], [152.2, 96.5],
];

/// Where the lips meet.
const LIPS: Point = at(129.3, 157.0);
/// Outer lip line, points 48..60: place along half the mouth's width, height above (-) or below the inner line
/// in units of the mean face.
#[rustfmt::skip]
const OUTER: [(f32, f32); 12] = [
    (-1.0, 0.0), (-0.64, -3.6), (-0.23, -6.0), (0.0, -5.0), (0.23, -6.0), (0.64, -3.6),
    (1.0, 0.0), (0.64, 4.4), (0.32, 7.4), (0.0, 8.0), (-0.32, 7.4), (-0.64, 4.4),
];
/// Inner lip line, points 60..68: place, and whether it is the upper (-1) or lower (1) lip.
const INNER: [(f32, f32); 8] =
    [(-0.88, 0.0), (-0.4, -1.0), (0.0, -1.0), (0.4, -1.0), (0.88, 0.0), (0.4, 1.0), (0.0, 1.0), (-0.4, 1.0)];

/// The 68 points of one frame, on the stage.
pub(crate) struct Face {
    pub(crate) points: [Point; POINTS],
    mouth: Mouth,
    head: Head,
    scale: [f32; 2],
}

impl Face {
    pub(crate) fn new(signer: &Signer, head: Head, mouth: Mouth) -> Self {
        let mut face = Self { points: [at(0.0, 0.0); POINTS], mouth, head, scale: signer.face };
        for (index, &[x, y]) in MEAN_FACE.iter().enumerate() {
            let mut point = at(x, y);
            match index {
                // The jaw drops with the lower lip.
                1..=15 => {
                    let low = 1.0 - ((index as f32 - 8.0) / 8.0).powi(2);
                    point.y += 0.42 * mouth.gap * low;
                }
                17..=26 => point.y -= 1.5 + 1.5 * head.brows,
                37 | 38 | 40 | 41 | 43 | 44 | 46 | 47 => {
                    // Drawn eyes are a little larger than the mean of many people's.
                    point.y = 93.8 + (point.y - 93.8) * 1.35 * head.eyes;
                }
                _ => {}
            }
            face.points[index] = face.place(point);
        }
        for (index, &(across, height)) in OUTER.iter().enumerate() {
            let inner = inner_lip(&mouth, across, height.signum() * f32::from(height != 0.0));
            let bitten = if height > 0.0 { 1.0 - 0.5 * mouth.bite } else { 1.0 };
            let point = LIPS + at(across * mouth.half_width, inner + height * mouth.lips * bitten);
            face.points[48 + index] = face.place(point);
        }
        for (index, &(across, side)) in INNER.iter().enumerate() {
            let point = LIPS + at(across * mouth.half_width, inner_lip(&mouth, across, side));
            face.points[60 + index] = face.place(point);
        }
        face
    }

    /// From the mean face's coordinates to the stage.
    fn place(&self, point: Point) -> Point {
        let from_pivot = point - PIVOT;
        at(from_pivot.x * self.scale[0], from_pivot.y * self.scale[1]).turned(self.head.lean)
            + self.head.place
    }

    fn places(&self, points: &[[f32; 2]]) -> Vec<Point> {
        points.iter().map(|&[x, y]| self.place(at(x, y))).collect()
    }

    /// What lies behind face and clothes.
    pub(crate) fn draw_back(&self, canvas: &mut Canvas, signer: &Signer) -> Result<()> {
        if signer.hair == Hair::Long {
            let outline = self.places(&[
                [132.0, 18.0],
                [165.0, 24.0],
                [192.0, 46.0],
                [206.0, 84.0],
                [210.0, 140.0],
                [218.0, 205.0],
                [206.0, 248.0],
                [150.0, 240.0],
                [110.0, 240.0],
                [54.0, 248.0],
                [44.0, 205.0],
                [52.0, 140.0],
                [56.0, 84.0],
                [72.0, 46.0],
                [99.0, 24.0],
            ]);
            canvas.polygon(&outline, signer.hair_colour)?;
        }
        Ok(())
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas, signer: &Signer) -> Result<()> {
        let points = &self.points;
        let shade = signer.skin.times(0.82);
        let unit = self.scale[0];
        for x in [70.0, 195.0] {
            canvas.ellipse(self.place(at(x, 108.0)), at(7.0, 15.0) * unit, self.head.lean, shade)?;
        }
        let mut skull: Vec<Point> = points[..=16].to_vec();
        skull.extend(self.places(&[
            [191.0, 70.0],
            [176.0, 42.0],
            [152.0, 30.0],
            [132.0, 28.0],
            [112.0, 30.0],
            [88.0, 42.0],
            [74.0, 70.0],
        ]));
        canvas.polygon(&skull, signer.skin)?;
        canvas.stroke(&points[..=16], 3.0 * unit, shade)?;
        self.draw_hair(canvas, signer)?;
        for brow in [17..22, 22..27] {
            canvas.stroke(&points[brow], 5.0 * unit, signer.hair_colour.times(0.9))?;
        }
        for eye in [36..42, 42..48] {
            self.draw_eye(canvas, signer, &points[eye])?;
        }
        canvas.stroke(&points[27..31], 3.5 * unit, shade.times(1.06))?;
        canvas.stroke(&points[31..36], 4.0 * unit, shade.times(0.85))?;
        self.draw_mouth(canvas, signer)
    }

    fn draw_hair(&self, canvas: &mut Canvas, signer: &Signer) -> Result<()> {
        let outline: &[[f32; 2]] = match signer.hair {
            Hair::Short => &[
                [66.0, 98.0],
                [62.0, 66.0],
                [74.0, 34.0],
                [100.0, 15.0],
                [132.0, 10.0],
                [166.0, 15.0],
                [190.0, 34.0],
                [203.0, 66.0],
                [199.0, 98.0],
                [191.0, 72.0],
                [176.0, 52.0],
                [150.0, 48.0],
                [120.0, 54.0],
                [96.0, 50.0],
                [80.0, 64.0],
                [74.0, 80.0],
            ],
            Hair::Long => &[
                [60.0, 130.0],
                [56.0, 70.0],
                [74.0, 34.0],
                [100.0, 17.0],
                [132.0, 14.0],
                [166.0, 17.0],
                [192.0, 34.0],
                [208.0, 70.0],
                [204.0, 130.0],
                [193.0, 84.0],
                [170.0, 56.0],
                [134.0, 36.0],
                [96.0, 56.0],
                [72.0, 84.0],
            ],
        };
        canvas.polygon(&self.places(outline), signer.hair_colour)
    }

    fn draw_eye(&self, canvas: &mut Canvas, signer: &Signer, eye: &[Point]) -> Result<()> {
        let unit = self.scale[0];
        if self.head.eyes > 0.3 {
            canvas.polygon(eye, Colour([246.0, 244.0, 240.0]))?;
            let middle = (eye[1] + eye[2] + eye[4] + eye[5]) * 0.25;
            let radius = 4.6 * unit * self.head.eyes.min(1.0);
            canvas.disc(middle, radius, signer.iris)?;
            canvas.disc(middle, radius * 0.5, Colour([15.0, 12.0, 12.0]))?;
        }
        canvas.stroke(&eye[..4], 2.2 * unit, signer.hair_colour.times(0.5))
    }

    fn draw_mouth(&self, canvas: &mut Canvas, signer: &Signer) -> Result<()> {
        let unit = self.scale[0];
        let (outer, inner) = (&self.points[48..60], &self.points[60..68]);
        canvas.polygon(outer, signer.lips)?;
        if self.mouth.gap > 1.0 {
            canvas.polygon(inner, Colour([58.0, 18.0, 22.0]))?;
            let across = |share: f32| inner[1].x + (inner[3].x - inner[1].x) * share;
            let upper = inner[2];
            let depth = inner[6] - inner[2];
            if self.mouth.tongue > 0.2 {
                let centre = upper + depth * (0.85 - 0.3 * self.mouth.tongue);
                let radii = at(0.5 * self.mouth.half_width * unit, 0.3 * depth.length());
                canvas.ellipse(centre, radii, self.head.lean, Colour([205.0, 105.0, 110.0]))?;
            }
            if self.mouth.teeth > 0.2 {
                let reach = (depth.length()).min(6.5 * unit) * self.mouth.teeth;
                let teeth = [
                    at(across(-0.2), inner[1].y),
                    upper,
                    at(across(1.2), inner[3].y),
                    at(across(1.1), inner[3].y + reach),
                    at(across(-0.1), inner[1].y + reach),
                ];
                canvas.polygon(&teeth, Colour([248.0, 246.0, 240.0]))?;
            }
        } else {
            let line = [inner[0], inner[1], inner[2], inner[3], inner[4]];
            canvas.stroke(&line, 2.0 * unit, signer.lips.times(0.55))?;
        }
        Ok(())
    }
}

/// Height of the inner lip line below the meeting line at `across` (-1..1), upper (-1) or lower (1) lip.
fn inner_lip(mouth: &Mouth, across: f32, side: f32) -> f32 {
    let open = (1.0 - (across / 0.88).powi(2)).max(0.0).sqrt();
    match side {
        side if side < 0.0 => -0.3 * mouth.gap * open,
        side if side > 0.0 => (0.7 * mouth.gap - 1.5 * mouth.bite) * open,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mouthing::Viseme;
    use crate::signer::FIRST;

    fn face(viseme: Viseme) -> Face {
        let head = Head { place: at(0.0, 68.0), lean: 0.0, eyes: 1.0, brows: 0.0 };
        Face::new(&FIRST, head, viseme.mouth())
    }

    #[test]
    fn the_lips_do_what_the_viseme_says() {
        let gap = |viseme| face(viseme).points[66].y - face(viseme).points[62].y;
        let width = |viseme| face(viseme).points[54].x - face(viseme).points[48].x;
        assert!(gap(Viseme::M) < 0.01 && gap(Viseme::A) > 8.0);
        assert!(width(Viseme::I) > 2.0 * width(Viseme::U));
        // Upper lip above lower lip, chin below both.
        let points = face(Viseme::A).points;
        assert!(points[51].y < points[62].y && points[66].y < points[57].y && points[57].y < points[8].y);
    }
}
