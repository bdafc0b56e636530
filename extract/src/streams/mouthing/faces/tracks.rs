//! Every face of a clip over time: which face of a picture is which of the picture before, and where the film cuts.

use super::face::{Face, distance};
use crate::streams::mouthing::crop::similarity::Similarity;
use crate::streams::mouthing::picture_size::PictureSize;

/// A face may move by this share of its width from one frame to the next, and its width may change by this factor.
const REACH: f32 = 0.5;
const GROWTH: f32 = 1.5;

/// What it may move grows by the first amount with every frame in which it was not seen, up to these frames.
const REACH_HIDDEN: f32 = 0.1;
const LONGEST_REACH: usize = 10;

/// A cut of the film moves faces farther than this from one frame to the next, or changes their widths by more than this
/// factor; people do not.
const SMOOTH: f32 = 0.3;
const SMOOTH_GROWTH: f32 = 1.3;

/// After a cut back to an earlier scene the signer is this near to where the scene had left him.
const SAME_SCENE: f32 = 1.0;

/// Looks that a face must have been there for before its end says that the film was cut. Frames at a cut may show a mix of
/// both scenes, so that faces of the next scene are there already.
pub(super) const ESTABLISHED: usize = 3;

/// Looks after which a face that is gone says nothing about a cut any more. The mixed frames at a cut may show nobody.
pub(super) const LATELY: usize = 3;

/// Frames after which faces that were there all the time go before one that comes back, as they do after a cut.
const AWAY: usize = 25;

/// Frames of 25 a second after which a face that comes back begins a new appearance.
pub(super) const PAUSE: usize = 12;

/// A face whose points move by less than this share of its width from one look to the next is a picture on a wall:
/// people who hold still move several times as much, the still picture in a compressed video less.
const STILL: f32 = 0.0025;

/// Faces of a frame that are followed, the surest ones; and frames after which one that is gone is forgotten, or one that
/// was the signer's.
const MOST: usize = 32;
const FORGOTTEN: usize = 250;
const FORGOTTEN_SIGNER: usize = 7500;

/// The faces found in one frame.
#[derive(Debug, Clone)]
pub struct Look {
    /// Number of the frame.
    pub frame: usize,
    /// Size of its picture.
    pub size: PictureSize,
    pub faces: Vec<Face>,
    /// The picture shows another scene than that of the look before, faces aside.
    pub another_scene: bool,
}

/// Whose faces were seen in a look.
#[derive(Debug)]
pub(super) struct Sighting {
    /// Numbers of the tracks, in the order of the faces.
    pub tracks: Vec<usize>,
    /// Nobody who had been there before is still there: the film was cut.
    pub cut: bool,
}

impl Sighting {
    pub(super) fn place(&self, id: usize) -> Option<usize> {
        self.tracks.iter().position(|&track| track == id)
    }
}

/// Frames in which a face was first and last seen together with the signer's, which has this number, in one appearance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    pub signer: usize,
    pub first: usize,
    pub last: usize,
}

/// One face over time.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub id: usize,
    pub face: Face,
    /// Pixels a frame.
    velocity: [f32; 2],
    /// Frames in which its present appearance began, and in which it was last seen.
    pub since: usize,
    pub last: usize,
    /// Number of the look in which it was last seen.
    look: usize,
    pub sightings: usize,
    /// Sum of the mean movements of its points, in widths a look, over all sightings but the first.
    movement: f32,
    /// Looks in which it was the signer's.
    pub signer: usize,
    pub beside: Option<Beside>,
}

/// The faces of one clip.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    all: Vec<Track>,
    /// Tracks begun so far; the number of the next one.
    begun: usize,
    looks: usize,
    /// Number of the look with which the present scene began.
    scene: usize,
    /// Size of the pictures that all places are in.
    size: Option<PictureSize>,
}

impl Tracks {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Track> {
        self.all.iter()
    }

    pub(super) fn get(&self, id: usize) -> Option<&Track> {
        self.all.iter().find(|track| track.id == id)
    }

    pub(super) fn get_mut(&mut self, id: usize) -> Option<&mut Track> {
        self.all.iter_mut().find(|track| track.id == id)
    }

    /// A face of a picture of size `size`, where it would be in pictures of the size of the last look.
    pub(super) fn now(&self, face: &Face, size: PictureSize) -> Face {
        self.size.and_then(|now| size.to(now)).map_or(*face, |to| resized(face, &to))
    }

    /// Give each face of a look to a track, the best pairs first; faces that fit none begin tracks of their own.
    /// `signer` is never forgotten. After a cut only those come back who have been the signer: any other face at a place
    /// where somebody was before is somebody else's.
    pub(super) fn assign(&mut self, look: &Look, signer: Option<usize>) -> Sighting {
        self.resize(look.size);
        self.looks += 1;
        let frame = look.frame;
        self.all.retain(|track| {
            let memory = if track.signer > 0 { FORGOTTEN_SIGNER } else { FORGOTTEN };
            Some(track.id) == signer || frame - track.last <= memory
        });
        let faces = &look.faces[..look.faces.len().min(MOST)];
        let mut pairs: Vec<Pair> = Vec::new();
        for (t, track) in self.all.iter().enumerate() {
            let pair = |(f, face)| Some(Pair { t, f, ..track.step(frame, face)? });
            pairs.extend(faces.iter().enumerate().filter_map(pair));
        }
        let lately = |track: &Track| track.look >= self.scene && self.looks - track.look <= LATELY;
        let established = |track: &Track| lately(track) && track.sightings >= ESTABLISHED;
        let continues = pairs.iter().any(|pair| pair.smooth && established(&self.all[pair.t]));
        let cut = !faces.is_empty() && !continues && self.all.iter().any(established);
        // A track that ended long ago, or in another scene, takes no face from one that continues.
        let mut taken = vec![false; faces.len()];
        pairs.iter().filter(|pair| lately(&self.all[pair.t])).for_each(|pair| taken[pair.f] = true);
        for pair in pairs.iter_mut().filter(|pair| taken[pair.f]) {
            let track = &self.all[pair.t];
            pair.away = frame - track.last > AWAY || track.look < self.scene;
        }
        if cut {
            pairs.retain(|pair| {
                let track = &self.all[pair.t];
                let was_signer = track.signer > 0 || Some(track.id) == signer;
                track.sightings < ESTABLISHED || was_signer && pair.same_scene
            });
            self.scene = self.looks;
        }
        pairs.sort_by(|a, b| a.away.cmp(&b.away).then(a.distance.total_cmp(&b.distance)));
        let mut ids = vec![None; faces.len()];
        for Pair { t, f, .. } in pairs {
            let id = Some(self.all[t].id);
            if ids[f].is_none() && !ids.contains(&id) {
                ids[f] = id;
                self.all[t].see(frame, self.looks, &faces[f]);
            }
        }
        let mut begin = |face: &Face| {
            self.all.push(Track::new(self.begun, frame, self.looks, face));
            self.begun += 1;
            self.begun - 1
        };
        let tracks = ids.into_iter().zip(faces).map(|(id, face)| id.unwrap_or_else(|| begin(face))).collect();
        Sighting { tracks, cut }
    }

    /// Take all places to pictures of size `size`.
    fn resize(&mut self, size: PictureSize) {
        if let Some(to) = self.size.replace(size).and_then(|before| before.to(size)) {
            for track in &mut self.all {
                track.face = resized(&track.face, &to);
                track.velocity = track.velocity.map(|value| value * to.a as f32);
            }
        }
    }
}

/// A face where it would be in a picture of another size.
fn resized(face: &Face, to: &Similarity) -> Face {
    let place = |[x, y]: [f32; 2]| to.apply([x.into(), y.into()]).map(|value| value as f32);
    let [x1, y1, x2, y2] = face.bounds;
    let ([x1, y1], [x2, y2]) = (place([x1, y1]), place([x2, y2]));
    Face { bounds: [x1, y1, x2, y2], score: face.score, points: face.points.map(place) }
}

/// A track and a face that may be the same person's.
#[derive(Default)]
struct Pair {
    t: usize,
    f: usize,
    /// The track has not been seen for long, and another one continues with this face.
    away: bool,
    distance: f32,
    /// The face is where a person would be who was just seen there, and where the same scene would have it later.
    smooth: bool,
    same_scene: bool,
}

impl Track {
    fn new(id: usize, frame: usize, look: usize, face: &Face) -> Self {
        Self {
            id,
            face: *face,
            velocity: [0.0; 2],
            since: frame,
            last: frame,
            look,
            sightings: 1,
            movement: 0.0,
            signer: 0,
            beside: None,
        }
    }

    pub(super) fn is_still(&self) -> bool {
        self.sightings > 1 && self.movement < STILL * (self.sightings - 1) as f32
    }

    /// How far `face` is from where this one would be, in its widths; `None` where it cannot be the same.
    fn step(&self, frame: usize, face: &Face) -> Option<Pair> {
        let frames = frame.saturating_sub(self.last).max(1);
        let hidden = REACH_HIDDEN * (frames - 1).min(LONGEST_REACH) as f32;
        let (width, centre) = (self.face.width().max(1.0), self.face.centre());
        // A velocity says little about the time after the next few frames.
        let ahead = frames.min(3) as f32;
        let gap = [0, 1].map(|axis| face.centre()[axis] - centre[axis] - self.velocity[axis] * ahead);
        let moved = distance(gap, [0.0; 2]) / width;
        let growth = (face.width() / width).max(width / face.width().max(1.0));
        let fits = moved <= REACH + hidden && growth <= GROWTH + hidden;
        let smooth = moved <= SMOOTH + hidden && growth <= SMOOTH_GROWTH + hidden;
        let same_scene = moved <= SAME_SCENE && growth <= GROWTH;
        fits.then(|| Pair { distance: moved + growth.ln(), smooth, same_scene, ..Pair::default() })
    }

    fn see(&mut self, frame: usize, look: usize, face: &Face) {
        let frames = (frame - self.last).max(1) as f32;
        let (before, now) = (self.face.centre(), face.centre());
        // Half of the old velocity remains: one frame's jitter must not throw the expectation off.
        self.velocity = [0, 1].map(|axis| (self.velocity[axis] + (now[axis] - before[axis]) / frames) / 2.0);
        let points = self.face.points.iter().zip(&face.points);
        let moved: f32 = points.map(|(&a, &b)| distance(a, b)).sum();
        self.movement += moved / 5.0 / face.width().max(1.0);
        self.sightings += 1;
        if look - self.look > 1 && frame - self.last > PAUSE {
            self.since = frame;
        }
        (self.face, self.last, self.look) = (*face, frame, look);
    }
}
