//! The factor on all learning rates: a pure function of the step, so that a resumed run needs no state of it.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Shape of the decay after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine from 1 to 0, as SpaMo.
    #[default]
    Cosine,
    Constant,
}

/// When the decay lowers the learning rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayBy {
    #[default]
    Step,
    /// At the end of each epoch, as the authors' published code.
    Epoch,
}

/// Linear warm-up from 0, then the decay; the same values as `get_cosine_schedule_with_warmup` of transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    pub decay: Decay,
    /// Steps between which the decay does not change: 1, or those of an epoch.
    pub stride: u64,
    /// The factor that the cosine ends at.
    pub floor: f64,
    /// Paper, Implementation Details: no warm-up.
    pub warmup_steps: u64,
    /// Optimiser steps of the whole run, warm-up included.
    pub total_steps: u64,
}

impl Schedule {
    /// Factor for the update number `step`, counted from 0.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => {
                let length = self.total_steps.saturating_sub(self.warmup_steps).max(1);
                let step = (step / self.stride * self.stride).max(self.warmup_steps);
                let progress = ((step - self.warmup_steps) as f64 / length as f64).min(1.0);
                self.floor + (1.0 - self.floor) * (0.5 * (1.0 + (PI * progress).cos()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Schedule =
        Schedule { decay: Decay::Cosine, stride: 1, floor: 0.0, warmup_steps: 0, total_steps: 0 };

    /// Values of timm's `CosineLRScheduler` (t_initial 4, lr 1e-3, lr_min 1e-8), which is called once an epoch:
    /// lr_min + (lr − lr_min) (1 + cos(π epoch / 4)) / 2.
    #[test]
    fn a_decay_by_epoch_stays_within_the_epoch_and_ends_at_its_floor() {
        let schedule = Schedule { stride: 10, floor: 1e-5, total_steps: 40, ..PLAIN };
        let lr = |step| 1e-3 * schedule.factor(step);
        for (step, want) in [
            (0, 1e-3),
            (9, 1e-3),
            (10, 8.535548550593679e-4),
            (19, 8.535548550593679e-4),
            (20, 5.00005e-4),
            (40, 1e-8),
        ] {
            assert!((lr(step) - want).abs() < 1e-12, "{step}: {} {want}", lr(step));
        }
    }

    #[test]
    fn cosine_falls_from_one_to_zero() {
        let schedule = Schedule { total_steps: 100, ..PLAIN };
        assert_eq!(schedule.factor(0), 1.0);
        assert!((schedule.factor(50) - 0.5).abs() < 1e-12);
        assert_eq!((schedule.factor(100), schedule.factor(1000)), (0.0, 0.0));
        assert!((1..=100).all(|step| schedule.factor(step) < schedule.factor(step - 1)));
    }

    #[test]
    fn warm_up_is_linear() {
        let schedule = Schedule { warmup_steps: 4, total_steps: 12, ..PLAIN };
        let start: Vec<f64> = (0..5).map(|step| schedule.factor(step)).collect();
        assert_eq!(start, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert!((schedule.factor(8) - 0.5).abs() < 1e-12);
        let constant = Schedule { decay: Decay::Constant, ..schedule };
        assert_eq!((constant.factor(2), constant.factor(5), constant.factor(99)), (0.5, 1.0, 1.0));
    }

    #[test]
    fn a_run_of_no_steps_has_a_factor() {
        assert_eq!(PLAIN.factor(0), 1.0);
    }
}
