//! The frozen networks of one device, and the desk where clips ask them for something.
//!
//! A tensor belongs to one thread, so everything that touches one happens in the device's thread; what goes in and comes
//! out are pictures and plain numbers.

use crate::face_detector::Face;
use crate::face_detector::retina_face::{RetinaFace, THRESHOLD};
use crate::frame::Frame;
use crate::landmarks::fan::{FaceCrop, Fan, Landmarks};
use crate::lip_encoder::LipEncoder;
use crate::spatial_encoder::{Prepared, SpatialEncoder};
use crossbeam_channel::{Receiver, Sender, bounded};
use signclip_common::panics::guarded;
use signclip_common::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the settings ask for, on one device; the rest is absent.
#[derive(Default)]
pub struct Networks {
    pub spatial: Option<SpatialEncoder>,
    pub detector: Option<RetinaFace>,
    pub fan: Option<Fan>,
    pub lips: Option<LipEncoder>,
}

/// One piece of work for a device.
enum Request {
    Gesture(Vec<Prepared>, Reply<Vec<f32>>),
    Faces(Vec<Arc<Frame>>, Reply<Vec<Vec<Face>>>),
    Landmarks(Vec<FaceCrop>, Reply<Vec<Landmarks>>),
    Mouthing(Vec<u8>, Reply<Vec<f32>>),
}

type Reply<T> = Sender<Result<T>>;

/// Where clips ask; every device that serves takes the next request.
#[derive(Clone)]
pub struct Desk(Sender<Request>);

/// The other side of the desk.
#[derive(Clone)]
pub struct Counter(Receiver<Request>);

/// What a device will answer.
pub struct Answer<T>(Receiver<Result<T>>);

/// A desk at which `waiting` requests may wait.
pub fn desk(waiting: usize) -> (Desk, Counter) {
    let (requests, served) = bounded(waiting);
    (Desk(requests), Counter(served))
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
        let _ = self.0.send(request(reply));
        Answer(answer)
    }
}

impl<T> Answer<T> {
    /// Wait for it. Errors: what the network reports; a device that has stopped.
    pub fn wait(self) -> Result<T> {
        let stopped = || Error::usage("the device's thread has ended", "see the log for why, and run again");
        self.0.recv().map_err(|_| stopped())?
    }
}

impl Networks {
    /// Serve requests until nobody can ask any more. Adds the time spent to `busy`, in nanoseconds.
    pub fn serve(&self, counter: &Counter, busy: &AtomicU64) {
        for request in &counter.0 {
            let begun = Instant::now();
            // An answer that nobody waits for belongs to a clip that was given up.
            match request {
                Request::Gesture(frames, reply) => {
                    drop(reply.send(guarded(|| present(&self.spatial, "CLIP")?.encode(&frames))));
                }
                Request::Faces(frames, reply) => {
                    let frames: Vec<&Frame> = frames.iter().map(AsRef::as_ref).collect();
                    let detect = || present(&self.detector, "RetinaFace")?.detect(&frames, THRESHOLD);
                    drop(reply.send(guarded(detect)));
                }
                Request::Landmarks(faces, reply) => {
                    drop(reply.send(guarded(|| present(&self.fan, "FAN")?.landmarks(&faces))));
                }
                Request::Mouthing(levels, reply) => {
                    drop(reply.send(guarded(|| present(&self.lips, "AV-HuBERT")?.encode(&levels))));
                }
            }
            busy.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
    }
}

fn present<'n, T>(network: &'n Option<T>, name: &str) -> Result<&'n T> {
    network.as_ref().ok_or_else(|| {
        Error::usage(format!("{name} was not loaded for these settings"), "this is a bug; please report it")
    })
}
