//! Whose face it is: the signer's is chosen once a clip and then followed, so that a second person, an interpreter beside
//! a presenter or a poster does not make the mouth crop jump.
//!
//! Every face of the picture is followed, not the signer's alone: a face that is known to be somebody else's is not
//! taken for the signer's while that one is hidden. Where the signer is gone, who is there now decides; a signer who comes
//! back is preferred. Not in the reference (`detector.py` of mpc001/auto_avsr), which takes the largest face of each
//! frame anew.

use super::face::{Face, distance};
use super::tracks::{Beside, ESTABLISHED, LATELY, PAUSE, Sighting, Track, Tracks};
use std::cmp::Ordering;

pub use super::tracks::Look;

/// Frames of 25 a second after which another face may be the signer's where no cut was seen: the signer went out of the
/// picture, or came back at another place. It must have been there for half as many.
const LOST: usize = PAUSE;

/// Frames after which somebody who was there together with the signer, and stayed, is the signer.
const GONE: usize = 75;

/// Looks after which a chosen face that has never moved gives way to one that has.
const ENOUGH: usize = 8;

/// Looks from a cut on in which the next signer is taken at once; also those that a face must be there for then.
const AT_ONCE: usize = 3;

/// The signer in a frame.
#[derive(Debug, Clone, Copy)]
pub struct SignerFace {
    pub face: Face,
    /// Another face than the one before was chosen: places before and from here on have nothing to do with each other.
    pub changed: bool,
}

/// Follows the faces of one clip.
#[derive(Debug, Default)]
pub struct Signer {
    tracks: Tracks,
    /// Number of the signer's track.
    chosen: Option<usize>,
    /// Number of the track that was the signer's when there was last a face, and the frame of that.
    before: Option<usize>,
    seen: usize,
    /// Looks since all faces were last others than before, and since the scene was.
    since_cut: Option<usize>,
    since_scene: Option<usize>,
    /// The signer was taken because another one was gone, and gives way to that one.
    stand_in: bool,
    /// Who would have been the first signer, but held as still as a picture then.
    passed_over: Option<usize>,
}

/// A look, and whose faces they are.
type Seen<'w> = (&'w Look, &'w Sighting);

impl Signer {
    /// The signer's face in each look of a window. Looks are in the order of their frames; frames may be left out.
    ///
    /// The first signer is, of those that move at all, the face that is largest and longest in the first window that has a
    /// face. Another is taken only where
    /// * the film was cut: at once, anybody if the scene is another one; if not, an earlier signer or who is about where the
    ///   signer was;
    /// * the signer has been gone for [`LOST`] frames: who was not there together with the signer before;
    /// * the signer has been gone for [`GONE`] frames: anybody;
    /// * the signer turns out to be a still picture, or who was taken for one begins to move;
    /// * an earlier signer is back.
    pub fn follow(&mut self, window: &[Look]) -> Vec<Option<SignerFace>> {
        let sightings: Vec<Sighting> =
            window.iter().map(|look| self.tracks.assign(look, self.chosen)).collect();
        let window: Vec<Seen> = window.iter().zip(&sightings).collect();
        (0..window.len()).map(|now| self.look(&window[now..])).collect()
    }

    /// The signer's face in the first of these looks; what comes later may help to choose.
    fn look(&mut self, ahead: &[Seen]) -> Option<SignerFace> {
        let (look, sighting) = ahead[0];
        let since =
            |now: bool, looks: Option<usize>| if now { Some(0) } else { looks.map(|looks| looks + 1) };
        self.since_cut = since(sighting.cut, self.since_cut);
        self.since_scene = since(look.another_scene, self.since_scene);
        match self.chosen {
            None => {
                self.take(self.choose(ahead, None, |_| true), false);
                let moves = |track: &Track| self.chosen == Some(track.id) || track.is_still();
                self.passed_over = self.largest(ahead, None, moves).filter(|id| self.chosen != Some(*id));
                self.seen = look.frame;
            }
            Some(id) if sighting.place(id).is_some() => self.give_way(ahead),
            Some(_) => self.choose_again(ahead),
        }
        let id = self.chosen?;
        let place = sighting.place(id)?;
        self.seen = look.frame;
        self.remember(look.frame, sighting, id);
        let changed = self.before.replace(id).is_some_and(|before| before != id);
        Some(SignerFace { face: look.faces[place], changed })
    }

    fn take(&mut self, track: Option<usize>, stand_in: bool) {
        if track.is_some() {
            (self.chosen, self.stand_in, self.passed_over) = (track, stand_in, None);
        }
    }

    /// The signer is there: a still picture gives way to somebody who moves, and who was taken while the signer was gone
    /// gives way to that one.
    fn give_way(&mut self, ahead: &[Seen]) {
        let Some(signer) = self.chosen.and_then(|id| self.tracks.get(id)) else { return };
        let sighting = ahead[0].1;
        let there = |track: &Track| track.id != signer.id && sighting.place(track.id).is_some();
        let poster = signer.is_still() && signer.sightings >= ENOUGH;
        let awake = |track: &Track| self.passed_over == Some(track.id) && track.sightings >= ENOUGH;
        // Clips begin at rest: who did not move then may have been the signer all the time.
        let woken = self.tracks.iter().any(|track| awake(track) && there(track) && !track.is_still());
        let next = if woken && signer.times_signer() < GONE {
            self.passed_over
        } else if poster {
            let moves = |track: &Track| !track.is_still() && track.sightings >= ENOUGH;
            self.choose(ahead, None, |track| there(track) && moves(track))
        } else {
            // Who has only just been taken may have been taken wrongly.
            let new = signer.times_signer() < GONE;
            let longer = |track: &Track| new && track.times_signer() > signer.times_signer();
            let earlier = |track: &Track| self.stand_in || longer(track);
            let back = |track: &Track| track.times_signer() > 0 && earlier(track) && is_steady(track);
            self.choose(ahead, None, |track| there(track) && back(track) && !track.is_still())
        };
        let Some(next) = next else { return };
        let never = poster || self.stand_in || self.passed_over == Some(next);
        if let Some(before) = self.chosen.and_then(|id| self.tracks.get_mut(id)).filter(|_| never) {
            before.signer = 0;
        }
        self.take(Some(next), false);
    }

    /// The signer is not there.
    fn choose_again(&mut self, ahead: &[Seen]) {
        let Some(signer) = self.chosen.and_then(|id| self.tracks.get(id)) else { return };
        let (look, sighting) = ahead[0];
        let soon = &ahead[..ahead.len().min(AT_ONCE)];
        let returns = |looks: &[Seen]| looks.iter().any(|(_, seen)| seen.place(signer.id).is_some());
        let there = |track: &Track| sighting.place(track.id).is_some();
        let cut = self.since_cut.is_some_and(|looks| looks < AT_ONCE);
        let another = self.since_scene.is_some_and(|looks| looks < AT_ONCE + LATELY);
        // Somebody who was taken for the signer for a moment only is as good as nobody.
        let moment = signer.signer > 0 && signer.times_signer() == 0 && !returns(ahead);
        let lost = look.frame - self.seen;
        let at_once = ((cut || moment) && !returns(soon)).then(|| {
            let stays = |track: &Track| soon.iter().all(|(_, seen)| seen.place(track.id).is_some());
            let face =
                |track: &Track| Some(self.tracks.now(&look.faces[sighting.place(track.id)?], look.size));
            let alike = |track: &Track| face(track).is_some_and(|face| is_near(&signer.face, &face));
            let known = |track: &Track| another || moment || track.times_signer() > 0 || alike(track);
            let may = |track: &Track| there(track) && stays(track) && !is_guest(track) && known(track);
            self.choose(ahead, Some(signer), may)
        });
        let later = || {
            // A poster that was there all the time stays one.
            let guest = |track: &Track| lost > GONE && !track.is_still();
            let may = |track: &Track| there(track) && is_steady(track) && (!is_guest(track) || guest(track));
            (lost > LOST && !returns(ahead)).then(|| self.choose(ahead, Some(signer), may))
        };
        match at_once.flatten() {
            Some(next) => self.take(Some(next), false),
            None => {
                let next = later().flatten();
                let earlier = next.and_then(|id| self.tracks.get(id)).is_some_and(|t| t.times_signer() > 0);
                self.take(next, !earlier);
            }
        }
    }

    /// The one of the tracks that `may` be it: who was the signer before for longest; else who is largest and longest in
    /// the looks until the next cut, and nearest in place and size to the signer who is gone. One that never moves only
    /// where all others do not move either.
    fn choose(&self, ahead: &[Seen], gone: Option<&Track>, may: impl Fn(&Track) -> bool) -> Option<usize> {
        let moving = self.tracks.iter().any(|track| {
            may(track) && !track.is_still() && self.presence(until_cut(ahead), track, gone).is_some()
        });
        self.largest(ahead, gone, |track| may(track) && (!moving || !track.is_still()))
    }

    /// The same, whether it moves or not.
    fn largest(&self, ahead: &[Seen], gone: Option<&Track>, may: impl Fn(&Track) -> bool) -> Option<usize> {
        let candidates = (self.tracks.iter().filter(|track| may(track)))
            .filter_map(|track| Some((track, self.presence(until_cut(ahead), track, gone)?)));
        let better = |a: &(&Track, f32), b: &(&Track, f32)| -> Ordering {
            a.0.times_signer().cmp(&b.0.times_signer()).then(a.1.total_cmp(&b.1))
        };
        candidates.max_by(better).map(|(track, _)| track.id)
    }

    /// How large and long a face is in these looks, less where it is unlike the signer who is gone. `None` where it is in
    /// none.
    fn presence(&self, looks: &[Seen], track: &Track, gone: Option<&Track>) -> Option<f32> {
        let faces = looks.iter().filter_map(|(look, seen)| {
            Some(self.tracks.now(look.faces.get(seen.place(track.id)?)?, look.size))
        });
        let faces: Vec<Face> = faces.collect();
        let likeness =
            gone.map_or(1.0, |gone| 1.0 / (1.0 + unlike(&gone.face, faces.first().unwrap_or(&gone.face))));
        (!faces.is_empty())
            .then(|| faces.iter().map(|face| face.width() + face.height()).sum::<f32>() * likeness)
    }

    /// Take down who was there together with the signer.
    fn remember(&mut self, frame: usize, sighting: &Sighting, signer: usize) {
        for &id in &sighting.tracks {
            let Some(track) = self.tracks.get_mut(id) else { continue };
            if id == signer {
                track.signer += 1;
            } else {
                let continues = |beside: &Beside| beside.signer == signer && beside.last >= track.since;
                let before = track.beside.filter(continues);
                let first = before.map_or(frame, |beside| beside.first);
                track.beside = Some(Beside { signer, first, last: frame });
            }
        }
    }
}

/// The looks before the next cut.
fn until_cut<'a, 'w>(ahead: &'a [Seen<'w>]) -> &'a [Seen<'w>] {
    let scene = 1 + ahead[1..].iter().take_while(|(_, seen)| !seen.cut).count();
    &ahead[..scene]
}

impl Track {
    /// Looks in which it was the signer's; a moment does not count.
    fn times_signer(&self) -> usize {
        if self.signer >= ESTABLISHED { self.signer } else { 0 }
    }
}

/// Whether somebody has been there for a while.
fn is_steady(track: &Track) -> bool {
    track.last >= track.since + LOST / 2
}

/// Whether somebody was there together with the signer for a while, and is therefore somebody else.
fn is_guest(track: &Track) -> bool {
    track.times_signer() == 0 && track.beside.is_some_and(|beside| beside.last >= beside.first + LOST)
}

/// Whether two faces are about where one person's is in shots by two cameras. Somebody who is there together with the
/// signer has a place of his own.
fn is_near(a: &Face, b: &Face) -> bool {
    distance(a.centre(), b.centre()) <= a.width().max(b.width())
}

/// How far apart two faces are in place, in widths, and in size.
fn unlike(a: &Face, b: &Face) -> f32 {
    let (width, other) = (a.width().max(1.0), b.width().max(1.0));
    distance(a.centre(), b.centre()) / width + (other / width).ln().abs()
}

#[cfg(test)]
mod tests;
