//! Whether a picture shows another scene than the one before, faces aside.

use super::face::Face;
use crate::media::frame::Frame;

/// Cells of a thumbnail, across and down.
const ACROSS: usize = 32;
const DOWN: usize = 18;

/// Levels of 256 by which a cell must differ to be another one: more than the noise of a compressed video.
const DIFFERENT: f32 = 8.0;

/// Share of the cells that must be others. On sign-language clips people change at most 0.13 of them from one frame to the
/// next, and what passes behind a car's window 0.17; a cut between two shots before one plain wall changes half.
const SHARE: f32 = 0.25;

/// The part around a face that moves with it, in its width and height: hair, neck, a hand before it.
const AROUND: f32 = 0.5;

/// A picture in few gray cells.
#[derive(Debug, Clone)]
pub(crate) struct Thumbnail {
    levels: Vec<f32>,
    /// Cells that belong to a face.
    face: Vec<bool>,
}

impl Thumbnail {
    pub(crate) fn new(frame: &Frame, faces: &[Face]) -> Self {
        let cells = || (0..DOWN).flat_map(|y| (0..ACROSS).map(move |x| (x, y)));
        let levels = cells().map(|(x, y)| level(frame, x, y)).collect();
        let size = [frame.width as f32 / ACROSS as f32, frame.height as f32 / DOWN as f32];
        let face = cells().map(|(x, y)| {
            let centre = [(x as f32 + 0.5) * size[0], (y as f32 + 0.5) * size[1]];
            faces.iter().any(|face| is_around(face, centre))
        });
        Self { levels, face: face.collect() }
    }

    /// Whether this is another scene than `before`. Pictures that are all face say nothing.
    pub(crate) fn is_another(&self, before: &Self) -> bool {
        let cells = self.levels.iter().zip(&before.levels).zip(self.face.iter().zip(&before.face));
        let outside: Vec<bool> = cells
            .filter(|(_, (now, before))| !**now && !**before)
            .map(|((now, before), _)| (now - before).abs() > DIFFERENT)
            .collect();
        let changed = outside.iter().filter(|changed| **changed).count();
        changed as f32 > SHARE * outside.len() as f32
    }
}

/// The mean level of a cell, of at most 8×8 of its pixels.
fn level(frame: &Frame, x: usize, y: usize) -> f32 {
    let places = |cell: usize, cells: usize, length: usize| {
        let (from, to) =
            (cell * length / cells, ((cell + 1) * length / cells).max(cell * length / cells + 1));
        (from..to.min(length)).step_by(((to - from) / 8).max(1))
    };
    let (mut sum, mut count) = (0, 0_u32);
    for row in places(y, DOWN, frame.height) {
        for column in places(x, ACROSS, frame.width) {
            let first = (row * frame.width + column) * 3;
            sum += frame.rgb[first..first + 3].iter().map(|level| u32::from(*level)).sum::<u32>();
            count += 3;
        }
    }
    sum as f32 / count.max(1) as f32
}

fn is_around(face: &Face, [x, y]: [f32; 2]) -> bool {
    let [x1, y1, x2, y2] = face.bounds;
    let (wide, high) = (AROUND * face.width(), AROUND * face.height());
    (x1 - wide..x2 + wide).contains(&x) && (y1 - high..y2 + high).contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, width: f32) -> Face {
        let half = width / 2.0;
        Face { bounds: [x - half, y - half, x + half, y + half], score: 1.0, points: [[x, y]; 5] }
    }

    /// A picture of one gray with blocks `[x, y, width, height, level]` on it.
    fn picture(blocks: &[[usize; 5]]) -> Frame {
        let mut frame = Frame::filled(320, 180, [90; 3]);
        for [left, top, width, height, level] in blocks {
            for y in *top..top + height {
                frame.rgb[(y * 320 + left) * 3..(y * 320 + left + width) * 3].fill(*level as u8);
            }
        }
        frame
    }

    #[test]
    fn a_scene_is_what_is_around_faces() {
        // Body and face of one person; a second one joins, and the first one's face is hidden.
        let one = [[120, 80, 80, 100, 20], [140, 30, 40, 50, 200]];
        let two = [one[0], [140, 30, 40, 50, 60], [20, 90, 60, 90, 220], [30, 40, 40, 50, 180]];
        let one = Thumbnail::new(&picture(&one), &[face(160.0, 55.0, 45.0)]);
        let two = Thumbnail::new(&picture(&two), &[face(50.0, 65.0, 45.0)]);
        assert!(!two.is_another(&one) && !one.is_another(&two) && !one.is_another(&one));
        // The same person from nearer, before the same wall.
        let near = [[30, 100, 260, 80, 20], [110, 10, 100, 90, 200]];
        let near = Thumbnail::new(&picture(&near), &[face(160.0, 55.0, 90.0)]);
        assert!(near.is_another(&one) && one.is_another(&near), "a cut");
        let other = Thumbnail::new(&Frame::filled(200, 260, [140; 3]), &[]);
        assert!(other.is_another(&one), "of another size");
        let all = Thumbnail::new(&picture(&[]), &[face(160.0, 90.0, 320.0)]);
        assert!(!all.is_another(&one), "nothing but a face");
        // Pictures without pixels come from nowhere, but must not end the program.
        Thumbnail::new(&Frame::filled(1, 1, [0; 3]), &[]);
        Thumbnail::new(&Frame { rgb: Vec::new(), width: 0, height: 0 }, &[]);
    }
}
