//! The frozen networks of one device.

use crate::card;
use crate::media::frame::Frame;
use crate::recipe::Recipe;
use crate::run::faults::{AtOnce, is_out_of_memory};
use crate::run::queue::{Request, Requests, joined, settle};
use crate::run::stages::Stage;
use crate::streams::config::Network;
use crate::streams::motion::encoder::{MotionEncoder, Window};
use crate::streams::mouthing::faces::decoder::Outputs;
use crate::streams::mouthing::faces::retina_face::RetinaFace;
use crate::streams::mouthing::landmarks::fan::{FaceCrop, Fan, Landmarks};
use crate::streams::mouthing::lips::encoder::LipEncoder;
use crate::streams::spatial::encoder::{Prepared, SpatialEncoder};
use crate::weights::sources::Sources;
use signclip_common::panics::guarded;
use signclip_common::{Error, Result, memory};
use std::collections::VecDeque;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// The networks that a recipe needs, on one device; the rest is absent.
#[derive(Default)]
pub struct Networks {
    pub spatial: Option<SpatialEncoder>,
    pub motion: Option<MotionEncoder>,
    pub detector: Option<RetinaFace>,
    pub fan: Option<Fan>,
    pub lips: Option<LipEncoder>,
    /// Where they are; absent: on the CPU.
    pub device: Option<Device>,
}

impl Networks {
    /// Loads the networks onto a device. Faces have a compute type of their own, as their places are pixels.
    fn load(recipe: &Recipe, sources: &Sources, device: Device) -> Result<Self> {
        let mut networks = Self { device: Some(device), ..Self::default() };
        if let Some((config, kind)) = recipe.spatial() {
            let weights = sources.on(Network::Clip, device, kind)?;
            networks.spatial = Some(SpatialEncoder::load(&weights, config, device)?);
        }
        if let Some((config, kind)) = recipe.motion() {
            let weights = sources.on(Network::VideoMae, device, kind)?;
            networks.motion = Some(MotionEncoder::load(&weights, config, device)?);
        }
        let Some((config, kind)) = recipe.mouthing() else { return Ok(networks) };
        let faces = config.face_dtype.kind();
        if let Some(config) = &config.detector {
            let weights = sources.on(Network::RetinaFace, device, faces)?;
            networks.detector = Some(weights.build(&[], |root| RetinaFace::new(root, config))?);
        }
        if let Some(config) = &config.fan {
            let weights = sources.on(Network::Fan, device, faces)?;
            networks.fan = Some(weights.build(&[], |root| Fan::new(root, config))?);
        }
        let lips = LipEncoder::load(&sources.on(Network::AvHubert, device, kind)?, &config.lips)?;
        networks.lips = Some(lips.at_layer(config.layer)?);
        Ok(networks)
    }

    /// The networks of every entry of `devices`; entries of the same device share them.
    pub fn load_all(recipe: &Recipe, sources: &Sources, devices: &[Device]) -> Result<Vec<Arc<Self>>> {
        card::prepare(devices);
        let mut all: Vec<Arc<Self>> = Vec::with_capacity(devices.len());
        for (i, &device) in devices.iter().enumerate() {
            let networks = match devices[..i].iter().position(|&other| other == device) {
                Some(same) => all[same].clone(),
                None => Arc::new(Self::load(recipe, sources, device)?),
            };
            all.push(networks);
        }
        memory::keep();
        Ok(all)
    }
}

/// How much a device takes at once, by kind of work.
#[derive(Default)]
struct Limits {
    spatial: AtOnce,
    motion: AtOnce,
    faces: AtOnce,
    landmarks: AtOnce,
}

impl Networks {
    /// Works on requests until there is no sender left. Errors: the device is broken; what it had taken has been handed
    /// back.
    pub fn serve(&self, requests: &Requests) -> Result<()> {
        let mut limits = Limits::default();
        let mut aside = VecDeque::new();
        let works = || guarded(|| works(self.device())).unwrap_or(false);
        loop {
            let mut alone = requests.next(&mut aside, |stage| self.together(stage));
            let Some(stage) = alone.first().map(Request::stage) else { return Ok(()) };
            if alone.len() > 1 {
                alone = requests.time(stage, || self.reply_to_all(alone, &mut limits));
            }
            let mut alone = alone.into_iter();
            while let Some(request) = alone.next() {
                if let Err(broken) = requests.time(stage, || self.reply(request, &mut limits, &works)) {
                    alone.chain(aside).for_each(Request::hand_back);
                    return Err(broken);
                }
            }
        }
    }

    pub fn device(&self) -> Device {
        self.device.unwrap_or(Device::Cpu)
    }

    /// How many pieces of several requests pass together; on the CPU every request passes alone, so that a clip's
    /// features do not depend on others.
    fn together(&self, stage: Stage) -> usize {
        match stage {
            _ if !self.device().is_cuda() => 0,
            Stage::Spatial => card::FRAMES,
            Stage::Motion => card::WINDOWS,
            Stage::Faces => card::PICTURES,
            // A clip's frames attend to each other.
            Stage::Decode | Stage::Crop | Stage::Lips | Stage::Write => 0,
        }
    }

    /// Replies to requests of one kind in one pass; those are left that have to be done alone.
    fn reply_to_all(&self, requests: Vec<Request>, limits: &mut Limits) -> Vec<Request> {
        let (mut spatial, mut motion, mut faces, mut landmarks) = (vec![], vec![], vec![], vec![]);
        let mut left = Vec::new();
        for request in requests {
            match request {
                Request::Spatial(frames, reply) => spatial.push((frames, reply)),
                Request::Motion(windows, reply) => motion.push((windows, reply)),
                Request::Faces(frames, reply) => faces.push((frames, reply)),
                Request::Landmarks(crops, reply) => landmarks.push((crops, reply)),
                request @ Request::Mouthing(..) => left.push(request),
            }
        }
        let again = joined(spatial, |frames| self.spatial(frames, limits));
        left.extend(again.into_iter().map(|(frames, reply)| Request::Spatial(frames, reply)));
        let again = joined(motion, |windows| self.motion(windows, limits));
        left.extend(again.into_iter().map(|(windows, reply)| Request::Motion(windows, reply)));
        let again = joined(faces, |frames| self.faces(frames, limits));
        left.extend(again.into_iter().map(|(frames, reply)| Request::Faces(frames, reply)));
        let again = joined(landmarks, |crops| self.landmarks(crops, limits));
        left.extend(again.into_iter().map(|(crops, reply)| Request::Landmarks(crops, reply)));
        left
    }

    fn reply(&self, request: Request, limits: &mut Limits, works: &dyn Fn() -> bool) -> Result<()> {
        match request {
            Request::Spatial(frames, reply) => {
                let rows = self.spatial(&frames, limits);
                settle(rows, reply, works, |reply| Request::Spatial(frames, reply))
            }
            Request::Motion(windows, reply) => {
                let rows = self.motion(&windows, limits);
                settle(rows, reply, works, |reply| Request::Motion(windows, reply))
            }
            Request::Faces(frames, reply) => {
                let outputs = self.faces(&frames, limits);
                settle(outputs, reply, works, |reply| Request::Faces(frames, reply))
            }
            Request::Landmarks(faces, reply) => {
                let points = self.landmarks(&faces, limits);
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

    fn spatial(&self, frames: &[Prepared], limits: &mut Limits) -> Result<Vec<f32>> {
        limits.spatial.run("CLIP", frames, |frames| present(&self.spatial, "CLIP")?.encode(frames))
    }

    fn motion(&self, windows: &[Window], limits: &mut Limits) -> Result<Vec<f32>> {
        limits.motion.run("VideoMAE", windows, |windows| present(&self.motion, "VideoMAE")?.encode(windows))
    }

    fn faces(&self, frames: &[Arc<Frame>], limits: &mut Limits) -> Result<Vec<Outputs>> {
        limits.faces.run("RetinaFace", frames, |frames| {
            let frames: Vec<&Frame> = frames.iter().map(AsRef::as_ref).collect();
            present(&self.detector, "RetinaFace")?.outputs(&frames)
        })
    }

    fn landmarks(&self, faces: &[FaceCrop], limits: &mut Limits) -> Result<Vec<Landmarks>> {
        limits.landmarks.run("FAN", faces, |faces| present(&self.fan, "FAN")?.landmarks(faces))
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
