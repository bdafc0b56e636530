//! One clip, from its pictures to the rows of all streams, in one decoding pass.

use crate::media::frame_reader::{self, FrameReader, Timing};
use crate::media::reading::{Reading, TARGET_FPS};
use crate::recipe::Recipe;
use crate::run::queue::Queue;
use crate::run::stages::Stage;
use crate::streams::clip_stream::{ClipStream, MouthFacts, Numbered, Stop, WINDOW};
use crate::streams::config::{StreamConfig, StreamName};
use crate::streams::motion::stream::MotionStream;
use crate::streams::mouthing::config::{LandmarkSource, MouthingConfig};
use crate::streams::mouthing::crop::align::Layout;
use crate::streams::mouthing::face_points::{Detected, FacePoints};
use crate::streams::mouthing::landmark_file::LandmarkFile;
use crate::streams::mouthing::landmark_rows::LandmarkRows;
use crate::streams::mouthing::sheet::Sheet;
use crate::streams::mouthing::stream::MouthingStream;
use crate::streams::spatial::stream::SpatialStream;
use signclip_common::Error;
use signclip_common::manifest::Clip;
use signclip_common::panics::guarded;
use signclip_common::progress::Progress;
use signclip_common::store::Failure;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A clip ready for the store.
pub struct Encoded {
    /// Rows by stream, row-major float32.
    pub rows: BTreeMap<StreamName, Vec<f32>>,
    pub timing: Timing,
    /// What was found of the signer's mouth; absent where none was looked for.
    pub mouths: Option<MouthFacts>,
}

/// What encoding a clip needs besides the clip.
pub struct Clips<'a> {
    pub recipe: &'a Recipe,
    /// Folder of landmark files.
    pub landmarks: Option<&'a Path>,
    /// A clip in which no face is found fails, instead of getting zeros.
    pub require_face: bool,
    pub queue: &'a Queue,
    pub reading: Reading,
    /// Names of the split, the data set's own included.
    pub splits: &'a [&'a str],
    pub preview: bool,
    /// The most frames that a device takes at once for the spatial stream, and the most windows for the motion stream.
    pub at_once: usize,
    pub windows_at_once: usize,
    pub progress: &'a Progress,
    /// Set when the run ends early.
    pub stop: &'a AtomicBool,
}

impl Clips<'_> {
    /// Encodes one clip. `None` where the run was stopped meanwhile.
    pub fn encode(&self, clip: &Clip) -> Result<Option<Encoded>, Failure> {
        let mut rows = None;
        loop {
            match self.read(clip, rows) {
                Ok(encoded) => return Ok(encoded),
                Err(Stop::Reread(meant)) => rows = Some(meant),
                Err(Stop::Failed(stage, error)) => {
                    let (id, stage) = (clip.id.clone(), stage.to_owned());
                    return Err(Failure { id, stage, reason: error.to_string() });
                }
            }
        }
    }

    /// `rows`: what the rows of its landmark file are of, where that is known.
    fn read(&self, clip: &Clip, rows: Option<LandmarkRows>) -> Result<Option<Encoded>, Stop> {
        let stages = &self.queue.stages;
        let mut streams = Vec::new();
        for (name, stream) in &self.recipe.streams {
            let stream: Box<dyn ClipStream> = match &stream.config {
                StreamConfig::Spatial(config) => {
                    Box::new(SpatialStream::new(self.queue, config, self.at_once))
                }
                StreamConfig::Motion(config) => {
                    Box::new(MotionStream::new(self.queue, config, self.windows_at_once))
                }
                StreamConfig::Mouthing(config) => match config.landmarks {
                    LandmarkSource::Retinaface5 => self.mouthing(clip, config, Layout::detector5(), rows)?,
                    LandmarkSource::Fan | LandmarkSource::Files => {
                        self.mouthing(clip, config, Layout::ibug68(), rows)?
                    }
                },
            };
            streams.push((*name, stream));
        }
        let open = || guarded(|| FrameReader::open(&clip.media, self.reading, TARGET_FPS));
        let mut reader = stages.time(Stage::Decode, open).map_err(Stop::at("open"))?;
        let mut number = 0;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let decode = || guarded(|| reader.next_window(WINDOW));
            let shown = stages.time(Stage::Decode, decode).map_err(Stop::at("decode"))?;
            if shown.is_empty() {
                break;
            }
            let numbered = shown.into_iter().zip(number..);
            let numbered = numbered.map(|(shown, number)| Numbered {
                frame: Arc::new(shown.frame),
                number,
                source: shown.source,
            });
            let frames: Vec<Numbered> = numbered.collect();
            number += frames.len();
            for (_, stream) in &mut streams {
                stream.window(&frames)?;
            }
            self.progress.advance(frames.len() as u64, || stages.shares().to_string());
        }
        let timing = reader.timing();
        let (mut rows, mut mouths) = (BTreeMap::new(), None);
        // The lip encoder first: its request waits behind this clip's last frames in the others.
        for (name, stream) in streams.into_iter().rev() {
            let finished = stream.finish(&timing)?;
            rows.insert(name, finished.rows);
            mouths = mouths.or(finished.mouths);
        }
        Ok(Some(Encoded { rows, timing, mouths }))
    }

    /// The mouthing stream of a clip whose faces have N points.
    fn mouthing<'a, const N: usize>(
        &'a self,
        clip: &'a Clip,
        config: &'a MouthingConfig,
        layout: Layout<N>,
        rows: Option<LandmarkRows>,
    ) -> Result<Box<dyn ClipStream + 'a>, Stop> {
        let points = match self.landmarks {
            None => {
                let missing = || {
                    let what = "these settings have neither a face detector nor files of landmarks";
                    Stop::at("face")(Error::usage(what, "this is a bug; please report it"))
                };
                let detector = config.detector.as_ref().ok_or_else(missing)?;
                let (fan, every) = (config.fan.clone(), config.detect_every.unwrap_or(1));
                FacePoints::Detected(Box::new(Detected::new(self.queue.clone(), detector, fan, every)))
            }
            Some(folder) => {
                let probe =
                    guarded(|| frame_reader::probe(&clip.media, self.reading)).map_err(Stop::at("open"))?;
                let file = LandmarkFile::open(folder, self.splits, &clip.id, &probe);
                let mut file = file.map_err(Stop::at("face"))?;
                if let Some(rows) = rows {
                    file.set_meaning(rows);
                }
                FacePoints::File(file)
            }
        };
        let sheet = self.preview.then(Sheet::default);
        let reopen = || FrameReader::open(&clip.media, self.reading, TARGET_FPS);
        let faces = (layout, points);
        Ok(Box::new(MouthingStream::new(
            self.queue,
            config,
            &clip.id,
            self.require_face,
            faces,
            sheet,
            reopen,
        )))
    }
}
