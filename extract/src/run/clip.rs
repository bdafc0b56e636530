//! One clip, from its pictures to the rows of both streams, in one decoding pass.

use crate::streams::mouthing::face_points::{Detected, FacePoints, LandmarkFile, LandmarkSource, Numbered, Rows};
use crate::media::frame::Frame;
use crate::streams::mouthing::gaps;
use crate::media::frame_reader::{self, FrameReader, Reading, Timing};
use crate::streams::mouthing::crop::Layout;
use crate::streams::mouthing::mouths::{MouthReader, Mouths, is_longer};
use crate::run::networks::{Answer, Desk};
use crate::run::plan::TARGET_FPS;
use crate::streams::mouthing::sheet::Sheet;
use crate::recipe::{MouthingConfig, Settings};
use crate::streams::spatial::{Prepared, SpatialConfig};
use crate::run::stages::Stage;
use signclip_common::manifest::Clip;
use signclip_common::panics::guarded;
use signclip_common::progress::Progress;
use signclip_common::store::{Failure, MOUTHING, SPATIAL};
use signclip_common::{Error, Result};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Frames that are decoded and encoded together. Counted from the clip's beginning, so that features do not depend on
/// what ran before.
const WINDOW: usize = 16;
/// Windows of one clip that may be on their way through the spatial encoder.
const WINDOWS_AHEAD: usize = 2;

/// A clip ready for the store.
pub struct Encoded {
    /// Rows by stream, row-major float32.
    pub rows: Vec<(&'static str, Vec<f32>)>,
    pub timing: Timing,
    /// What was found of the signer's mouth; absent where none was looked for.
    pub found: Option<Found>,
    /// SHA-256 of the file of landmarks, where they came from one.
    pub landmarks: Option<String>,
    /// The contact sheet as a PNG file, where one is wanted.
    pub sheet: Option<Vec<u8>>,
}

/// What was found of the signer's mouth in a clip.
pub struct Found {
    /// Share of frames with a mouth.
    pub coverage: f64,
    /// First and last frame of each gap.
    pub gaps: Vec<[usize; 2]>,
    /// Frames with a face whose mouth lies outside of the picture.
    pub outside: usize,
}

/// What encoding a clip needs besides the clip.
pub struct Clips<'a> {
    pub settings: &'a Settings,
    pub desk: &'a Desk,
    pub reading: Reading,
    /// Names of the split, the data set's own included.
    pub splits: &'a [&'a str],
    pub preview: bool,
    /// The most frames that a device takes at once for the gesture stream; a window goes to the desk in such parts, so
    /// that the devices share even the last one.
    pub at_once: usize,
    pub progress: &'a Progress,
    /// Set when the run ends early.
    pub stop: &'a AtomicBool,
}

/// Why a clip has no rows: the stage for the list of failures, and the reason.
type Staged<T> = std::result::Result<T, (&'static str, Error)>;

impl Clips<'_> {
    /// Encode one clip. `None` where the run was stopped meanwhile.
    pub fn encode(&self, clip: &Clip) -> Result<Option<Encoded>, Failure> {
        let mouthing = self.settings.mouthing.as_ref();
        let result = match mouthing.map(|config| (config, config.landmarks)) {
            None => self.read::<0>(clip, None),
            Some((config, LandmarkSource::Retinaface5)) => {
                self.with_mouths(clip, config, Layout::detector5())
            }
            Some((config, LandmarkSource::Fan | LandmarkSource::Files)) => {
                self.with_mouths(clip, config, Layout::ibug68())
            }
        };
        result.map_err(|(stage, error)| Failure {
            id: clip.id.clone(),
            stage: stage.to_owned(),
            reason: error.to_string(),
        })
    }

    fn with_mouths<const N: usize>(
        &self,
        clip: &Clip,
        config: &MouthingConfig,
        layout: Layout<N>,
    ) -> Staged<Option<Encoded>> {
        self.with_points(clip, config, layout, None)
    }

    /// `rows`: what a file of landmarks has rows for, where that is known.
    fn with_points<const N: usize>(
        &self,
        clip: &Clip,
        config: &MouthingConfig,
        layout: Layout<N>,
        rows: Option<Rows>,
    ) -> Staged<Option<Encoded>> {
        let points = match &self.settings.landmarks {
            None => FacePoints::Detected(Box::new(Detected::new(
                self.desk.clone(),
                config.fan.clone(),
                config.detect_every.unwrap_or(1),
            ))),
            Some(folder) => {
                let probe = guarded(|| media::probe(&clip.media, self.reading)).map_err(|e| ("open", e))?;
                let file = LandmarkFile::open(folder, self.splits, &clip.id, &probe);
                let mut file = file.map_err(|e| ("face", e))?;
                if let Some(rows) = rows {
                    file.set_meaning(rows);
                }
                FacePoints::File(file)
            }
        };
        let (landmarks, watch) = match &points {
            FacePoints::File(file) => (Some(file.sha256.clone()), Some(file.watch())),
            FacePoints::Detected(_) => (None, None),
        };
        let sheet = self.preview.then(Sheet::default);
        let reopen = || FrameReader::open(&clip.media, self.reading, TARGET_FPS);
        let mouths =
            MouthReader::new(layout.clone(), points, config.max_gap, sheet, reopen, &self.desk.stages);
        let encoded = self.read(clip, Some(mouths));
        // Headers may not know how many frames there are, and now it is known.
        if rows.is_none()
            && let Some(rows) = watch.and_then(|watch| watch())
        {
            return self.with_points(clip, config, layout, Some(rows));
        }
        let encoded = encoded?;
        Ok(encoded.map(|encoded| Encoded { landmarks, ..encoded }))
    }

    fn read<const N: usize>(
        &self,
        clip: &Clip,
        mut mouths: Option<MouthReader<'_, N>>,
    ) -> Staged<Option<Encoded>> {
        let stages = &self.desk.stages;
        let open = || guarded(|| FrameReader::open(&clip.media, self.reading, TARGET_FPS));
        let mut stream = stages.time(Stage::Decode, open).map_err(|e| ("open", e))?;
        let mut gesture =
            self.settings.spatial.as_ref().map(|config| Gesture::new(self.desk, config, self.at_once));
        let mut number = 0;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let decode = || guarded(|| stream.next_window(WINDOW));
            let shown = stages.time(Stage::Decode, decode).map_err(|e| ("decode", e))?;
            if shown.is_empty() {
                break;
            }
            let frames: Vec<Numbered> = shown
                .into_iter()
                .zip(number..)
                .map(|(shown, number)| Numbered {
                    frame: Arc::new(shown.frame),
                    number,
                    source: shown.source,
                })
                .collect();
            let count = frames.len();
            number += count;
            if let Some(gesture) = &mut gesture {
                gesture.push(frames.iter().map(|f| f.frame.as_ref())).map_err(|e| ("encode", e))?;
            }
            if let Some(mouths) = &mut mouths {
                guarded(|| mouths.push(frames)).map_err(|e| ("face", e))?;
            }
            self.progress.advance(count as u64, || stages.shares().to_string());
        }
        let timing = stream.timing();
        let mut rows = Vec::new();
        // The lip encoder's turn comes after this clip's last frames in the spatial encoder, whichever asks first.
        let mouths = match mouths {
            Some(mouths) => {
                let mouths = guarded(|| mouths.finish(timing.source_frames, timing.frames));
                Some(self.mouthing(mouths.map_err(|e| ("face", e))?, timing.frames)?)
            }
            None => None,
        };
        if let Some(gesture) = gesture {
            rows.push((SPATIAL, gesture.finish().map_err(|e| ("encode", e))?));
        }
        let (mut found, mut sheet) = (None, None);
        if let Some((mouthing, mouth, drawn)) = mouths {
            rows.push((MOUTHING, mouthing));
            let (gaps, times) = long_gaps(&mouth.gaps);
            let (coverage, at) = (100.0 * mouth.coverage, gaps::text(&times, 3));
            let missed = if times.is_empty() { String::new() } else { format!("; no face at {at}") };
            let title = format!("{}: {} frames, face in {coverage:.1} %{missed}", clip.id, timing.frames);
            let png = drawn.map(|drawn| drawn.png(&title, &gaps)).transpose();
            sheet = png.map_err(|e| ("preview", e))?;
            found = Some(mouth);
        }
        Ok(Some(Encoded { rows, timing, found, landmarks: None, sheet }))
    }

    /// Z_m, zeros where no frame had a mouth and in gaps that are too long; with what was found, and the contact sheet.
    fn mouthing(&self, mouths: Mouths, frames: usize) -> Staged<(Vec<f32>, Found, Option<Sheet>)> {
        let Mouths { levels, coverage, gaps, outside, sheet } = mouths;
        let config = self.settings.mouthing.as_ref();
        let dim = config.map_or(0, |config| config.lips.encoder_embed_dim as usize);
        let rows = match levels {
            Some(levels) => {
                let mut rows = self.desk.mouthing(levels).wait().map_err(|e| ("encode", e))?;
                let max_gap = config.and_then(|config| config.max_gap);
                for [first, last] in gaps.iter().copied().filter(|gap| is_longer(*gap, max_gap)) {
                    rows[first * dim..(last + 1) * dim].fill(0.0);
                }
                rows
            }
            None if self.settings.require_face => {
                let what = match outside {
                    0 => "no face in any frame",
                    _ => {
                        "no mouth in any frame: where there is a face, its mouth lies outside of the picture"
                    }
                };
                let remedy =
                    "look at --preview DIR; without --require-face it gets a mouthing stream of zeros";
                return Err(("face", Error::usage(what, remedy)));
            }
            None => vec![0.0; frames * dim],
        };
        Ok((rows, Found { coverage, gaps, outside }, sheet))
    }
}

/// The gaps that are to be named, with their times.
pub fn long_gaps(gaps: &[[usize; 2]]) -> (Vec<[usize; 2]>, Vec<[f64; 2]>) {
    let long = gaps.iter().copied().filter(|gap| gaps::seconds(*gap) > gaps::NAMED);
    long.map(|gap| (gap, gaps::times(gap))).unzip()
}

/// Z_s of a clip on its way through the encoder.
struct Gesture<'a> {
    desk: &'a Desk,
    config: &'a SpatialConfig,
    at_once: usize,
    waiting: VecDeque<Answer<Vec<f32>>>,
    rows: Vec<f32>,
}

impl<'a> Gesture<'a> {
    fn new(desk: &'a Desk, config: &'a SpatialConfig, at_once: usize) -> Self {
        Self { desk, config, at_once, waiting: VecDeque::new(), rows: Vec::new() }
    }

    fn push<'f>(&mut self, frames: impl Iterator<Item = &'f Frame>) -> Result<()> {
        let prepare = || guarded(|| frames.map(|frame| self.config.prepare(frame)).collect());
        let mut prepared: Vec<Prepared> = self.desk.stages.time(Stage::Crop, prepare)?;
        while !prepared.is_empty() {
            let rest = prepared.split_off(self.at_once.min(prepared.len()));
            self.waiting.push_back(self.desk.gesture(prepared));
            prepared = rest;
        }
        self.collect(WINDOWS_AHEAD * WINDOW.div_ceil(self.at_once))
    }

    /// Take answers until no more than `ahead` are open.
    fn collect(&mut self, ahead: usize) -> Result<()> {
        while self.waiting.len() > ahead
            && let Some(answer) = self.waiting.pop_front()
        {
            self.rows.extend(answer.wait()?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<f32>> {
        self.collect(0)?;
        Ok(self.rows)
    }
}
