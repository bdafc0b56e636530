//! Points of the signer's face in every frame of a clip, window by window: from the face detector alone, from the
//! landmark network on its boxes, or from a file.

use crate::media::frame::Frame;
use crate::run::queue::Queue;
use crate::run::stages::Stage;
use crate::streams::clip_stream::Numbered;
use crate::streams::mouthing::crop::landmarks::POINTS;
use crate::streams::mouthing::faces::config::RetinaFaceConfig;
use crate::streams::mouthing::faces::decoder::FaceDecoder;
use crate::streams::mouthing::faces::face::{Face, distance};
use crate::streams::mouthing::faces::retina_face::THRESHOLD;
use crate::streams::mouthing::faces::scene::Thumbnail;
use crate::streams::mouthing::faces::signer::{Look, Signer};
use crate::streams::mouthing::landmark_file::LandmarkFile;
use crate::streams::mouthing::landmarks::crop::CropBox;
use crate::streams::mouthing::landmarks::fan::{FanConfig, Landmarks};
use crate::streams::mouthing::picture_size::PictureSize;
use signclip_common::Result;
use std::sync::Arc;

/// What is known about the signer's face in one frame.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The detector's box, or the one that followed the landmarks.
    pub bounds: Option<[f32; 4]>,
    pub points: Option<Vec<[f32; 2]>>,
    /// Whether a face was looked for in this frame at all.
    pub looked: bool,
    /// This is another face than the one before, or the same one in another shot.
    pub changed: bool,
}

/// The points of one clip's frames.
pub enum FacePoints {
    Detected(Box<Detected>),
    File(LandmarkFile),
}

impl FacePoints {
    /// One entry for each frame of the window. Errors: what the networks report.
    pub fn window(&mut self, frames: &[Numbered]) -> Result<Vec<Found>> {
        match self {
            Self::Detected(detected) => detected.window(frames),
            Self::File(file) => {
                let found = |points: [[f32; 2]; POINTS]| points.to_vec();
                let found =
                    |frame| Found { points: file.points(frame).map(found), looked: true, ..Found::default() };
                Ok(frames.iter().map(found).collect())
            }
        }
    }
}

/// Points by detector, and landmark network where there is one.
pub struct Detected {
    queue: Queue,
    decoder: FaceDecoder,
    signer: Signer,
    /// What the last picture that was looked at shows.
    scene: Option<Thumbnail>,
    fan: Option<FanConfig>,
    /// A face is looked for in every so many frames.
    every: usize,
    followed: Option<Followed>,
}

/// What frames between two looks of the detector go by: the last landmarks, in relation to those of the last look.
struct Followed {
    /// Size of the picture that all places are in.
    size: PictureSize,
    bounds: [f32; 4],
    /// Landmarks of the last look: their centre, spread and mean score.
    centre: [f32; 2],
    spread: f32,
    score: f32,
}

/// A face is lost where its landmarks' mean score falls below this share of that of the last look.
const LOST: f32 = 0.5;

impl Detected {
    pub fn new(queue: Queue, detector: &RetinaFaceConfig, fan: Option<FanConfig>, every: usize) -> Self {
        let decoder = FaceDecoder::new(detector);
        Self { queue, decoder, signer: Signer::default(), scene: None, fan, every, followed: None }
    }

    /// The faces of each picture.
    fn faces(&mut self, pictures: Vec<Arc<Frame>>) -> Result<Vec<Vec<Face>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let outputs = self.queue.faces(pictures).wait()?;
        let decoder = &mut self.decoder;
        self.queue
            .stages
            .time(Stage::Crop, || outputs.iter().map(|outputs| decoder.faces(outputs, THRESHOLD)).collect())
    }

    fn window(&mut self, frames: &[Numbered]) -> Result<Vec<Found>> {
        let every = self.every;
        let looked = || frames.iter().filter(|frame| frame.number.is_multiple_of(every));
        let pictures: Vec<Arc<Frame>> = looked().map(|f| f.frame.clone()).collect();
        let faces = self.faces(pictures)?;
        let look = |(frame, faces): (&Numbered, Vec<Face>)| {
            let scene = Thumbnail::new(&frame.frame, &faces);
            let another_scene = self.scene.as_ref().is_some_and(|before| scene.is_another(before));
            self.scene = Some(scene);
            Look { frame: frame.number, size: PictureSize::of(&frame.frame), faces, another_scene }
        };
        let looks: Vec<Look> = looked().zip(faces).map(look).collect();
        let mut signer = self.signer.follow(&looks).into_iter();
        let signer: Vec<_> = frames
            .iter()
            .map(|frame| frame.number.is_multiple_of(self.every).then(|| signer.next().flatten()))
            .collect();
        let faces: Vec<Option<Option<Face>>> =
            signer.iter().map(|look| look.map(|signer| signer.map(|signer| signer.face))).collect();
        let mut found = match self.fan.clone() {
            None => self.five_points(frames, &faces)?,
            Some(fan) if self.every == 1 => self.all_at_once(&fan, frames, &faces)?,
            // Each frame's box comes from the landmarks of the one before it.
            Some(fan) => {
                let pairs = frames.iter().zip(faces);
                pairs.map(|(frame, face)| self.one_by_one(&fan, frame, face)).collect::<Result<_>>()?
            }
        };
        for (found, signer) in found.iter_mut().zip(&signer) {
            found.changed = signer.flatten().is_some_and(|signer| signer.changed);
        }
        Ok(found)
    }

    fn five_points(&mut self, frames: &[Numbered], faces: &[Option<Option<Face>>]) -> Result<Vec<Found>> {
        let with_face = frames.iter().zip(faces).filter_map(|(frame, face)| Some((frame, face.flatten()?)));
        let enlarge = || with_face.map(|(frame, face)| Enlarged::new(&frame.frame, &face)).collect();
        let enlarged: Result<Vec<Enlarged>> = self.queue.stages.time(Stage::Crop, enlarge);
        let enlarged = enlarged?;
        let pictures: Vec<Arc<Frame>> = enlarged.iter().map(|e| e.picture.clone()).collect();
        let seen = self.faces(pictures)?;
        let mut points = enlarged.iter().zip(seen).map(|(enlarged, faces)| enlarged.points(&faces));
        let found = |face: &Option<Option<Face>>| {
            let known = face.flatten();
            let points = known.and_then(|face| Some(points.next()?.unwrap_or(face.points).to_vec()));
            Found { bounds: known.map(|face| face.bounds), points, looked: face.is_some(), changed: false }
        };
        Ok(faces.iter().map(found).collect())
    }

    fn all_at_once(
        &self,
        fan: &FanConfig,
        frames: &[Numbered],
        faces: &[Option<Option<Face>>],
    ) -> Result<Vec<Found>> {
        let bounds: Vec<Option<[f32; 4]>> = faces.iter().map(|f| f.flatten().map(|f| f.bounds)).collect();
        let with_face = frames.iter().zip(&bounds).filter_map(|(f, bounds)| Some((f, (*bounds)?)));
        let cut = || with_face.map(|(f, bounds)| fan.cut(&f.frame, bounds)).collect();
        let crops: Result<Vec<_>> = self.queue.stages.time(Stage::Crop, cut);
        let crops = crops?;
        let landmarks = if crops.is_empty() { Vec::new() } else { self.queue.landmarks(crops).wait()? };
        let mut landmarks = landmarks.into_iter();
        let found = |bounds: Option<[f32; 4]>| {
            let points = bounds.and_then(|_| landmarks.next()).map(|landmarks| landmarks.points);
            Found { bounds, points, looked: true, changed: false }
        };
        Ok(bounds.into_iter().map(found).collect())
    }

    /// `face` is absent where the detector did not look, and empty where it found none.
    fn one_by_one(&mut self, fan: &FanConfig, frame: &Numbered, face: Option<Option<Face>>) -> Result<Found> {
        let looked = face.is_some();
        let size = PictureSize::of(&frame.frame);
        self.followed = self.followed.take().map(|followed| followed.at(size));
        let bounds = match face {
            Some(face) => face.map(|face| face.bounds),
            None => self.followed.as_ref().map(|followed| followed.bounds),
        };
        let Some(bounds) = bounds else {
            self.followed = None;
            return Ok(Found { looked: true, ..Found::default() });
        };
        let crop = self.queue.stages.time(Stage::Crop, || fan.cut(&frame.frame, bounds))?;
        let Some(landmarks) = self.queue.landmarks(vec![crop]).wait()?.pop() else {
            return Ok(Found { looked: true, ..Found::default() });
        };
        self.followed = match self.followed.take() {
            Some(followed) if !looked => followed.moved(&landmarks),
            _ => Some(Followed::new(size, bounds, &landmarks)),
        };
        let points = self.followed.is_some().then_some(landmarks.points);
        Ok(Found { bounds: points.as_ref().map(|_| bounds), points, looked: true, changed: false })
    }
}

/// A face cut out and brought to [`Self::WIDTH`] pixels.
///
/// The detector's points are coarse on small faces: on sign-language clips with faces some 60 pixels wide, the mouth came
/// a third nearer to where 68 landmarks put it by the second look, and no nearer with still larger pictures.
struct Enlarged {
    picture: Arc<Frame>,
    corner: [f32; 2],
    /// Pixels of the frame in one of the picture.
    scale: f32,
}

impl Enlarged {
    const SIDE: usize = 320;
    const WIDTH: f32 = 128.0;

    fn new(frame: &Frame, face: &Face) -> Result<Self> {
        let bounds = CropBox::around(face.bounds, Self::WIDTH / Self::SIDE as f32)?;
        let picture = Arc::new(bounds.cut(frame, Self::SIDE)?);
        let scale = (bounds.right - bounds.left) as f32 / Self::SIDE as f32;
        Ok(Self { picture, corner: [bounds.left as f32, bounds.top as f32], scale })
    }

    /// Points in the frame of the face in the middle of the picture, if there is one.
    fn points(&self, faces: &[Face]) -> Option<[[f32; 2]; 5]> {
        let middle = [Self::SIDE as f32 / 2.0; 2];
        let off = |face: &Face| distance(face.centre(), middle);
        let face = faces.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
        let place = |[x, y]: [f32; 2]| [self.corner[0] + x * self.scale, self.corner[1] + y * self.scale];
        (off(face) < Self::WIDTH / 2.0).then(|| face.points.map(place))
    }
}

impl Followed {
    fn new(size: PictureSize, bounds: [f32; 4], landmarks: &Landmarks) -> Self {
        let (centre, spread) = middle(&landmarks.points);
        Self { size, bounds, centre, spread, score: mean(&landmarks.scores) }
    }

    /// The same in a picture of size `size`.
    fn at(self, size: PictureSize) -> Self {
        let Some(to) = self.size.to(size) else { return self };
        let place = |[x, y]: [f32; 2]| to.apply([x.into(), y.into()]).map(|value| value as f32);
        let [x1, y1, x2, y2] = self.bounds;
        let ([x1, y1], [x2, y2]) = (place([x1, y1]), place([x2, y2]));
        Self {
            size,
            bounds: [x1, y1, x2, y2],
            centre: place(self.centre),
            spread: self.spread * to.a as f32,
            ..self
        }
    }

    /// The box moved and scaled as the landmarks were; nothing where they have lost the face.
    fn moved(self, landmarks: &Landmarks) -> Option<Self> {
        let (centre, spread) = middle(&landmarks.points);
        let scale = spread / self.spread;
        let kept = mean(&landmarks.scores) >= LOST * self.score && (0.5..=2.0).contains(&scale);
        let corner = |i: usize| centre[i % 2] + (self.bounds[i] - self.centre[i % 2]) * scale;
        let bounds = [0, 1, 2, 3].map(corner);
        kept.then_some(Self { bounds, centre, spread, ..self })
    }
}

/// Centre of points, and their mean distance from it.
fn middle(points: &[[f32; 2]]) -> ([f32; 2], f32) {
    let n = points.len().max(1) as f32;
    let sum = points.iter().fold([0.0, 0.0], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
    let centre = sum.map(|s| s / n);
    let distance = points.iter().map(|&point| distance(point, centre)).sum::<f32>();
    (centre, distance / n)
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}
