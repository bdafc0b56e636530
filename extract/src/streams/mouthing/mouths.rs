//! The mouth crops of one clip, frame by frame: points of the face, alignment, crop.
//!
//! The alignment of a frame is known only when the faces of the eleven frames after it are, and, where a face is missed,
//! when it is seen again. Until then the pictures are held, up to [`HELD`] bytes; of a longer gap they are decoded
//! again when their turn comes, so that memory does not grow with it.
//!
//! A face whose mouth lies outside of the picture is as good as none.

use crate::media::frame::Frame;
use crate::media::frame_reader::FrameReader;
use crate::run::stages::{Stage, Stages};
use crate::streams::clip_stream::{Numbered, Stop};
use crate::streams::mouthing::crop::{
    Aligner, Alignment, INPUT, Layout, NOTHING, Points, lip_levels, mouth_crop, usable,
};
use crate::streams::mouthing::face_points::{FacePoints, Found};
use crate::streams::mouthing::gaps::{self, Gaps, Seen};
use crate::streams::mouthing::picture_size::PictureSize;
use crate::streams::mouthing::sheet::Sheet;
use signclip_common::{Error, Result};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of pictures that one clip holds until they are aligned.
const HELD: usize = 256 << 20;

/// What became of a clip's frames.
pub struct Mouths {
    /// Gray crops `[t, 88, 88]`; absent where no frame had a mouth.
    pub levels: Option<Vec<u8>>,
    /// Share of the frames looked at in which there was a mouth.
    pub coverage: f64,
    /// First and last frame of each gap.
    pub gaps: Vec<[usize; 2]>,
    /// Frames with a face whose mouth lies outside of the picture.
    pub outside: usize,
    pub sheet: Option<Sheet>,
}

/// Makes the crops of one clip from faces with N points.
pub struct MouthReader<'m, const N: usize> {
    points: FacePoints,
    /// Points that are the mouth's.
    mouth: Range<usize>,
    aligner: Aligner<N>,
    /// Seconds from which on a gap is not interpolated.
    max_gap: Option<f64>,
    /// Frames that wait for their alignment; without a picture where there were too many.
    held: VecDeque<Option<Arc<Frame>>>,
    held_bytes: usize,
    /// Number of the first frame that waits.
    next: usize,
    /// Reads the clip once more, for the pictures that were not held.
    reopen: Box<dyn Fn() -> Result<FrameReader> + 'm>,
    again: Option<(FrameReader, usize)>,
    levels: Vec<u8>,
    looked: usize,
    found: usize,
    outside: usize,
    gaps: Gaps,
    /// Another face is followed than when there was last a mouth.
    changed: bool,
    sheet: Option<Sheet>,
    stages: &'m Stages,
}

impl<'m, const N: usize> MouthReader<'m, N> {
    pub fn new(
        layout: Layout<N>,
        points: FacePoints,
        max_gap: Option<f64>,
        sheet: Option<Sheet>,
        reopen: impl Fn() -> Result<FrameReader> + 'm,
        stages: &'m Stages,
    ) -> Self {
        Self {
            points,
            mouth: layout.mouth.clone(),
            aligner: Aligner::new(layout),
            max_gap,
            held: VecDeque::new(),
            held_bytes: 0,
            next: 0,
            reopen: Box::new(reopen),
            again: None,
            levels: Vec::new(),
            looked: 0,
            found: 0,
            outside: 0,
            gaps: Gaps::default(),
            changed: false,
            sheet,
            stages,
        }
    }

    /// The next frames of the clip.
    pub fn push(&mut self, frames: &[Numbered]) -> Result<()> {
        let found = self.points.window(frames)?;
        for (frame, found) in frames.iter().zip(found) {
            let size = PictureSize::of(&frame.frame);
            let (seen, points) = self.mouth(&found, size);
            if let Some(sheet) = &mut self.sheet {
                sheet.frame(frame.number, &frame.frame, found.bounds, seen)?;
            }
            self.looked += usize::from(seen != Seen::NotLooked);
            self.found += usize::from(seen == Seen::Mouth);
            self.outside += usize::from(seen == Seen::Outside);
            self.gaps.push(frame.number, seen);
            self.hold(frame.frame.clone());
            self.changed |= found.changed;
            let changed = points.is_some() && std::mem::take(&mut self.changed);
            let ready = self.aligner.push(points.as_ref(), size, changed);
            self.crop(&ready)?;
        }
        Ok(())
    }

    /// What is known about the mouth of a frame, and the face's points where it can be used.
    fn mouth(&self, found: &Found, size: PictureSize) -> (Seen, Option<Points<N>>) {
        let points = found.points.as_deref().and_then(|points| Points::<N>::try_from(points).ok());
        let Some(points) = points.filter(|points| usable(points)) else {
            return (if found.looked { Seen::NoFace } else { Seen::NotLooked }, None);
        };
        let lips = &points[self.mouth.clone()];
        let centre = [0, 1].map(|axis| {
            lips.iter().map(|point| f64::from(point[axis])).sum::<f64>() / lips.len().max(1) as f64
        });
        if size.contains(centre) { (Seen::Mouth, Some(points)) } else { (Seen::Outside, None) }
    }

    /// The clip has ended after this many frames of its source, and as many at 25 a second.
    pub fn finish(mut self, source_frames: usize, frames: usize) -> Result<Mouths, Stop> {
        if let FacePoints::File(file) = &self.points {
            file.check(source_frames, frames)?;
        }
        self.gaps.close();
        let rest = self.aligner.finish();
        if let Some(rest) = &rest {
            self.crop(rest).map_err(Stop::at("face"))?;
        }
        let coverage = self.found as f64 / self.looked.max(1) as f64;
        let (gaps, outside) = (self.gaps.all(), self.outside);
        Ok(Mouths { levels: rest.map(|_| self.levels), coverage, gaps, outside, sheet: self.sheet })
    }

    fn hold(&mut self, frame: Arc<Frame>) {
        let bytes = frame.rgb.len();
        let fits = self.held_bytes + bytes <= HELD;
        self.held_bytes += if fits { bytes } else { 0 };
        self.held.push_back(fits.then_some(frame));
    }

    /// Cut the mouths of the frames that have waited longest.
    fn crop(&mut self, alignments: &[Alignment<N>]) -> Result<()> {
        for alignment in alignments {
            let held = self.held.pop_front().flatten();
            self.held_bytes -= held.as_ref().map_or(0, |frame| frame.rgb.len());
            if self.gaps.at(self.next).is_some_and(|gap| is_longer(gap, self.max_gap)) {
                self.levels.extend([NOTHING; INPUT * INPUT]);
                self.next += 1;
                continue;
            }
            let frame = match held {
                Some(frame) => frame,
                None => Arc::new(self.stages.time(Stage::Decode, || self.decode_again())?),
            };
            let crop = self.stages.time(Stage::Crop, || mouth_crop(&frame, alignment));
            if let Some(sheet) = &mut self.sheet {
                sheet.mouth(self.next, &frame, &alignment.points, &crop)?;
            }
            self.levels.extend(lip_levels(&crop));
            self.next += 1;
        }
        Ok(())
    }

    /// Frame `next`, read a second time.
    fn decode_again(&mut self) -> Result<Frame> {
        let (stream, at) = match &mut self.again {
            Some(again) => again,
            None => self.again.insert(((self.reopen)()?, 0)),
        };
        loop {
            let frame = stream.next_window(1)?.pop();
            let frame = frame.ok_or_else(|| {
                Error::usage("the clip became shorter while it was read", "extract it again")
            })?;
            *at += 1;
            if *at > self.next {
                return Ok(frame.frame);
            }
        }
    }
}

/// Whether a gap is too long to be interpolated.
pub fn is_longer(gap: [usize; 2], max_gap: Option<f64>) -> bool {
    max_gap.is_some_and(|seconds| gaps::seconds(gap) > seconds)
}
