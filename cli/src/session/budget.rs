//! The memory plan of a run, from the flags and what the system has.

use anyhow::{Result, bail};
use bytesize::ByteSize;
use cutq_ffi::{Demand, Engine, Plan, TooSmall};
use serde::{Deserialize, Serialize};

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

/// A plan for people and machines.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PlanFigures {
    /// Resident at the peak, everything included.
    pub peak_bytes: u64,
    pub program_bytes: u64,
    pub adapter_bytes: u64,
    pub optimizer_bytes: u64,
    pub checkpoint_bytes: u64,
    pub activation_bytes: u64,
    pub kept_bytes: u64,
    pub cached_bytes: u64,
    pub scratch_bytes: u64,
    pub weight_bytes: u64,
    pub micro_batch: usize,
    pub kept_layers: usize,
    pub resident_layers: usize,
    pub cached_layers: usize,
    pub n_layer: usize,
    /// Whether the figures are those of a device's memory, into which weights are copied.
    pub on_device: bool,
}

impl PlanFigures {
    pub fn new(plan: &Plan, engine: &Engine) -> Self {
        let Plan { program, footprint, optimizer, micro_batch, resident_layers, .. } = *plan;
        Self {
            peak_bytes: plan.peak(),
            program_bytes: program,
            adapter_bytes: footprint.adapter,
            optimizer_bytes: optimizer,
            checkpoint_bytes: footprint.checkpoints,
            activation_bytes: footprint.activations,
            kept_bytes: plan.kept(),
            cached_bytes: plan.cached(),
            scratch_bytes: footprint.scratch,
            weight_bytes: plan.weights(),
            micro_batch,
            kept_layers: plan.kept_layers,
            cached_layers: plan.cached_layers,
            resident_layers,
            n_layer: engine.architecture().n_layer,
            on_device: footprint.weights.copied,
        }
    }

    /// One line, for the beginning of a run.
    pub fn line(&self) -> String {
        let Self { peak_bytes, micro_batch, kept_layers, resident_layers, n_layer, .. } = self;
        let panels = match self.cached_layers {
            0 => String::new(),
            cached => format!(", {cached} their weights' panels"),
        };
        let weights = match (resident_layers == n_layer, self.on_device) {
            (true, _) => String::new(),
            (false, true) => format!(", {resident_layers} stay on the device"),
            (false, false) => format!(", {resident_layers} stay in memory"),
        };
        format!(
            "memory: {} at the peak; {micro_batch} tokens in a pass, {kept_layers} of {n_layer} blocks \
             keep their products{panels}{weights}",
            size(*peak_bytes)
        )
    }

    /// A table of the parts.
    pub fn table(&self) -> String {
        let Self { micro_batch, kept_layers, cached_layers, resident_layers, n_layer, .. } = self;
        let weights = match (resident_layers == n_layer, self.on_device) {
            (true, false) => "model's file, resident".to_owned(),
            (false, false) => format!("model's file, {resident_layers} of {n_layer} blocks stay"),
            (true, true) => "weights, all on the device".to_owned(),
            (false, true) => format!("weights, {resident_layers} of {n_layer} blocks stay"),
        };
        let parts = [
            (weights, self.weight_bytes),
            ("program".to_owned(), self.program_bytes),
            ("adapter and gradients".to_owned(), self.adapter_bytes),
            ("optimizer".to_owned(), self.optimizer_bytes),
            (format!("checkpoints, {micro_batch} tokens in a pass"), self.checkpoint_bytes),
            ("activations of a block".to_owned(), self.activation_bytes),
            (format!("products kept by {kept_layers} of {n_layer} blocks"), self.kept_bytes),
            (format!("panels kept by {cached_layers} of {n_layer} blocks"), self.cached_bytes),
            ("scratch".to_owned(), self.scratch_bytes),
            ("peak".to_owned(), self.peak_bytes),
        ];
        parts.iter().map(|(name, bytes)| format!("{name:42} {:>10}\n", size(*bytes))).collect()
    }
}
