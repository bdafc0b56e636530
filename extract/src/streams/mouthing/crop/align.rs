//! From the points of each frame to the transform of each frame, as `landmarks_interpolate` and `crop_patch` of
//! AV-HuBERT's `align_mouth.py` do it.
//!
//! A clip is a stream here: points go in frame by frame, alignments come out as soon as they are determined, which is
//! [`WINDOW`]` − 1` frames later, or after the next face where some frames have none. Only points are held back.
//!
//! Not in the reference: where the size of the pictures changes within a clip, points of other frames are first converted
//! to the size of the frame that they are used for; and the average starts anew where another face is followed, as after
//! a cut to a nearer camera. Where neither happens, nothing is computed differently.

use std::collections::VecDeque;
use std::ops::Range;

use super::landmarks::{POINTS, Points, usable};
use super::mean_face::MEAN_FACE;
use super::similarity::{Similarity, centroid};
use crate::streams::mouthing::picture_size::PictureSize;

/// Frames whose points are averaged: this one and the eleven after it (`--window-margin`).
pub const WINDOW: usize = 12;

/// Points on the nose and at the corners of the eyes, which speaking does not move (`stablePntsIDs`).
pub const STABLE_POINTS: [usize; 5] = [33, 36, 39, 42, 45];

/// Points of the lips (`--start-idx`, `--stop-idx`).
pub const MOUTH_POINTS: Range<usize> = 48..68;

/// What the points of a frame mean.
#[derive(Clone, Debug)]
pub struct Layout<const N: usize> {
    /// Points that the transform is estimated from.
    pub stable: Vec<usize>,
    /// Where they are in the aligned picture.
    pub target: Vec<[f64; 2]>,
    /// Points whose mean is the centre of the mouth.
    pub mouth: Range<usize>,
}

impl Layout<POINTS> {
    /// 68 points, as the reference has them.
    pub fn ibug68() -> Self {
        let target = STABLE_POINTS.iter().map(|&point| MEAN_FACE[point]).collect();
        Self { stable: STABLE_POINTS.to_vec(), target, mouth: MOUTH_POINTS }
    }
}

impl Layout<5> {
    /// The five points of a face detector: eyes, tip of the nose, corners of the mouth, each time the one on the left
    /// of the picture first. Not in the reference; for clips without 68 points.
    pub fn detector5() -> Self {
        let eyes = [centroid(&MEAN_FACE[36..42]), centroid(&MEAN_FACE[42..48])];
        let target = vec![eyes[0], eyes[1], MEAN_FACE[30], MEAN_FACE[48], MEAN_FACE[54]];
        Self { stable: (0..5).collect(), target, mouth: 3..5 }
    }
}

/// Everything that the crop of one frame needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment<const N: usize> {
    /// From the frame to the aligned picture.
    pub transform: Similarity,
    /// The frame's own points, interpolated where it had none, in its pixels.
    pub points: [[f64; 2]; N],
    /// Centre of the mouth in the aligned picture.
    pub mouth: [f64; 2],
}

/// The points of a frame, and the size of its picture.
#[derive(Clone, Copy, Debug)]
struct Placed<const N: usize> {
    points: [[f64; 2]; N],
    size: PictureSize,
}

impl<const N: usize> Placed<N> {
    /// The same points in a picture of size `size`.
    fn at(&self, size: PictureSize) -> [[f64; 2]; N] {
        self.size.to(size).map_or(self.points, |to| self.points.map(|point| to.apply(point)))
    }
}

/// Aligns a clip frame by frame.
#[derive(Clone, Debug)]
pub struct Aligner<const N: usize> {
    layout: Layout<N>,
    /// The last frame with a face.
    last: Option<Placed<N>>,
    /// Sizes of the frames without a face since then.
    gap: Vec<PictureSize>,
    /// Frames whose window is not full yet.
    window: VecDeque<Placed<N>>,
    /// The last transform that was estimated, and the size of the pictures it is for.
    transform: Option<(Similarity, PictureSize)>,
}

impl<const N: usize> Aligner<N> {
    pub fn new(layout: Layout<N>) -> Self {
        Self { layout, last: None, gap: Vec::new(), window: VecDeque::with_capacity(WINDOW), transform: None }
    }

    /// The points of the next frame, whose picture has size `size`; `None` where no face was found. Points that cannot be
    /// a face ([`usable`]) count as none. `changed`: they are another face's than those before. Returns the alignments that are determined now, in the order of the frames.
    pub fn push(
        &mut self,
        points: Option<&Points<N>>,
        size: PictureSize,
        changed: bool,
    ) -> Vec<Alignment<N>> {
        let Some(points) = points.filter(|points| usable(&points[..])) else {
            self.gap.push(size);
            return Vec::new();
        };
        let now = Placed { points: points.map(|point| point.map(f64::from)), size };
        let gap = std::mem::take(&mut self.gap);
        // Frames before the first face take its points.
        let last = self.last.replace(now).unwrap_or(now);
        let steps = (gap.len() + 1) as f64;
        let filled = gap.into_iter().zip(1..).map(|(size, step)| {
            let points = between(&last.at(size), &now.at(size), f64::from(step) / steps);
            Placed { points, size }
        });
        let mut ready: Vec<_> = filled.filter_map(|frame| self.slide(frame)).collect();
        if changed {
            ready.extend(self.end());
        }
        ready.extend(self.slide(now));
        ready
    }

    /// The frames that are left: those after the last face take its points, and the last `WINDOW − 1` frames take the
    /// last transform. A clip shorter than the window has one transform, from the mean of all its frames.
    /// `None` where no frame of the clip had a face.
    pub fn finish(&mut self) -> Option<Vec<Alignment<N>>> {
        let last = self.last?;
        let gap = std::mem::take(&mut self.gap);
        let held = gap.into_iter().map(|size| Placed { points: last.at(size), size });
        let mut ready: Vec<_> = held.filter_map(|frame| self.slide(frame)).collect();
        ready.extend(self.end());
        Some(ready)
    }

    /// The frames in the window, after which nothing is known that belongs to them.
    fn end(&mut self) -> Vec<Alignment<N>> {
        let rest = std::mem::take(&mut self.window);
        let Some(first) = rest.front().map(|frame| frame.size) else { return Vec::new() };
        let last = self.transform.take();
        let (transform, size) = last.unwrap_or_else(|| (self.estimate(&rest, first), first));
        let place = |frame: Placed<N>| {
            let transform = frame.size.to(size).map_or(transform, |to| transform.after(&to));
            self.alignment(transform, frame.points)
        };
        rest.into_iter().map(place).collect()
    }

    /// Add a frame to the window; the alignment of its first frame once it is full.
    fn slide(&mut self, frame: Placed<N>) -> Option<Alignment<N>> {
        self.window.push_back(frame);
        if self.window.len() < WINDOW {
            return None;
        }
        let first = *self.window.front()?;
        let transform = self.estimate(&self.window, first.size);
        self.transform = Some((transform, first.size));
        self.window.pop_front();
        Some(self.alignment(transform, first.points))
    }

    /// The transform of the mean of these frames, for pictures of size `size`.
    fn estimate(&self, frames: &VecDeque<Placed<N>>, size: PictureSize) -> Similarity {
        let frames: Vec<[[f64; 2]; N]> = frames.iter().map(|frame| frame.at(size)).collect();
        let mean = |&point: &usize| {
            let places: Vec<[f64; 2]> = frames.iter().map(|points| points[point]).collect();
            centroid(&places)
        };
        let from: Vec<[f64; 2]> = self.layout.stable.iter().map(mean).collect();
        Similarity::estimate(&from, &self.layout.target)
    }

    fn alignment(&self, transform: Similarity, points: [[f64; 2]; N]) -> Alignment<N> {
        let places: Vec<_> = points[self.layout.mouth.clone()].iter().map(|&p| transform.apply(p)).collect();
        Alignment { transform, points, mouth: centroid(&places) }
    }
}

/// Points on the way from `from` to `to`.
fn between<const N: usize>(from: &[[f64; 2]; N], to: &[[f64; 2]; N], share: f64) -> [[f64; 2]; N] {
    std::array::from_fn(|point| {
        let (from, to) = (from[point], to[point]);
        std::array::from_fn(|axis| from[axis] + share * (to[axis] - from[axis]))
    })
}

/// The alignments of a whole clip whose pictures have one size, or `None` where no frame had a face.
pub fn align<const N: usize>(layout: Layout<N>, clip: &[Option<Points<N>>]) -> Option<Vec<Alignment<N>>> {
    let mut aligner = Aligner::new(layout);
    let size = PictureSize { width: 1, height: 1 };
    let mut alignments: Vec<_> =
        clip.iter().flat_map(|points| aligner.push(points.as_ref(), size, false)).collect();
    alignments.extend(aligner.finish()?);
    Some(alignments)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face of `size` times the mean face at (`x`, `y`).
    fn face(size: f32, x: f32, y: f32) -> Points<POINTS> {
        MEAN_FACE.map(|point| [point[0] as f32 * size + x, point[1] as f32 * size + y])
    }

    fn points_of(clip: &[Option<Points<POINTS>>]) -> Vec<f64> {
        let alignments = align(Layout::ibug68(), clip).expect("a face");
        assert_eq!(alignments.len(), clip.len(), "one alignment per frame");
        alignments.iter().map(|alignment| alignment.points[0][0]).collect()
    }

    #[test]
    fn missed_frames_are_interpolated_and_the_ends_held() {
        let x = |x: f32| Some(MEAN_FACE.map(|point| [x, point[1] as f32]));
        let clip = [None, None, x(1.0), None, None, None, x(3.0), x(4.0), None];
        assert_eq!(points_of(&clip), [1.0, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 4.0]);
        assert!(align(Layout::ibug68(), &[None::<Points<POINTS>>; 3]).is_none());
        assert!(align(Layout::ibug68(), &[] as &[Option<Points<POINTS>>]).is_none());
    }

    #[test]
    fn points_that_are_no_face_count_as_missed() {
        let mut infinite = face(1.0, 0.0, 0.0);
        infinite[50][1] = f32::INFINITY;
        let clip =
            [Some(face(1.0, 5.0, 0.0)), Some(infinite), Some([[0.0; 2]; POINTS]), Some(face(1.0, 8.0, 0.0))];
        let missed = [clip[0], None, None, clip[3]];
        assert_eq!(align(Layout::ibug68(), &clip), align(Layout::ibug68(), &missed));
        assert!(align(Layout::ibug68(), &[Some(infinite); 20]).is_none());
    }

    #[test]
    fn the_window_looks_ahead_and_the_last_transform_stays() {
        for frames in [1, 2, 11, 12, 13, 30] {
            let clip: Vec<_> =
                (0..frames).map(|t| Some(face(0.5, (t * t) as f32 * 0.25, t as f32))).collect();
            let alignments = align(Layout::ibug68(), &clip).expect("a face");
            assert_eq!(alignments.len(), frames);
            let window = frames.min(WINDOW);
            for (t, alignment) in alignments.iter().enumerate() {
                let first = t.min(frames - window);
                let mean =
                    (first..first + window).map(|t| (t * t) as f64 * 0.25).sum::<f64>() / window as f64;
                let transform = alignment.transform;
                assert!((transform.a - 2.0).abs() < 1e-5 && transform.b.abs() < 1e-5);
                assert!((transform.tx + 2.0 * mean).abs() < 1e-3, "frame {t} of {frames}");
            }
        }
    }

    #[test]
    fn alignments_come_as_soon_as_they_are_determined() {
        let mut aligner = Aligner::new(Layout::ibug68());
        let points = face(0.7, 3.0, 4.0);
        let mut out = 0;
        for frame in 0..40 {
            let missed = (15..19).contains(&frame);
            out +=
                aligner.push((!missed).then_some(&points), PictureSize { width: 9, height: 9 }, false).len();
            let last_face = if missed { 14 } else { frame };
            assert_eq!(out, (last_face + 2_usize).saturating_sub(WINDOW), "after frame {frame}");
        }
        assert_eq!(out + aligner.finish().expect("a face").len(), 40);
    }

    /// The same clip with every picture halved in size in some frames, a gap and the last frames among these, is
    /// aligned to the same crops.
    #[test]
    fn pictures_of_another_size_give_the_same_alignment() {
        let [whole, half] = [1, 2].map(|by| PictureSize { width: 640 / by, height: 480 / by });
        let place = |t: usize| face(0.5, 200.0 + t as f32, 90.0 + (t * t) as f32 * 0.1);
        let missed = |t: usize| t < 2 || (13..22).contains(&t) || t > 36;
        let small = |t: usize| (9..17).contains(&t) || (28..33).contains(&t) || t == 38;
        let run = |small: &dyn Fn(usize) -> bool| {
            let mut aligner = Aligner::new(Layout::ibug68());
            let mut all = Vec::new();
            for t in 0..40 {
                let (size, scale) = if small(t) { (half, 0.5) } else { (whole, 1.0) };
                let points = place(t).map(|point| point.map(|value| value * scale));
                all.extend(aligner.push((!missed(t)).then_some(&points), size, false));
            }
            all.extend(aligner.finish().expect("a face"));
            all
        };
        let (same, mixed) = (run(&|_| false), run(&small));
        assert_eq!((same.len(), mixed.len()), (40, 40));
        for (t, (same, mixed)) in same.iter().zip(&mixed).enumerate() {
            let scale = if small(t) { 0.5 } else { 1.0 };
            assert!((mixed.transform.a * scale - same.transform.a).abs() < 1e-5, "frame {t}");
            let gap = [0, 1].map(|axis| mixed.mouth[axis] - same.mouth[axis]);
            assert!(gap[0].hypot(gap[1]) < 1e-3, "frame {t}: {gap:?}");
            let gap = [0, 1].map(|axis| mixed.points[50][axis] - same.points[50][axis] * scale);
            assert!(gap[0].hypot(gap[1]) < 1e-3, "frame {t}: {gap:?}");
        }
    }

    /// Two shots, one of them shorter than the window, are aligned as each is alone.
    #[test]
    fn shots_are_aligned_each_by_itself() {
        let size = PictureSize { width: 640, height: 480 };
        let shots: [Vec<_>; 3] = [(0.4, 20), (0.9, 7), (0.4, 15)]
            .map(|(scale, frames)| (0..frames).map(|t| Some(face(scale, 90.0 * scale, t as f32))).collect());
        let mut aligner = Aligner::new(Layout::ibug68());
        let mut together = Vec::new();
        for shot in &shots {
            for (t, points) in shot.iter().enumerate() {
                together.extend(aligner.push(points.as_ref(), size, t == 0));
            }
        }
        together.extend(aligner.finish().expect("a face"));
        let alone = shots.iter().flat_map(|shot| align(Layout::ibug68(), shot).expect("a face"));
        assert_eq!(together, alone.collect::<Vec<_>>());
    }

    #[test]
    fn five_points_agree_with_sixty_eight() {
        let all = Similarity { a: 0.6, b: 0.2, tx: 30.0, ty: 12.0 };
        let clip: Points<POINTS> = MEAN_FACE.map(|point| all.apply(point).map(|value| value as f32));
        let layout = Layout::detector5();
        let five: Points<5> = std::array::from_fn(|i| all.apply(layout.target[i]).map(|value| value as f32));
        let from_all = align(Layout::ibug68(), &[Some(clip)]).expect("a face")[0];
        let from_five = align(layout, &[Some(five)]).expect("a face")[0];
        assert!((from_all.transform.a - from_five.transform.a).abs() < 1e-5);
        let gap = [from_all.mouth[0] - from_five.mouth[0], from_all.mouth[1] - from_five.mouth[1]];
        assert!(gap[0].hypot(gap[1]) < 1.0, "mouth centres {gap:?} apart");
    }
}
