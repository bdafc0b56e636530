//! Landmarks made elsewhere, from a file for each clip.

use crate::media::reading::{Probe, TARGET_FPS};
use crate::streams::clip_stream::{Numbered, Stop};
use crate::streams::mouthing::crop::landmarks::{POINTS, Points, read_landmarks};
use crate::streams::mouthing::landmark_rows::LandmarkRows;
use signclip_common::{Error, Result, checksum};
use std::path::{Path, PathBuf};

/// Landmarks made elsewhere: one row for each frame of the source, or for each frame at 25 a second.
pub struct LandmarkFile {
    path: PathBuf,
    rows: Vec<Option<Points<POINTS>>>,
    meaning: LandmarkRows,
    /// Of the whole file.
    pub sha256: String,
    /// Frames with a face, and those in which hardly a point is inside of the picture.
    faces: usize,
    outside: usize,
}

impl LandmarkFile {
    /// Find and read the file of the clip `id`: `DIR/ID.npy` or `DIR/ID.pkl`, else in `DIR/SPLIT/` by one of the split's
    /// names.
    ///
    /// Where the clip has another rate than 25, the number of rows tells which frames are meant: here by what the headers
    /// say, which is a guess ([`Self::check`] knows).
    pub fn open(folder: &Path, splits: &[&str], id: &str, probe: &Probe) -> Result<Self> {
        let folders = [folder.to_path_buf()].into_iter().chain(splits.iter().map(|split| folder.join(split)));
        let names = ["npy", "pkl"].map(|ending| format!("{id}.{ending}"));
        let places: Vec<PathBuf> =
            folders.flat_map(|folder| names.each_ref().map(|name| folder.join(name))).collect();
        let mut found = places.iter().filter(|path| path.exists());
        let path = found.next();
        if let (Some(path), Some(other)) =
            (path, found.find(|other| path.is_some_and(|p| p.parent() == other.parent())))
        {
            let what = format!("there is {} as well: which has the landmarks?", other.display());
            return Err(Error::input(path, "", what, "take one of the two away"));
        }
        let Some(path) = path else {
            let looked: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            return Err(Error::usage(
                format!("no landmarks of clip {id:?}; looked for {}", looked.join(", ")),
                "give the folder that has them, as DIR/CLIP.npy with [frames, 68, 2] in pixels: --landmarks DIR",
            ));
        };
        let rows = read_landmarks(path)?;
        let seconds = probe.seconds();
        let off = |fps: f64| seconds.map_or(f64::INFINITY, |s| (s * fps - rows.len() as f64).abs());
        let nearer = probe.fps.is_none_or(|fps| off(fps) <= off(TARGET_FPS) + 0.5);
        let meaning = if nearer { LandmarkRows::Source } else { LandmarkRows::At25 };
        let sha256 = checksum::of_file(path)?;
        Ok(Self { path: path.clone(), rows, meaning, sha256, faces: 0, outside: 0 })
    }

    /// Take the rows for these.
    pub fn set_meaning(&mut self, meaning: LandmarkRows) {
        self.meaning = meaning;
    }

    /// The points in one frame; nothing where there is no face.
    pub fn points(&mut self, frame: &Numbered) -> Option<Points<POINTS>> {
        let row = if self.meaning == LandmarkRows::Source { frame.source } else { frame.number };
        let points = self.rows.get(row).copied().flatten();
        if let Some(points) = &points {
            let (width, height) = (frame.frame.width as f32, frame.frame.height as f32);
            let inside = |p: &&[f32; 2]| (0.0..width).contains(&p[0]) && (0.0..height).contains(&p[1]);
            self.faces += 1;
            // The lower part of a face may well be outside; eyes and brows alone are a third of the points.
            self.outside += usize::from(4 * points.iter().filter(inside).count() < POINTS);
        }
        points
    }

    /// Whether there is a row for each frame, now that the clip has been read, and the rows were taken for what they are.
    pub fn check(&self, source_frames: usize, frames: usize) -> Result<(), Stop> {
        let fail = Stop::at("face");
        if let Some(meaning) = LandmarkRows::of(self.rows.len(), source_frames, frames) {
            if meaning != self.meaning {
                return Err(Stop::Reread(meaning));
            }
            if 2 * self.outside > self.faces {
                let what = format!(
                    "in {} of {} frames most points are outside of the picture",
                    self.outside, self.faces
                );
                let remedy = "landmarks are x, y in pixels of the video itself, not of a resized or cut one";
                return Err(fail(Error::input(&self.path, "", what, remedy)));
            }
            return Ok(());
        }
        Err(fail(Error::input(
            &self.path,
            "shape",
            format!(
                "landmarks of {} frames for a clip of {source_frames} in the video, {frames} at 25 frames per second",
                self.rows.len()
            ),
            "make them from the same video and range, one row for each of its frames",
        )))
    }
}
