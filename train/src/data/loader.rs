//! Batches read, padded and copied to the device on a thread of their own, ahead of the training that consumes them.

use crate::data::batch::Batch;
use crate::data::batching::{epoch_batches, steps_per_epoch};
use crate::data::corpus::{Corpus, Window};
use signclip_common::Result;
use signclip_common::collective::share;
use signclip_common::devices::upload;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// Steps that are kept ready.
const AHEAD: usize = 4;

/// One update.
pub struct Step {
    /// Number of the update, from 0, and the epoch it belongs to.
    pub number: u64,
    pub epoch: usize,
    /// Its clips, in one batch or in several whose gradients are averaged.
    pub batches: Vec<StepBatch>,
}

/// Clips with which batch statistics and contrasts are computed.
pub struct StepBatch {
    /// All clips, on every device.
    pub batch: Batch,
    /// Which of them this device takes through the language model.
    pub own: Range<usize>,
    /// Target tokens of the batch.
    pub tokens: usize,
    /// `[b, b]` bool: clips with the same sentence.
    pub same: Tensor,
}

impl Step {
    /// Frames of all clips.
    pub fn frames(&self) -> usize {
        self.batches.iter().map(|part| part.batch.frames).sum()
    }

    /// Places of all clips in the corpus.
    pub fn clips(&self) -> impl Iterator<Item = usize> {
        self.batches.iter().flat_map(|part| part.batch.clips.iter().copied())
    }
}

/// Which steps to read.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Steps from this one up to, not including, that one.
    pub first: u64,
    pub end: u64,
    pub batch_size: usize,
    /// Batches that a step is divided into.
    pub micro_batches: usize,
    /// Leave out the last step of an epoch where it has fewer clips.
    pub drop_last: bool,
    /// Batches that are sorted by length together (see [`epoch_batches`]).
    pub pool: usize,
    pub seed: u64,
    /// This device among how many.
    pub rank: usize,
    pub size: usize,
    /// Where the batches go.
    pub device: Device,
}

/// Steps in their order.
pub struct Loader {
    steps: Receiver<Result<Step>>,
    waited: Duration,
}

impl Loader {
    /// Begin to read on a thread of `scope`, which ends when all is read, at the first error, or when the loader is
    /// dropped.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, corpus: &'scope Corpus, plan: Plan) -> Self {
        let (sender, steps) = sync_channel(AHEAD);
        scope.spawn(move || {
            let per_epoch = steps_per_epoch(corpus.len(), plan.batch_size, plan.drop_last);
            let frames = corpus.frames();
            let mut batches = Vec::new();
            for number in plan.first..plan.end {
                let epoch = (number / per_epoch) as usize;
                if batches.is_empty() || number.is_multiple_of(per_epoch) {
                    batches = epoch_batches(&frames, plan.batch_size, plan.pool, plan.seed, epoch);
                    batches.retain(|batch| !plan.drop_last || batch.len() == plan.batch_size);
                }
                let step = read(corpus, &plan, number, epoch, &batches[(number % per_epoch) as usize]);
                let failed = step.is_err();
                if sender.send(step).is_err() || failed {
                    return;
                }
            }
        });
        Self { steps, waited: Duration::ZERO }
    }

    /// Time spent waiting since this was last asked.
    pub fn waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

impl Iterator for Loader {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Result<Step>> {
        let begun = Instant::now();
        let step = self.steps.recv().ok();
        self.waited += begun.elapsed();
        step
    }
}

fn read(corpus: &Corpus, plan: &Plan, number: u64, epoch: usize, clips: &[usize]) -> Result<Step> {
    let parts = plan.micro_batches.min(clips.len());
    let read = |part| {
        let clips = &clips[share(clips.len(), part, parts)];
        let batch = corpus.batch(clips, Window::Random { seed: plan.seed, epoch })?;
        Ok(StepBatch {
            batch: batch.to_device(plan.device),
            own: share(clips.len(), plan.rank, plan.size),
            tokens: clips.iter().map(|&clip| corpus.target(clip).len()).sum(),
            same: upload(&corpus.same(clips), plan.device),
        })
    };
    Ok(Step { number, epoch, batches: (0..parts).map(read).collect::<Result<_>>()? })
}
