//! Learning-rate schedules with warm-up.

use thiserror::Error;

/// The shape of the decay after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Falls to 0 in a straight line.
    Linear,
    /// Falls to 0 along half a cosine.
    #[default]
    Cosine,
}

/// A parameter of a schedule that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The peak is not a positive finite number.
    #[error("the learning rate is {0}, it must be positive and finite")]
    Lr(f64),
    /// The share of warm-up steps is outside `0..=1`.
    #[error("the warm-up ratio is {0}, it must lie between 0 and 1")]
    WarmupRatio(f64),
    /// There are no steps.
    #[error("the schedule has 0 steps, it needs at least 1")]
    NoSteps,
}

/// The learning rate of every step of a run.
///
/// With `W = ceil(warmup_ratio · total_steps)` and step `s` counted from 0:
///
/// | step | `lr(s)` |
/// |---|---|
/// | `s < W` | `lr · (s + 1) / W` |
/// | `s ≥ W`, constant | `lr` |
/// | `s ≥ W`, linear | `lr · (1 − q)`, `q = (s − W) / (total_steps − W)` |
/// | `s ≥ W`, cosine | `lr · (1 + cos πq) / 2` |
///
/// As in Hugging Face's schedulers, except that the first warm-up step already moves the weights.
///
/// ```
/// use cutq_core::schedule::{LrSchedule, Schedule};
///
/// // Four steps, half of them warm-up.
/// let schedule = LrSchedule::new(Schedule::Linear, 0.8, 0.5, 4).expect("in range");
/// assert_eq!([0, 1, 2, 3, 4].map(|step| schedule.lr(step)), [0.4, 0.8, 0.8, 0.4, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    kind: Schedule,
    lr: f64,
    warmup_steps: u64,
    total_steps: u64,
}

impl LrSchedule {
    /// A schedule with peak `lr` over `total_steps`, of which the share `warmup_ratio` is warm-up.
    ///
    /// # Errors
    /// If the peak is not positive, the ratio is outside `0..=1` or there are no steps.
    pub fn new(
        kind: Schedule,
        lr: f64,
        warmup_ratio: f64,
        total_steps: u64,
    ) -> Result<Self, ScheduleError> {
        if !(lr > 0.0 && lr.is_finite()) {
            return Err(ScheduleError::Lr(lr));
        }
        if !(0.0..=1.0).contains(&warmup_ratio) {
            return Err(ScheduleError::WarmupRatio(warmup_ratio));
        }
        if total_steps == 0 {
            return Err(ScheduleError::NoSteps);
        }
        let warmup_steps = libm::ceil(warmup_ratio * total_steps as f64) as u64;
        Ok(Self { kind, lr, warmup_steps, total_steps })
    }

    /// The learning rate of `step`, counted from 0; past the end, that of the end.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let decay_steps = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let q = ((step - self.warmup_steps) as f64 / decay_steps as f64).min(1.0);
        match self.kind {
            Schedule::Constant => self.lr,
            Schedule::Linear => self.lr * (1.0 - q),
            Schedule::Cosine => self.lr * 0.5 * (1.0 + libm::cos(core::f64::consts::PI * q)),
        }
    }

    /// How many steps warm up.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    /// How many steps the run has.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lrs(kind: Schedule, warmup_ratio: f64) -> [f64; 5] {
        let schedule = LrSchedule::new(kind, 8.0, warmup_ratio, 4).expect("a valid schedule");
        core::array::from_fn(|step| schedule.lr(step as u64))
    }

    #[test]
    fn each_shape_follows_its_formula() {
        assert_eq!(lrs(Schedule::Constant, 0.0), [8.0; 5]);
        assert_eq!(lrs(Schedule::Constant, 0.5), [4.0, 8.0, 8.0, 8.0, 8.0]);
        assert_eq!(lrs(Schedule::Linear, 0.0), [8.0, 6.0, 4.0, 2.0, 0.0]);
        assert_eq!(lrs(Schedule::Linear, 0.3), [4.0, 8.0, 8.0, 4.0, 0.0]);
        let root = core::f64::consts::FRAC_1_SQRT_2;
        let cosine = [8.0, 4.0 * (1.0 + root), 4.0, 4.0 * (1.0 - root), 0.0];
        for (lr, expected) in lrs(Schedule::Cosine, 0.0).into_iter().zip(cosine) {
            assert!((lr - expected).abs() < 1e-12, "{lr} is not {expected}");
        }
    }

    #[test]
    fn the_first_step_moves_even_when_everything_is_warm_up() {
        assert_eq!(lrs(Schedule::Cosine, 1.0)[..4], [2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn nonsense_is_refused() {
        let new = |lr, ratio, steps| LrSchedule::new(Schedule::Linear, lr, ratio, steps);
        assert_eq!(new(0.0, 0.0, 1), Err(ScheduleError::Lr(0.0)));
        assert!(matches!(new(f64::NAN, 0.0, 1), Err(ScheduleError::Lr(_))));
        assert_eq!(new(1.0, 1.5, 1), Err(ScheduleError::WarmupRatio(1.5)));
        assert_eq!(new(1.0, 0.0, 0), Err(ScheduleError::NoSteps));
    }
}
