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

/// Linear warm-up from 0, then the decay; the same values as `get_cosine_schedule_with_warmup` of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    #[serde(default)]
    pub decay: Decay,
    /// Paper, Implementation Details: no warm-up.
    #[serde(default)]
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
                let progress = ((step - self.warmup_steps) as f64 / length as f64).min(1.0);
                0.5 * (1.0 + (PI * progress).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_falls_from_one_to_zero() {
        let schedule = Schedule { decay: Decay::Cosine, warmup_steps: 0, total_steps: 100 };
        assert_eq!(schedule.factor(0), 1.0);
        assert!((schedule.factor(50) - 0.5).abs() < 1e-12);
        assert_eq!((schedule.factor(100), schedule.factor(1000)), (0.0, 0.0));
        assert!((1..=100).all(|step| schedule.factor(step) < schedule.factor(step - 1)));
    }

    #[test]
    fn warm_up_is_linear() {
        let schedule = Schedule { decay: Decay::Cosine, warmup_steps: 4, total_steps: 12 };
        let start: Vec<f64> = (0..5).map(|step| schedule.factor(step)).collect();
        assert_eq!(start, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert!((schedule.factor(8) - 0.5).abs() < 1e-12);
        let constant = Schedule { decay: Decay::Constant, ..schedule };
        assert_eq!((constant.factor(2), constant.factor(5), constant.factor(99)), (0.5, 1.0, 1.0));
    }

    #[test]
    fn a_run_of_no_steps_has_a_factor() {
        let schedule = Schedule { decay: Decay::Cosine, warmup_steps: 0, total_steps: 0 };
        assert_eq!(schedule.factor(0), 1.0);
    }
}
