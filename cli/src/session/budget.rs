//! The memory plan of a run, from the flags and what the system has.

use anyhow::{Result, bail};
use cutq_ffi::{Demand, Engine, Plan, TooSmall};

use super::memory::{self, size};
use crate::usage::UsageError;

/// Tokens in a pass unless asked otherwise or memory is short.
pub const MICRO_BATCH: usize = 1024;

/// Plans a run within `memory` bytes or, unless asked, half of what is available, and sets the
/// engine up for it.
///
/// # Errors
/// If it does not fit.
pub fn plan(engine: &mut Engine, demand: Demand, memory: Option<u64>) -> Result<Plan> {
    let demand = Demand {
        // Without a budget the number of tokens must not depend on what else is running.
        fixed: demand.fixed || memory.is_none(),
        // What the program takes of the host's memory is not a device's.
        program: if engine.device().is_cpu() { demand.program } else { 0 },
        ..demand
    };
    let plan = match memory {
        Some(budget) => Plan::choose(engine, demand, budget).map_err(|error| too_small(&error))?,
        None => usual_plan(engine, demand)?,
    };
    engine.retain(plan.retention);
    Ok(plan)
}

/// Half of the available memory, or all of it where that is not enough; of a device's, where
/// nothing else wants it, most.
fn usual_plan(engine: &Engine, demand: Demand) -> Result<Plan> {
    let device = engine.device();
    let (available, usual) = match device.is_cpu() {
        true => {
            let available = memory::available().unwrap_or(u64::MAX);
            (available, available / 2)
        }
        false => {
            let available = device.memory().free;
            (available, available / 10 * 9)
        }
    };
    let plan =
        Plan::choose(engine, demand, usual).or_else(|_| Plan::choose(engine, demand, available));
    match plan {
        Ok(plan) => Ok(plan),
        Err(TooSmall { smallest, .. }) => bail!(
            "the run needs {}, and {} is available\nhint: lower --micro-batch or --max-length",
            size(smallest),
            size(available)
        ),
    }
}

/// What a run allocated of its device's memory; none on the CPU, where the system counts.
///
/// # Errors
/// If it was more than planned.
pub fn device_peak(engine: &Engine, plan: &Plan) -> Result<Option<u64>> {
    if engine.device().is_cpu() {
        return Ok(None);
    }
    let (peak, planned) = (engine.take_peak_bytes(), plan.peak());
    if peak > planned {
        let (peak, planned) = (size(peak), size(planned));
        let device = engine.device();
        bail!("{peak} of {device} were used where {planned} were planned: please report this");
    }
    Ok(Some(peak))
}

fn too_small(&TooSmall { budget, smallest }: &TooSmall) -> UsageError {
    UsageError::new(format!(
        "--memory {} is not enough for this run, which needs {}\nhint: --memory {}MiB is enough; \
         shorter examples (--max-length) or fewer tokens in a pass (--micro-batch) need less",
        size(budget),
        size(smallest),
        smallest.div_ceil(1 << 20)
    ))
}
