//! Repeated measurements of one thing.

use std::time::{Duration, Instant};

use anyhow::Result;
use cutq_ffi::Timings;

/// One run: how long it took, and the engine's account of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Seconds of the whole run.
    pub seconds: f64,
    /// The engine's part of them.
    pub timings: Timings,
}

impl Sample {
    /// Time outside the engine: the loss, checks of the gradients, clipping and the optimizer.
    pub fn rest(&self) -> f64 {
        let Timings { forward, head, backward } = self.timings;
        self.seconds - (forward + head + backward).as_secs_f64()
    }
}

/// Runs once to warm up, then `repetitions` times; `run` returns the engine's account.
pub fn repeat(repetitions: usize, mut run: impl FnMut() -> Result<Timings>) -> Result<Vec<Sample>> {
    run()?;
    let mut samples = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        let started = Instant::now();
        let timings = run()?;
        samples.push(Sample { seconds: started.elapsed().as_secs_f64(), timings });
    }
    Ok(samples)
}

/// The median of one quantity, at least one sample given.
pub fn median(samples: &[Sample], quantity: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(quantity).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Of a phase: [`median`] of durations.
pub fn median_of(samples: &[Sample], phase: impl Fn(&Timings) -> Duration) -> f64 {
    median(samples, |sample| phase(&sample.timings).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_left_out() {
        let mut calls = 0;
        let samples = repeat(4, || {
            calls += 1;
            Ok(Timings::default())
        });
        assert_eq!((calls, samples.expect("nothing fails").len()), (5, 4));
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        let samples = [7.0, 1.0, 4.0, 2.0].map(|seconds| Sample { seconds, ..Sample::default() });
        assert_eq!(median(&samples[..3], |s| s.seconds), 4.0);
        assert_eq!(median(&samples, |s| s.seconds), 3.0);
    }

    #[test]
    fn the_rest_is_what_the_engine_does_not_account_for() {
        let ms = Duration::from_millis;
        let timings = Timings { forward: ms(100), head: ms(200), backward: ms(300) };
        assert!((Sample { seconds: 1.0, timings }.rest() - 0.4).abs() < 1e-12);
    }
}
