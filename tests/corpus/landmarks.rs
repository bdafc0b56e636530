//! `landmarks/<split>/<clip>.npy`: float32 `[frames, 68, 2]`, x and y in pixels of the frame, iBUG order.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use npyz::WriterBuilder;

use crate::canvas::Camera;
use crate::face::{Face, POINTS};

#[derive(Default)]
pub(crate) struct Landmarks(Vec<f32>);

impl Landmarks {
    pub(crate) fn push(&mut self, face: &Face, camera: &Camera) {
        for &point in &face.points {
            let place = camera.frame_place(point);
            self.0.extend([place.x, place.y]);
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let frames = (self.0.len() / (2 * POINTS)) as u64;
        let write = || -> std::io::Result<()> {
            let file = BufWriter::new(File::create(path)?);
            let options = npyz::WriteOptions::new().default_dtype().shape(&[frames, POINTS as u64, 2]);
            let mut writer = options.writer(file).begin_nd()?;
            writer.extend(&self.0)?;
            writer.finish()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}
