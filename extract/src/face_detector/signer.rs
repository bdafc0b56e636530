//! Whose face it is: the signer's is chosen once a clip and then followed, so that a second person, an interpreter beside
//! a presenter or a poster does not make the mouth crop jump.
//!
//! Every face of the picture is followed, not the signer's alone: a face that is known to be somebody else's is never
//! taken for the signer's while that one is hidden. Not in the reference (`detector.py` of mpc001/auto_avsr), which takes the
//! largest face of each frame anew.

use super::Face;

/// A face may move by this share of its width from one frame to the next, and its width may change by this factor.
const REACH: f32 = 0.5;
const GROWTH: f32 = 1.5;

/// What it may move grows by the first amount with every frame in which it was not seen, up to these frames.
const REACH_HIDDEN: f32 = 0.1;
const LONGEST_REACH: usize = 10;

/// Frames of 25 a second after which a face that has newly appeared elsewhere may be the signer's: after a cut, or where
/// the signer went out of the picture and came back. It must have been there for half as many.
const LOST: usize = 12;

/// A face whose points move by less than this share of its width from one look to the next is a picture on a wall:
/// people who hold still move several times as much, the still picture in a compressed video less.
const STILL: f32 = 0.0025;
/// Looks after which a chosen face that has never moved gives way to one that has.
const ENOUGH: usize = 8;

/// Faces of a frame that are followed, the surest ones; and frames after which one that is gone is forgotten.
const MOST: usize = 32;
const FORGOTTEN: usize = 250;

/// One face over time.
#[derive(Debug, Clone)]
struct Track {
    id: usize,
    face: Face,
    /// Pixels a frame.
    velocity: [f32; 2],
    /// Frames in which it was first and last seen.
    first: usize,
    last: usize,
    sightings: usize,
    /// Sum of width and height over all sightings.
    size: f32,
    /// Sum of the mean movements of its points, in widths a look, over all sightings but the first.
    movement: f32,
}

/// Follows the faces of one clip.
#[derive(Debug, Default)]
pub struct Signer {
    tracks: Vec<Track>,
    /// Tracks begun so far; the number of the next one.
    begun: usize,
    /// Number of the signer's track.
    chosen: Option<usize>,
}

impl Signer {
    /// The signer's face in each frame of a window. `window` has frame numbers, ascending, and all faces found in each
    /// frame; frames may be left out. The signer is chosen at the end of the first window that has a face: of those
    /// that move at all, the face that is largest and longest in the picture. Another is taken later only where that one
    /// turns out to be a still picture, or has gone.
    pub fn follow(&mut self, window: &[(usize, Vec<Face>)]) -> Vec<Option<Face>> {
        let seen: Vec<Vec<usize>> = window.iter().map(|(frame, faces)| self.assign(*frame, faces)).collect();
        if self.chosen.is_none() {
            self.chosen = self.choose(|_| true);
        }
        let mut signer = Vec::with_capacity(window.len());
        for ((frame, faces), tracks) in window.iter().zip(seen) {
            self.choose_again(*frame);
            let place = tracks.iter().position(|track| Some(*track) == self.chosen);
            signer.push(place.map(|place| faces[place]));
        }
        signer
    }

    /// Give each face of a frame to a track, the best pairs first; faces that fit none begin tracks of their own.
    /// Returns the tracks' numbers.
    fn assign(&mut self, frame: usize, faces: &[Face]) -> Vec<usize> {
        self.tracks.retain(|track| Some(track.id) == self.chosen || frame - track.last <= FORGOTTEN);
        let faces = &faces[..faces.len().min(MOST)];
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in self.tracks.iter().enumerate() {
            let fits =
                faces.iter().enumerate().filter_map(|(f, face)| Some((track.distance(frame, face)?, t, f)));
            pairs.extend(fits);
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ids = vec![None; faces.len()];
        for (_, t, f) in pairs {
            let id = Some(self.tracks[t].id);
            if ids[f].is_none() && !ids.contains(&id) {
                ids[f] = id;
                self.tracks[t].see(frame, &faces[f]);
            }
        }
        let mut begin = |face: &Face| {
            self.tracks.push(Track::new(self.begun, frame, face));
            self.begun += 1;
            self.begun - 1
        };
        ids.into_iter().zip(faces).map(|(id, face)| id.unwrap_or_else(|| begin(face))).collect()
    }

    /// The largest and longest of the tracks that `may` be it; one that never moves only where all others do not move
    /// either.
    fn choose(&self, may: impl Fn(&Track) -> bool) -> Option<usize> {
        let candidates = || self.tracks.iter().filter(|track| may(track));
        let moving = candidates().any(|track| !track.is_still());
        candidates()
            .filter(|track| !moving || !track.is_still())
            .max_by(|a, b| a.size.total_cmp(&b.size))
            .map(|track| track.id)
    }

    /// Where the signer has been lost for long, a face that appeared since then may take the place; where the chosen
    /// face is a still picture, one that moves.
    fn choose_again(&mut self, frame: usize) {
        let Some(signer) = self.tracks.iter().find(|track| Some(track.id) == self.chosen) else { return };
        let lost = signer.last;
        let new = if frame > lost + LOST {
            self.choose(|track| track.first > lost && track.last >= track.first + LOST / 2)
        } else if signer.is_still() && signer.sightings >= ENOUGH {
            self.choose(|track| !track.is_still() && track.sightings >= ENOUGH)
        } else {
            None
        };
        self.chosen = new.or(self.chosen);
    }
}

impl Track {
    fn new(id: usize, frame: usize, face: &Face) -> Self {
        let size = face.width() + face.height();
        Self {
            id,
            face: *face,
            velocity: [0.0; 2],
            first: frame,
            last: frame,
            sightings: 1,
            size,
            movement: 0.0,
        }
    }

    fn is_still(&self) -> bool {
        self.sightings > 1 && self.movement < STILL * (self.sightings - 1) as f32
    }

    /// How far `face` is from where this one would be, in its widths; `None` where it cannot be the same.
    fn distance(&self, frame: usize, face: &Face) -> Option<f32> {
        let frames = frame.saturating_sub(self.last).max(1);
        let hidden = (frames - 1).min(LONGEST_REACH) as f32;
        let (width, centre) = (self.face.width().max(1.0), self.face.centre());
        // A velocity says little about the time after the next few frames.
        let ahead = frames.min(3) as f32;
        let gap = [0, 1].map(|axis| face.centre()[axis] - centre[axis] - self.velocity[axis] * ahead);
        let moved = gap[0].hypot(gap[1]) / width;
        let growth = (face.width() / width).max(width / face.width().max(1.0));
        let fits = moved <= REACH + REACH_HIDDEN * hidden && growth <= GROWTH + REACH_HIDDEN * hidden;
        fits.then_some(moved + growth.ln())
    }

    fn see(&mut self, frame: usize, face: &Face) {
        let frames = (frame - self.last).max(1) as f32;
        let (before, now) = (self.face.centre(), face.centre());
        // Half of the old velocity remains: one frame's jitter must not throw the expectation off.
        self.velocity = [0, 1].map(|axis| (self.velocity[axis] + (now[axis] - before[axis]) / frames) / 2.0);
        let points = self.face.points.iter().zip(&face.points);
        let moved: f32 = points.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum();
        self.movement += moved / 5.0 / face.width().max(1.0);
        self.size += face.width() + face.height();
        self.sightings += 1;
        (self.face, self.last) = (*face, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face of this width whose centre is at (`x`, `y`), trembling a little as people do.
    fn face(x: f32, y: f32, width: f32, frame: usize) -> Face {
        let tremble = ((frame * 7 % 5) as f32 - 2.0) * 0.004 * width;
        still(x + tremble, y + tremble, width)
    }

    fn still(x: f32, y: f32, width: f32) -> Face {
        let half = width / 2.0;
        let points = [[-0.2, -0.1], [0.2, -0.1], [0.0, 0.0], [-0.15, 0.2], [0.15, 0.2]];
        Face {
            bounds: [x - half, y - half, x + half, y + half],
            score: 0.9,
            points: points.map(|[dx, dy]: [f32; 2]| [x + dx * width, y + dy * width]),
        }
    }

    /// The horizontal place of the chosen face in each frame, followed in windows of 16.
    fn follow(frames: usize, faces: impl Fn(usize) -> Vec<Face>) -> Vec<Option<f32>> {
        let all: Vec<(usize, Vec<Face>)> = (0..frames).map(|t| (t, faces(t))).collect();
        let mut signer = Signer::default();
        all.chunks(16).flat_map(|window| signer.follow(window)).map(|f| f.map(|f| f.centre()[0])).collect()
    }

    #[track_caller]
    fn stays(places: &[Option<f32>], x: impl Fn(usize) -> f32) {
        for (t, place) in places.iter().enumerate() {
            let place = place.unwrap_or_else(|| panic!("frame {t}: no face"));
            assert!((place - x(t)).abs() < 5.0, "frame {t}: {place} where {} is meant", x(t));
        }
    }

    #[test]
    fn a_second_person_who_comes_nearer_is_not_taken() {
        // Larger than the signer from frame 20 on, and named first.
        let faces = |t: usize| {
            let other = face(400.0, 100.0, 60.0 + 4.0 * t as f32, t);
            vec![other, face(150.0, 100.0, 100.0, t)]
        };
        stays(&follow(60, faces), |_| 150.0);
    }

    #[test]
    fn two_who_swap_sides_stay_who_they_are() {
        let left = |t: usize| 100.0 + 6.0 * t as f32;
        let right = |t: usize| 460.0 - 6.0 * t as f32;
        let faces = |t: usize| {
            let near = (left(t) - right(t)).abs() < 60.0;
            let mut faces = vec![face(left(t), 100.0, 100.0, t)];
            // Who passes behind is not seen.
            if !near {
                faces.push(face(right(t), 104.0, 94.0, t));
            }
            if t % 2 == 1 {
                faces.reverse();
            }
            faces
        };
        stays(&follow(60, faces), left);
    }

    #[test]
    fn a_poster_is_not_taken_though_it_is_larger() {
        stays(&follow(40, |t| vec![still(500.0, 100.0, 180.0), face(200.0, 100.0, 90.0, t)]), |_| 200.0);
        // Alone it is a face like any other.
        stays(&follow(40, |_| vec![still(500.0, 100.0, 180.0)]), |_| 500.0);
    }

    #[test]
    fn a_poster_gives_way_to_a_signer_who_comes_later_and_to_rare_looks() {
        let late = |t: usize| match t < 20 {
            true => vec![still(500.0, 100.0, 180.0)],
            false => vec![still(500.0, 100.0, 180.0), face(200.0, 100.0, 90.0, t)],
        };
        assert!(follow(70, late)[45..].iter().all(|place| place.is_some_and(|x| x < 210.0)));
        for every in [4, 8, 16] {
            let looks: Vec<(usize, Vec<Face>)> = (0..400)
                .step_by(every)
                .map(|t| (t, vec![still(500.0, 100.0, 180.0), face(200.0, 100.0, 90.0, t / every)]))
                .collect();
            let mut signer = Signer::default();
            let found: Vec<_> = looks.chunks(1).flat_map(|look| signer.follow(look)).collect();
            assert!(found[10..].iter().all(|f| f.is_some_and(|f| f.centre()[0] < 210.0)), "every {every}");
        }
    }

    #[test]
    fn another_face_does_not_stand_in_while_the_signers_is_hidden() {
        let hidden = |t: usize| (20..80).contains(&t);
        let faces = |t: usize| {
            let other = face(330.0, 100.0, 120.0, t);
            if hidden(t) { vec![other] } else { vec![face(180.0, 100.0, 130.0, t), other] }
        };
        for (t, place) in follow(100, faces).into_iter().enumerate() {
            assert_eq!(place.is_none(), hidden(t), "frame {t}");
            assert!(place.is_none_or(|x| (x - 180.0).abs() < 5.0), "frame {t}: {place:?}");
        }
    }

    #[test]
    fn after_a_cut_the_signer_is_found_again() {
        let faces =
            |t: usize| vec![if t < 30 { face(100.0, 80.0, 60.0, t) } else { face(600.0, 300.0, 200.0, t) }];
        let places = follow(100, faces);
        assert!(places[..30].iter().all(Option::is_some));
        assert!(places[60..].iter().all(|place| place.is_some_and(|x| x > 590.0)), "{places:?}");
    }

    #[test]
    fn frames_without_a_look_are_bridged() {
        let all: Vec<(usize, Vec<Face>)> =
            (0..60).step_by(5).map(|t| (t, vec![face(100.0 + 8.0 * t as f32, 100.0, 100.0, t)])).collect();
        let found = Signer::default().follow(&all);
        assert!(found.iter().all(Option::is_some));
        assert!(Signer::default().follow(&[(0, Vec::new()), (1, Vec::new())]).iter().all(Option::is_none));
    }
}
