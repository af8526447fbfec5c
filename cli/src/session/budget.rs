//! The memory plan of a run, from the flags and what the system has.

use anyhow::{Result, bail};
use bytesize::ByteSize;
use cutq_ffi::{Demand, Engine, Plan, TooSmall};

use super::memory;
use crate::usage::UsageError;

/// Tokens in a pass unless asked otherwise or memory is short.
pub const MICRO_BATCH: usize = 1024;

/// What this program takes beside the engine is rounded up to a multiple of this, so that the same
/// run is planned the same way each time.
const STEP: u64 = 4 << 20;

/// What a run wants, before its memory is known.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Tokens of the largest example in all its contexts.
    pub largest: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
    /// Tokens in a pass, if asked for.
    pub micro_batch: Option<usize>,
    /// Tokens in a pass otherwise.
    pub usual: usize,
    /// Bytes of optimizer state per parameter.
    pub optimizer_bytes: usize,
    /// Whether that state is in memory already, as it is when a run is resumed.
    pub optimizer_loaded: bool,
}

/// Plans a run within `memory` bytes or, unless asked, half of what is available, and sets the
/// engine up for it.
///
/// # Errors
/// If it does not fit.
pub fn plan(engine: &mut Engine, wish: Wish, memory: Option<u64>) -> Result<Plan> {
    let pairs = engine.adapter().pairs.iter();
    let parameters: usize = pairs.map(|pair| pair.a.len() + pair.b.len()).sum();
    let loaded = if wish.optimizer_loaded { wish.optimizer_bytes } else { 0 };
    // The adapter is resident already, perhaps the optimizer's state too; both are parts of the plan.
    let planned = parameters * (size_of::<f32>() + loaded);
    let resident = memory::resident().unwrap_or(0).saturating_sub(planned as u64);
    // What the program takes of the host's memory is not a device's.
    let on_cpu = engine.device().is_cpu();
    let program = if on_cpu { resident.next_multiple_of(STEP) } else { 0 };
    let Wish { largest, longest, micro_batch, usual, optimizer_bytes, .. } = wish;
    let demand = Demand {
        largest,
        longest,
        micro_batch: micro_batch.unwrap_or(usual),
        // Without a budget the number of tokens must not depend on what else is running.
        fixed: micro_batch.is_some() || memory.is_none(),
        optimizer_bytes,
        program,
    };
    let plan = match memory {
        Some(budget) => Plan::choose(engine, demand, budget).map_err(|error| too_small(&error))?,
        None => usual_plan(engine, demand)?,
    };
    engine.keep(&plan);
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
            "the run takes {} and {} are available\nhint: lower --micro-batch or --max-length",
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
        bail!("{} gave {peak}, and {planned} were planned: please report this", engine.device());
    }
    Ok(Some(peak))
}

fn too_small(&TooSmall { budget, smallest }: &TooSmall) -> UsageError {
    UsageError::new(format!(
        "--memory {} is not enough for this run: it takes {}\nhint: --memory {}MiB would do; shorter \
         examples (--max-length) or fewer tokens in a pass (--micro-batch) take less",
        size(budget),
        size(smallest),
        smallest.div_ceil(1 << 20)
    ))
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
