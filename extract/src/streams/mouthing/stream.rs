//! Z_m of one clip.

use crate::media::frame_reader::{FrameReader, Timing};
use crate::run::queue::Queue;
use crate::streams::clip_stream::{ClipStream, Finished, MouthFacts, Numbered, Stop};
use crate::streams::mouthing::config::MouthingConfig;
use crate::streams::mouthing::crop::align::Layout;
use crate::streams::mouthing::face_points::FacePoints;
use crate::streams::mouthing::gaps;
use crate::streams::mouthing::mouths::{MouthReader, Mouths, is_longer};
use crate::streams::mouthing::sheet::Sheet;
use signclip_common::panics::guarded;
use signclip_common::{Error, Result};

/// The mouthing stream of one clip whose faces have N points.
pub struct MouthingStream<'a, const N: usize> {
    queue: &'a Queue,
    config: &'a MouthingConfig,
    /// The clip's id.
    id: &'a str,
    /// A clip in which no face is found fails, instead of getting zeros.
    require_face: bool,
    /// SHA-256 of the file that the points come from.
    landmarks: Option<String>,
    mouths: MouthReader<'a, N>,
}

impl<'a, const N: usize> MouthingStream<'a, N> {
    /// `reopen` reads the clip once more.
    pub fn new(
        queue: &'a Queue,
        config: &'a MouthingConfig,
        id: &'a str,
        require_face: bool,
        (layout, points): (Layout<N>, FacePoints),
        sheet: Option<Sheet>,
        reopen: impl Fn() -> Result<FrameReader> + 'a,
    ) -> Self {
        let landmarks = match &points {
            FacePoints::File(file) => Some(file.sha256.clone()),
            FacePoints::Detected(_) => None,
        };
        let mouths = MouthReader::new(layout, points, config.max_gap, sheet, reopen, &queue.stages);
        Self { queue, config, id, require_face, landmarks, mouths }
    }
}

impl<const N: usize> ClipStream for MouthingStream<'_, N> {
    fn window(&mut self, frames: &[Numbered]) -> Result<(), Stop> {
        guarded(|| self.mouths.push(frames)).map_err(Stop::at("face"))
    }

    fn finish(self: Box<Self>, timing: &Timing) -> Result<Finished, Stop> {
        let Self { queue, config, id, require_face, landmarks, mouths } = *self;
        let finish = || Ok(mouths.finish(timing.source_frames, timing.frames));
        let Mouths { levels, coverage, gaps, outside, sheet } =
            guarded(finish).map_err(Stop::at("face"))??;
        let rows = match levels {
            Some(levels) => {
                let mut rows = queue.mouthing(levels).wait().map_err(Stop::at("encode"))?;
                let dim = config.lips.encoder_embed_dim as usize;
                for [first, last] in gaps.iter().copied().filter(|gap| is_longer(*gap, config.max_gap)) {
                    rows[first * dim..(last + 1) * dim].fill(0.0);
                }
                rows
            }
            None if require_face => return Err(Stop::Failed("face", no_mouth(outside))),
            None => vec![0.0; timing.frames * config.lips.encoder_embed_dim as usize],
        };
        let (marked, times) = gaps::long(&gaps);
        let missed =
            if times.is_empty() { String::new() } else { format!("; no face at {}", gaps::text(&times, 3)) };
        let title = format!("{id}: {} frames, face in {:.1} %{missed}", timing.frames, 100.0 * coverage);
        let sheet = sheet.map(|sheet| sheet.png(&title, &marked)).transpose().map_err(Stop::at("preview"))?;
        let mouths = Some(MouthFacts { coverage, gaps, outside, landmarks, sheet });
        Ok(Finished { rows, mouths })
    }
}

/// No frame had a mouth; in `outside` of them there was a face.
fn no_mouth(outside: usize) -> Error {
    let what = match outside {
        0 => "no face in any frame",
        _ => "no mouth in any frame: where there is a face, its mouth lies outside of the picture",
    };
    Error::usage(what, "look at --preview DIR; without --require-face it gets a mouthing stream of zeros")
}
