//! `log.jsonl` of a run: one line a step, one a validation.
//!
//! A run that resumes after a kill repeats the steps since its last checkpoint; their lines are cut off first, so that
//! the log of an interrupted run is that of an uninterrupted one, but for the field `time`.

use crate::training::checkpoint::Progress;
use crate::training::model::Losses;
use serde_json::{Value, json};
use signclip_common::regular_file::{self, LINES};
use signclip_common::{Error, Result, atomic};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Name of the log in a run's folder.
pub const LOG: &str = "log.jsonl";

/// How a step went, apart from what it learned.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub seconds: f64,
    /// Of the whole batch on all devices.
    pub frames_per_second: f64,
    /// Share of the step's time that went into tensor operations, and into waiting for the loader.
    pub busy: f64,
    pub waited: f64,
}

/// What one update did.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// Its number, from 0, and its epoch, from 1.
    pub step: u64,
    pub epoch: usize,
    pub losses: Losses,
    /// Before clipping.
    pub gradient_norm: f64,
    /// Factor of the schedule on the learning rates.
    pub lr_factor: f64,
    pub timing: Timing,
}

pub struct StepLog {
    file: File,
    path: PathBuf,
}

impl StepLog {
    /// Open the log in `folder` for a run that has done `steps` updates.
    pub fn open(folder: &Path, steps: u64) -> Result<Self> {
        let path = folder.join(LOG);
        let open = || regular_file::append(&path).map_err(Error::io(&path));
        // Opened before it is replaced: a link is refused.
        let mut file = open()?;
        let text = regular_file::read_to_string(&path, LINES).map_err(Error::io(&path))?;
        let kept: String = text.split_inclusive('\n').filter(|line| is_before(line, steps)).collect();
        if kept != text {
            atomic::write(&path, kept.as_bytes())?;
            file = open()?;
        }
        Ok(Self { file, path })
    }

    pub fn update(&mut self, update: &Update) -> Result<()> {
        let Update { losses, timing, .. } = update;
        self.line(&json!({
            "step": update.step,
            "epoch": update.epoch,
            "loss": losses.total,
            "trans": losses.trans,
            "vt": losses.vt,
            "sm": losses.sm,
            "gradient_norm": update.gradient_norm,
            "lr_factor": update.lr_factor,
            "time": {
                "seconds": timing.seconds,
                "frames_per_second": timing.frames_per_second,
                "busy": timing.busy,
                "waited": timing.waited,
            },
        }))
    }

    /// Scores on the split `split` where the run stands, with the best epoch so far and the measure that decided.
    pub fn validation(&mut self, state: &Progress, split: &str, scores: &Value) -> Result<()> {
        self.line(&json!({
            "step": state.step,
            "epoch": state.epoch,
            split: scores,
            "best_epoch": state.choice.best_epoch,
            "decided_by": state.choice.decided_by,
        }))
    }

    /// Make what was written so far survive a power cut.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        self.file.write_all(format!("{value}\n").as_bytes()).map_err(Error::io(&self.path))
    }
}

/// How many updates the log in `folder` has, by its last lines; 0 where there is no log.
pub fn steps_done(folder: &Path) -> u64 {
    /// Bytes from the end, enough for some lines.
    const TAIL: u64 = 8192;
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = regular_file::open(&folder.join(LOG))?;
        file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail)
    };
    let lines = tail().unwrap_or_default();
    let update = |line: &[u8]| {
        let json: Value = serde_json::from_slice(line).ok()?;
        json.get("loss")?;
        json["step"].as_u64()
    };
    lines.rsplit(|&byte| byte == b'\n').find_map(update).map_or(0, |last| last + 1)
}

/// Whether a line is of the first `steps` updates, or of a validation after some of them. The trace of a kill, a part
/// of a line, is not.
fn is_before(line: &str, steps: u64) -> bool {
    let Ok(json) = serde_json::from_str::<Value>(line) else { return false };
    let is_update = json.get("loss").is_some();
    line.ends_with('\n')
        && json["step"].as_u64().is_some_and(|step| step < steps || (step == steps && !is_update))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_again_is_cut_off() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let path = folder.path().join(LOG);
        let step = |n: u64| format!("{{\"step\":{n},\"loss\":0.5}}\n");
        let dev = |n: u64| format!("{{\"step\":{n},\"dev\":{{}}}}\n");
        let text =
            [step(0), step(1), dev(2), step(2), step(3), dev(4), "{\"step\":4,\"lo".to_owned()].concat();
        for (steps, want) in [
            (0, String::new()),
            (2, [step(0), step(1), dev(2)].concat()),
            (3, [step(0), step(1), dev(2), step(2)].concat()),
            (9, [step(0), step(1), dev(2), step(2), step(3), dev(4)].concat()),
        ] {
            std::fs::write(&path, &text).map_err(Error::io(&path))?;
            assert_eq!(steps_done(folder.path()), 4, "the part of a line is not a step");
            drop(StepLog::open(folder.path(), steps)?);
            assert_eq!(
                std::fs::read_to_string(&path).map_err(Error::io(&path))?,
                want,
                "after {steps} steps"
            );
        }
        Ok(())
    }
}
