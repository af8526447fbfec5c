//! How many answers are written at the same time, and in how much memory.

use cutq_ffi::{Engine, SampleOptions, SampleRequest, SamplingPlan, TooSmall};

use crate::session::memory::{self, size};
use crate::usage::UsageError;

/// Answers at the same time, unless asked otherwise or memory is short: from about here on, more of
/// them are hardly faster.
const PARALLEL: usize = 32;

/// Sets the engine up to answer `requests` within `budget` bytes or, unless asked, half of what is
/// available.
///
/// # Errors
/// If not even one answer fits.
pub fn plan(
    engine: &mut Engine,
    requests: &[SampleRequest],
    budget: Option<u64>,
    n_parallel: Option<usize>,
) -> Result<SampleOptions, UsageError> {
    let n_parallel = n_parallel.unwrap_or(PARALLEL);
    let budget = budget.unwrap_or_else(|| memory::available().map_or(u64::MAX, |free| free / 2));
    let program = memory::program();
    let plan = SamplingPlan::choose(engine, requests, n_parallel, program, budget)
        .map_err(|error| too_small(&error))?;
    engine.retain(plan.retention);
    Ok(plan.options())
}

fn too_small(&TooSmall { budget, smallest }: &TooSmall) -> UsageError {
    let (budget, needed) = (size(budget), size(smallest));
    UsageError::new(format!(
        "--memory {budget} is not enough to write one answer, which takes {needed}\nhint: fewer \
         tokens (-n) need less"
    ))
}
