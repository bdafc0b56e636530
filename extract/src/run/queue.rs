//! The queue of requests between clips and devices.
//!
//! A tensor belongs to one thread, so everything that touches one happens in the device's thread; what goes in and comes
//! out are pictures and plain numbers.

use crate::media::frame::Frame;
use crate::run::stages::{Stage, Stages};
use crate::streams::motion::encoder::Window;
use crate::streams::mouthing::faces::decoder::Outputs;
use crate::streams::mouthing::landmarks::fan::{FaceCrop, Landmarks};
use crate::streams::spatial::encoder::Prepared;
use crossbeam_channel::{Receiver, Sender, bounded};
use signclip_common::{Error, Result};
use std::collections::VecDeque;
use std::sync::Arc;

/// One piece of work for a device.
pub(super) enum Request {
    Spatial(Vec<Prepared>, Reply<Vec<f32>>),
    Motion(Vec<Window>, Reply<Vec<f32>>),
    Faces(Vec<Arc<Frame>>, Reply<Vec<Outputs>>),
    Landmarks(Vec<FaceCrop>, Reply<Vec<Landmarks>>),
    Mouthing(Vec<u8>, Reply<Vec<f32>>),
}

impl Request {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Spatial(..) => Stage::Spatial,
            Self::Motion(..) => Stage::Motion,
            Self::Faces(..) | Self::Landmarks(..) => Stage::Faces,
            Self::Mouthing(..) => Stage::Lips,
        }
    }

    /// Frames, windows, pictures or faces; of a whole clip one.
    fn pieces(&self) -> usize {
        match self {
            Self::Spatial(frames, _) => frames.len(),
            Self::Motion(windows, _) => windows.len(),
            Self::Faces(frames, _) => frames.len(),
            Self::Landmarks(faces, _) => faces.len(),
            Self::Mouthing(..) => 1,
        }
    }

    /// Hands it back: another device may do it.
    pub(super) fn hand_back(self) {
        fn to<T>(reply: Reply<T>, request: impl FnOnce(Reply<T>) -> Request) {
            drop(reply.clone().send(Reached::Again(request(reply))));
        }
        match self {
            Self::Spatial(frames, reply) => to(reply, |reply| Self::Spatial(frames, reply)),
            Self::Motion(windows, reply) => to(reply, |reply| Self::Motion(windows, reply)),
            Self::Faces(frames, reply) => to(reply, |reply| Self::Faces(frames, reply)),
            Self::Landmarks(faces, reply) => to(reply, |reply| Self::Landmarks(faces, reply)),
            Self::Mouthing(levels, reply) => to(reply, |reply| Self::Mouthing(levels, reply)),
        }
    }
}

pub(super) type Reply<T> = Sender<Reached<T>>;

/// How far a request got.
pub(super) enum Reached<T> {
    Done(Result<T>),
    /// The device broke over it; another one may do it.
    Again(Request),
}

/// Takes the requests of all clips; a worker of each device takes the next one.
#[derive(Clone)]
pub struct Queue {
    requests: Sender<Request>,
    /// Where the senders note how they spend their time.
    pub stages: Arc<Stages>,
}

/// The end of the queue that workers take from.
#[derive(Clone)]
pub struct Requests {
    requests: Receiver<Request>,
    stages: Arc<Stages>,
}

/// A reply to come.
pub struct Pending<T>(Receiver<Reached<T>>, Queue);

/// A queue in which `waiting` requests may wait, none of them larger than a window of one clip.
pub fn queue(waiting: usize, stages: &Arc<Stages>) -> (Queue, Requests) {
    let (requests, served) = bounded(waiting);
    (Queue { requests, stages: stages.clone() }, Requests { requests: served, stages: stages.clone() })
}

impl Queue {
    /// Z_s of frames, row-major `[n, dim]`.
    pub fn spatial(&self, frames: Vec<Prepared>) -> Pending<Vec<f32>> {
        self.ask(|reply| Request::Spatial(frames, reply))
    }

    /// Z_v of windows of frames, row-major `[n, dim]`.
    pub fn motion(&self, windows: Vec<Window>) -> Pending<Vec<f32>> {
        self.ask(|reply| Request::Motion(windows, reply))
    }

    /// What the detector says about each picture.
    pub fn faces(&self, frames: Vec<Arc<Frame>>) -> Pending<Vec<Outputs>> {
        self.ask(|reply| Request::Faces(frames, reply))
    }

    /// 68 points of each face.
    pub fn landmarks(&self, faces: Vec<FaceCrop>) -> Pending<Vec<Landmarks>> {
        self.ask(|reply| Request::Landmarks(faces, reply))
    }

    /// Z_m of a whole clip of gray mouth crops `[t, 88, 88]`, row-major `[t, dim]`.
    pub fn mouthing(&self, levels: Vec<u8>) -> Pending<Vec<f32>> {
        self.ask(|reply| Request::Mouthing(levels, reply))
    }

    fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Pending<T> {
        let (reply, pending) = bounded(1);
        // Without a worker the request is dropped, and waiting for the reply says so.
        let _ = self.requests.send(request(reply));
        Pending(pending, self.clone())
    }
}

impl Requests {
    /// The next request, with others of its kind that wait already, together of at most `most` pieces. What has been taken and
    /// is of another kind stays in `aside` for the next turns. Nothing where there is no sender left.
    pub(super) fn next(&self, aside: &mut VecDeque<Request>, most: impl Fn(Stage) -> usize) -> Vec<Request> {
        let Some(first) = aside.pop_front().or_else(|| self.requests.recv().ok()) else { return Vec::new() };
        self.stages.take(self.requests.len());
        let (kind, most) = (std::mem::discriminant(&first), most(first.stage()));
        let mut pieces = first.pieces();
        let mut taken = vec![first];
        let mut offered: VecDeque<Request> = std::mem::take(aside);
        while pieces < most {
            let Some(request) = offered.pop_front().or_else(|| self.requests.try_recv().ok()) else { break };
            if std::mem::discriminant(&request) == kind && pieces + request.pieces() <= most {
                pieces += request.pieces();
                taken.push(request);
            } else {
                aside.push_back(request);
            }
        }
        aside.append(&mut offered);
        taken
    }

    /// Times the work on a request.
    pub(super) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.stages.time(stage, work)
    }

    /// Refuses every request until there is no sender left; otherwise their senders would block forever.
    pub fn refuse(&self) {
        self.requests.iter().for_each(drop);
    }
}

impl<T> Pending<T> {
    /// Wait for it. Errors: what the network reports; no device left that works.
    pub fn wait(self) -> Result<T> {
        loop {
            match self.0.recv() {
                Ok(Reached::Done(result)) => return result,
                // Dropped where there is no worker left, which the next turn notices.
                Ok(Reached::Again(request)) => drop(self.1.requests.send(request)),
                Err(_) => {
                    let what = "no device works any more";
                    return Err(Error::usage(what, "see the log for why, and run again"));
                }
            }
        }
    }
}

/// Rows of one stream of a clip, on their way through the devices.
#[derive(Default)]
pub struct Underway {
    waiting: VecDeque<Pending<Vec<f32>>>,
    rows: Vec<f32>,
}

impl Underway {
    /// The rows that follow.
    pub fn push(&mut self, rows: Pending<Vec<f32>>) {
        self.waiting.push_back(rows);
    }

    /// Take replies until no more than `ahead` are open.
    pub fn collect(&mut self, ahead: usize) -> Result<()> {
        while self.waiting.len() > ahead
            && let Some(reply) = self.waiting.pop_front()
        {
            self.rows.extend(reply.wait()?);
        }
        Ok(())
    }

    /// All rows, in the order in which they were asked for.
    pub fn finish(mut self) -> Result<Vec<f32>> {
        self.collect(0)?;
        Ok(self.rows)
    }
}

/// Does requests of one kind in one pass: their pieces one behind the other, the results shared out. Gives the requests back where
/// that fails, as one of them alone may be to blame.
pub(super) fn joined<I, O>(
    requests: Vec<(Vec<I>, Reply<Vec<O>>)>,
    run: impl FnOnce(&[I]) -> Result<Vec<O>>,
) -> Vec<(Vec<I>, Reply<Vec<O>>)> {
    let (parts, replies): (Vec<Vec<I>>, Vec<_>) = requests.into_iter().unzip();
    let counts: Vec<usize> = parts.iter().map(Vec::len).collect();
    let mut pieces: Vec<I> = parts.into_iter().flatten().collect();
    match run(&pieces) {
        Ok(mut results) => {
            let each = results.len() / pieces.len().max(1);
            for (count, reply) in counts.into_iter().zip(replies) {
                let rest = results.split_off(count * each);
                // A reply that nobody waits for belongs to a clip that was given up.
                drop(reply.send(Reached::Done(Ok(std::mem::replace(&mut results, rest)))));
            }
            Vec::new()
        }
        Err(_) => {
            let part = |(count, reply)| {
                let rest = pieces.split_off(count);
                (std::mem::replace(&mut pieces, rest), reply)
            };
            counts.into_iter().zip(replies).map(part).collect()
        }
    }
}

/// Replies to a request, or hands it back where the device has broken over it.
pub(super) fn settle<T>(
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
        // A reply that nobody waits for belongs to a clip that was given up.
        result => {
            drop(reply.send(Reached::Done(result)));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::mouthing::landmarks::crop::CropBox;

    fn queue(waiting: usize) -> (Queue, Requests) {
        super::queue(waiting, &Arc::new(Stages::new(1, 1)))
    }

    /// A queue with one asker's requests served by two devices, the first of which breaks.
    #[test]
    fn what_a_broken_device_was_doing_is_done_by_another() {
        let (queue, requests) = queue(4);
        let first = queue.mouthing(vec![1]);
        let second = queue.mouthing(vec![2]);
        let refusal = || Err(Error::Torch("CUDA error: an illegal memory access was enrequestsed".into()));
        let Ok(Request::Mouthing(levels, reply)) = requests.requests.recv() else { panic!("a request") };
        let lost = settle::<Vec<f32>>(refusal(), reply, &|| false, |reply| Request::Mouthing(levels, reply));
        assert!(lost.unwrap_err().to_string().contains("illegal memory access"));
        std::thread::scope(|scope| {
            let requests = requests;
            scope.spawn(move || {
                for request in &requests.requests {
                    let Request::Mouthing(levels, reply) = request else { panic!("mouthing") };
                    let rows = Ok(vec![f32::from(levels[0])]);
                    settle(rows, reply, &|| true, |reply| Request::Mouthing(levels, reply)).unwrap();
                }
            });
            assert_eq!(first.wait().unwrap(), [1.0]);
            assert_eq!(second.wait().unwrap(), [2.0]);
            // A device that still adds has not broken: the clip has failed.
            drop(queue);
        });
    }

    /// Two kinds of requests of several clips, on a device that takes up to four pieces of each together.
    #[test]
    fn requests_of_one_kind_pass_together() {
        let (queue, requests) = queue(9);
        let crop = || FaceCrop {
            picture: Frame::filled(1, 1, [0; 3]),
            bounds: CropBox { left: 0, top: 0, right: 1, bottom: 1 },
        };
        for _ in 0..3 {
            drop((
                queue.motion(vec![vec![]; 2]),
                queue.motion(vec![]),
                queue.landmarks(vec![crop(), crop()]),
            ));
        }
        let mut aside = VecDeque::new();
        let mut turn = |most: usize| {
            let taken = requests.next(&mut aside, |_| most);
            taken.iter().map(|request| (request.stage(), request.pieces())).collect::<Vec<_>>()
        };
        use Stage::{Faces, Motion};
        assert_eq!(turn(4), [(Motion, 2), (Motion, 0), (Motion, 2)]);
        assert_eq!(turn(0), [(Faces, 2)], "the CPU takes one");
        assert_eq!(turn(4), [(Motion, 0), (Motion, 2), (Motion, 0)]);
        assert_eq!(turn(100), [(Faces, 2), (Faces, 2)]);
        drop(queue);
        assert!(requests.next(&mut aside, |_| 4).is_empty());
    }

    #[test]
    fn results_are_shared_out_and_failures_come_back_apart() {
        let parts = || {
            let (replies, pending): (Vec<_>, Vec<_>) = (0..3).map(|_| bounded(1)).unzip();
            let parts = [vec![1.0], vec![], vec![2.0, 3.0]];
            (parts.into_iter().zip(replies).collect::<Vec<(Vec<f32>, Reply<Vec<f32>>)>>(), pending)
        };
        let (requests, pending) = parts();
        let twice = |pieces: &[f32]| Ok(pieces.iter().flat_map(|&x| [x, -x]).collect());
        assert!(joined(requests, twice).is_empty());
        for (pending, want) in pending.iter().zip([vec![1.0, -1.0], vec![], vec![2.0, -2.0, 3.0, -3.0]]) {
            let Ok(Reached::Done(Ok(got))) = pending.recv() else { panic!("a result") };
            assert_eq!(got, want);
        }
        let (requests, _pending) = parts();
        let apart = joined(requests, |_: &[f32]| Err::<Vec<f32>, _>(Error::Torch("no".into())));
        assert!(apart.iter().map(|(part, _)| part.clone()).eq([vec![1.0], vec![], vec![2.0, 3.0]]));
    }

    #[test]
    fn a_refusal_of_a_working_device_is_the_clips() {
        let (queue, requests) = queue(1);
        let answer = queue.mouthing(vec![1]);
        std::thread::scope(|scope| {
            scope.spawn(|| crate::run::networks::Networks::default().serve(&requests).unwrap());
            assert!(answer.wait().unwrap_err().to_string().contains("AV-HuBERT"));
            drop(queue);
        });
    }

    #[test]
    fn without_any_device_an_answer_is_an_error() {
        let (queue, requests) = queue(2);
        let (taken, waiting) = (queue.mouthing(vec![1]), queue.mouthing(vec![2]));
        let Ok(Request::Mouthing(levels, reply)) = requests.requests.recv() else { panic!("a request") };
        let broken = Err(Error::Torch("gone".into()));
        settle::<Vec<f32>>(broken, reply, &|| false, |reply| Request::Mouthing(levels, reply)).unwrap_err();
        std::thread::scope(|scope| {
            scope.spawn(|| requests.refuse());
            for answer in [taken, waiting, queue.mouthing(vec![3])] {
                assert!(answer.wait().unwrap_err().to_string().contains("no device works"));
            }
            drop(queue);
        });
    }
}
