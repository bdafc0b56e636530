//! Whether all of a video came out, and nothing else.

use signclip_common::{Error, Result};

use super::range::outside;
use super::{COPY_AGAIN, REORDERED, VideoSource};
use crate::media::decode::log::{is_about_an_index, is_about_references};
use crate::media::resample::Range;

impl VideoSource {
    /// What FFmpeg complains about and passes over. Where the file ends too early, that is said at its end.
    pub(super) fn check_complaints(&self, end: bool) -> Result<()> {
        let decoder = self.container.decoder_says();
        if self.decoded < REORDERED && decoder.as_deref().is_some_and(is_about_references) {
            self.container.forget();
            return Ok(());
        }
        let demuxer = || self.container.demuxer_says().filter(|error| !is_about_an_index(error));
        let demuxer = || demuxer().filter(|_| end || self.structure.damage.is_none());
        match decoder.or_else(demuxer) {
            Some(what) => Err(self.damaged(format!("truncated or damaged {} ({what})", self.progress()))),
            None => Ok(()),
        }
    }

    /// At the end of the file: was this all of it?
    pub(super) fn check_end(&self) -> Result<()> {
        let promised = self.header.duration.filter(|_| self.header.promised);
        let wanted = self.range.end.unwrap_or(f64::INFINITY);
        let reached = self.reached.unwrap_or(0.0);
        let slack = (2.0 * self.clock.period()).max(0.1);
        if promised.is_some_and(|promised| reached + slack < promised.min(wanted)) {
            return Err(self.damaged(format!("truncated {}", self.progress())));
        }
        if let Some(damage) = &self.structure.damage {
            let what = format!("truncated {}: {}", self.progress(), damage.what);
            let remedy = format!(
                "{COPY_AGAIN}; if its recording broke off, write it anew: ffmpeg -i FILE -c copy NEW"
            );
            return Err(Error::input(&self.file, format!("byte {}", damage.byte), what, remedy));
        }
        if self.range == Range::default() {
            self.check_number()?;
        }
        self.check_complaints(true)?;
        if self.reached.is_none() {
            let what = "not a single frame could be decoded".to_owned();
            if let Some(number) = self.video_stream() {
                let what = format!("{what} of video stream {number} of {}", self.container.videos);
                return Err(Error::input(&self.file, "", what, "name another one with --video-stream"));
            }
            return Err(self.damaged(what));
        }
        let start = self.range.start.unwrap_or(0.0);
        if start >= reached {
            return Err(outside(&self.file, "start", start, reached));
        }
        if self.range.end.is_some_and(|end| end > reached + self.clock.period() + 0.05) {
            return Err(outside(&self.file, "end", wanted, reached));
        }
        Ok(())
    }

    /// At the end of a whole file whose number of frames is known: are they all here?
    fn check_number(&self) -> Result<()> {
        // A material exchange file has a packet for each of its ticks; the first ones of one that was cut out of another may
        // refer to frames that are not there, and give none.
        let ticks = self.header.frames.filter(|_| self.header.format == "mxf");
        let wanted = ticks.map(|ticks| (ticks, self.container.packets));
        match wanted.or(self.structure.pictures.map(|pictures| (pictures, self.decoded))) {
            Some((wanted, there)) if wanted != there => {
                Err(self.damaged(format!("damaged: it should be {wanted} frames, and {there} are here")))
            }
            _ => Ok(()),
        }
    }
}
