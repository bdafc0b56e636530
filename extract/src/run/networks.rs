//! The frozen networks of one device, and the desk where clips ask them for something.
//!
//! A tensor belongs to one thread, so everything that touches one happens in the device's thread; what goes in and comes
//! out are pictures and plain numbers.

use crate::run::faults::{AtOnce, is_out_of_memory};
use crate::streams::mouthing::faces::Face;
use crate::streams::mouthing::faces::retina_face::{RetinaFace, THRESHOLD};
use crate::media::frame::Frame;
use crate::streams::mouthing::landmarks::fan::{FaceCrop, Fan, Landmarks};
use crate::streams::mouthing::lips::LipEncoder;
use crate::streams::spatial::{Prepared, SpatialEncoder};
use crate::run::stages::{Stage, Stages};
use crossbeam_channel::{Receiver, Sender, bounded};
use signclip_common::panics::guarded;
use signclip_common::{Error, Result};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// What the settings ask for, on one device; the rest is absent.
#[derive(Default)]
pub struct Networks {
    pub spatial: Option<SpatialEncoder>,
    pub detector: Option<RetinaFace>,
    pub fan: Option<Fan>,
    pub lips: Option<LipEncoder>,
    /// Where they are; the processor where it is not said.
    pub device: Option<Device>,
}

/// One piece of work for a device.
enum Request {
    Gesture(Vec<Prepared>, Reply<Vec<f32>>),
    Faces(Vec<Arc<Frame>>, Reply<Vec<Vec<Face>>>),
    Landmarks(Vec<FaceCrop>, Reply<Vec<Landmarks>>),
    Mouthing(Vec<u8>, Reply<Vec<f32>>),
}

impl Request {
    fn stage(&self) -> Stage {
        match self {
            Self::Gesture(..) => Stage::Gesture,
            Self::Faces(..) | Self::Landmarks(..) => Stage::Faces,
            Self::Mouthing(..) => Stage::Lips,
        }
    }
}

type Reply<T> = Sender<Reached<T>>;

/// How far a request got.
enum Reached<T> {
    Done(Result<T>),
    /// The device broke over it; another one may do it.
    Again(Request),
}

/// Where clips ask; every device that serves takes the next request.
#[derive(Clone)]
pub struct Desk {
    requests: Sender<Request>,
    /// Where those who ask note how they spend their time.
    pub stages: Arc<Stages>,
}

/// The other side of the desk.
#[derive(Clone)]
pub struct Counter {
    requests: Receiver<Request>,
    stages: Arc<Stages>,
}

/// What a device will answer.
pub struct Answer<T>(Receiver<Reached<T>>, Desk);

/// A desk at which `waiting` requests may wait, none of them larger than a window of one clip.
pub fn desk(waiting: usize, stages: &Arc<Stages>) -> (Desk, Counter) {
    let (requests, served) = bounded(waiting);
    (Desk { requests, stages: stages.clone() }, Counter { requests: served, stages: stages.clone() })
}

impl Desk {
    /// Z_s of frames, row-major `[n, dim]`.
    pub fn gesture(&self, frames: Vec<Prepared>) -> Answer<Vec<f32>> {
        self.ask(|reply| Request::Gesture(frames, reply))
    }

    /// All faces of each picture.
    pub fn faces(&self, frames: Vec<Arc<Frame>>) -> Answer<Vec<Vec<Face>>> {
        self.ask(|reply| Request::Faces(frames, reply))
    }

    /// 68 points of each face.
    pub fn landmarks(&self, faces: Vec<FaceCrop>) -> Answer<Vec<Landmarks>> {
        self.ask(|reply| Request::Landmarks(faces, reply))
    }

    /// Z_m of a whole clip of gray mouth crops `[t, 88, 88]`, row-major `[t, dim]`.
    pub fn mouthing(&self, levels: Vec<u8>) -> Answer<Vec<f32>> {
        self.ask(|reply| Request::Mouthing(levels, reply))
    }

    fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Answer<T> {
        let (reply, answer) = bounded(1);
        // Where nobody serves any more the request is dropped, and the answer says so.
        let _ = self.requests.send(request(reply));
        Answer(answer, self.clone())
    }
}

impl Counter {
    /// Turn everybody away until nobody asks any more: a request that stayed at the desk would be waited for for ever.
    pub fn turn_away(&self) {
        self.requests.iter().for_each(drop);
    }
}

impl<T> Answer<T> {
    /// Wait for it. Errors: what the network reports; no device left that works.
    pub fn wait(self) -> Result<T> {
        loop {
            match self.0.recv() {
                Ok(Reached::Done(result)) => return result,
                // Dropped where nobody serves any more, which the next turn notices.
                Ok(Reached::Again(request)) => drop(self.1.requests.send(request)),
                Err(_) => {
                    let what = "no device serves any more";
                    return Err(Error::usage(what, "see the log for why, and run again"));
                }
            }
        }
    }
}

/// How much a device takes at once, by kind of work.
#[derive(Default)]
struct Limits {
    gesture: AtOnce,
    faces: AtOnce,
    landmarks: AtOnce,
}

impl Networks {
    /// Serve requests until nobody can ask any more. Errors: the device works no longer; what it was about to do has
    /// been handed back.
    pub fn serve(&self, counter: &Counter) -> Result<()> {
        let mut limits = Limits::default();
        let works = || guarded(|| works(self.device.unwrap_or(Device::Cpu))).unwrap_or(false);
        for request in &counter.requests {
            counter.stages.take(counter.requests.len());
            counter.stages.time(request.stage(), || self.answer(request, &mut limits, &works))?;
        }
        Ok(())
    }

    fn answer(&self, request: Request, limits: &mut Limits, works: &dyn Fn() -> bool) -> Result<()> {
        match request {
            Request::Gesture(frames, reply) => {
                let encode = |frames: &[Prepared]| present(&self.spatial, "CLIP")?.encode(frames);
                let rows = limits.gesture.run("CLIP", &frames, encode);
                settle(rows, reply, works, |reply| Request::Gesture(frames, reply))
            }
            Request::Faces(frames, reply) => {
                let detect = |frames: &[Arc<Frame>]| {
                    let frames: Vec<&Frame> = frames.iter().map(AsRef::as_ref).collect();
                    present(&self.detector, "RetinaFace")?.detect(&frames, THRESHOLD)
                };
                let faces = limits.faces.run("RetinaFace", &frames, detect);
                settle(faces, reply, works, |reply| Request::Faces(frames, reply))
            }
            Request::Landmarks(faces, reply) => {
                let find = |faces: &[FaceCrop]| present(&self.fan, "FAN")?.landmarks(faces);
                let points = limits.landmarks.run("FAN", &faces, find);
                settle(points, reply, works, |reply| Request::Landmarks(faces, reply))
            }
            Request::Mouthing(levels, reply) => {
                // Every frame attends to every other: a clip cannot be cut.
                let rows = guarded(|| present(&self.lips, "AV-HuBERT")?.encode(&levels)).map_err(|error| {
                    if !is_out_of_memory(&error) {
                        return error;
                    }
                    let what = format!("too little memory on the device for the lip encoder ({error})");
                    Error::usage(what, "encode this clip with --gpus cpu, or cut it into shorter ones")
                });
                settle(rows, reply, works, |reply| Request::Mouthing(levels, reply))
            }
        }
    }
}

/// Answer a request, or hand it back where the device has broken over it.
fn settle<T>(
    result: Result<T>,
    reply: Reply<T>,
    works: &dyn Fn() -> bool,
    again: impl FnOnce(Reply<T>) -> Request,
) -> Result<()> {
    match result {
        // After a CUDA error every call on that device fails. One that can still add has nothing to do with the
        // refusal, which is the clip's own then.
        Err(error @ Error::Torch(_)) if !works() => {
            drop(reply.clone().send(Reached::Again(again(reply))));
            Err(error)
        }
        // An answer that nobody waits for belongs to a clip that was given up.
        result => {
            drop(reply.send(Reached::Done(result)));
            Ok(())
        }
    }
}

/// Whether a device can still add.
fn works(device: Device) -> Result<bool> {
    let sum = Tensor::f_ones([2], (Kind::Float, device))?.f_sum(Kind::Float)?;
    Ok(f64::try_from(&sum)? == 2.0)
}

fn present<'n, T>(network: &'n Option<T>, name: &str) -> Result<&'n T> {
    network.as_ref().ok_or_else(|| {
        Error::usage(format!("{name} was not loaded for these settings"), "this is a bug; please report it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(waiting: usize) -> (Desk, Counter) {
        super::desk(waiting, &Arc::new(Stages::new(1, 1)))
    }

    /// A desk with one asker's requests served by two devices, the first of which breaks.
    #[test]
    fn what_a_broken_device_was_doing_is_done_by_another() {
        let (desk, counter) = desk(4);
        let first = desk.mouthing(vec![1]);
        let second = desk.mouthing(vec![2]);
        let refusal = || Err(Error::Torch("CUDA error: an illegal memory access was encountered".into()));
        let Ok(Request::Mouthing(levels, reply)) = counter.requests.recv() else { panic!("a request") };
        let lost = settle::<Vec<f32>>(refusal(), reply, &|| false, |reply| Request::Mouthing(levels, reply));
        assert!(lost.unwrap_err().to_string().contains("illegal memory access"));
        std::thread::scope(|scope| {
            let counter = counter;
            scope.spawn(move || {
                for request in &counter.requests {
                    let Request::Mouthing(levels, reply) = request else { panic!("mouthing") };
                    let rows = Ok(vec![f32::from(levels[0])]);
                    settle(rows, reply, &|| true, |reply| Request::Mouthing(levels, reply)).unwrap();
                }
            });
            assert_eq!(first.wait().unwrap(), [1.0]);
            assert_eq!(second.wait().unwrap(), [2.0]);
            // A device that still adds has not broken: the clip has failed.
            drop(desk);
        });
    }

    #[test]
    fn a_refusal_of_a_working_device_is_the_clips() {
        let (desk, counter) = desk(1);
        let answer = desk.mouthing(vec![1]);
        std::thread::scope(|scope| {
            scope.spawn(|| Networks::default().serve(&counter).unwrap());
            assert!(answer.wait().unwrap_err().to_string().contains("AV-HuBERT"));
            drop(desk);
        });
    }

    #[test]
    fn without_any_device_an_answer_is_an_error() {
        let (desk, counter) = desk(2);
        let (taken, waiting) = (desk.mouthing(vec![1]), desk.mouthing(vec![2]));
        let Ok(Request::Mouthing(levels, reply)) = counter.requests.recv() else { panic!("a request") };
        let broken = Err(Error::Torch("gone".into()));
        settle::<Vec<f32>>(broken, reply, &|| false, |reply| Request::Mouthing(levels, reply)).unwrap_err();
        std::thread::scope(|scope| {
            scope.spawn(|| counter.turn_away());
            for answer in [taken, waiting, desk.mouthing(vec![3])] {
                assert!(answer.wait().unwrap_err().to_string().contains("no device serves"));
            }
            drop(desk);
        });
    }
}
