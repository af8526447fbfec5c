//! Training an adapter: settings → examples → engine and plan → steps → adapter and summary.
//!
//! | module     | what it does                                            |
//! |------------|---------------------------------------------------------|
//! | `resolve`  | from flags to the settings of a run                     |
//! | `examples` | the data, read, screened, tokenized, split              |
//! | `steps`    | the steps, and what is saved of them                    |
//! | `pace`     | how fast it will be                                     |
//! | `progress` | how far the run is                                      |

mod examples;
mod pace;
mod progress;
mod resolve;
mod steps;

use anyhow::Result;
use cutq_ffi::{Adapter, Demand, Engine, Plan};

use self::examples::Examples;
use self::steps::Training;
use crate::console::Console;
use crate::interrupt::Interrupt;
use crate::run::{Checkpoint, EngineSettings, RunFolder, Settings};
use crate::session::PlanFigures;
use crate::session::budget::{self, MICRO_BATCH};
use crate::session::memory::{self, size};
use crate::session::model::{self, ModelFile};

pub use pace::Pace;
pub use resolve::{Output, settings};
pub use steps::Outcome;

/// A run that fits into its memory and can begin, or go on.
pub struct Run {
    /// Everything that decides it.
    pub settings: Settings,
    examples: Examples,
    engine: Engine,
    plan: Plan,
    checkpoint: Option<Checkpoint>,
}

impl Run {
    /// Reads the data and plans a new run; the plan becomes a part of its settings.
    ///
    /// # Errors
    /// Data that cannot be used; a plan that does not fit.
    pub fn plan(mut settings: Settings, model: &ModelFile, console: Console) -> Result<Self> {
        let examples = Examples::read(&settings, model, console)?;
        let demand = demand(&settings, &examples);
        let adapter = resolve::first_adapter(&settings, model)?;
        let (engine, plan) = engine(&settings, model, adapter, demand, console)?;
        settings.engine.micro_batch = Some(plan.micro_batch);
        Ok(Self { settings, examples, engine, plan, checkpoint: None })
    }

    /// Goes on with a run that was begun in `folder`.
    ///
    /// # Errors
    /// As [`Run::plan`]; a checkpoint that cannot be read.
    pub fn resume(
        settings: Settings,
        model: &ModelFile,
        folder: &RunFolder,
        console: Console,
    ) -> Result<Self> {
        let examples = Examples::read(&settings, model, console)?;
        let demand = demand(&settings, &examples);
        let checkpoint = Checkpoint::load(folder)?;
        let adapter = match &checkpoint {
            // Nothing was saved yet: the same seed begins the same run.
            None => resolve::first_adapter(&settings, model)?,
            Some(checkpoint) => {
                Adapter { config: settings.lora.config()?, ..model.adapter(&checkpoint.adapter)? }
            }
        };
        let (engine, plan) = engine(&settings, model, adapter, demand, console)?;
        Ok(Self { settings, examples, engine, plan, checkpoint })
    }

    /// Does the steps that are left.
    ///
    /// # Errors
    /// A step that fails, a file that cannot be written.
    pub fn train(
        self,
        folder: &RunFolder,
        interrupt: &Interrupt,
        console: Console,
    ) -> Result<Outcome> {
        let Self { settings, examples, engine, plan, checkpoint } = self;
        let mut training =
            Training::new(&settings, &examples, folder, engine, checkpoint, interrupt, console)?;
        let outcome = training.run()?;
        if matches!(outcome, Outcome::Done(_))
            && let Some(peak) = budget::device_peak(training.engine(), &plan)?
        {
            let (peak, planned) = (size(peak), size(plan.peak()));
            console.note(format_args!("device memory: {peak} at the peak, {planned} planned"));
        }
        Ok(outcome)
    }
}

/// What the run asks of memory. Before there is an adapter: see [`memory::program`].
fn demand(settings: &Settings, examples: &Examples) -> Demand {
    let (largest, longest) = examples.sizes();
    let micro_batch = settings.engine.micro_batch;
    Demand {
        largest,
        longest,
        micro_batch: micro_batch.unwrap_or(MICRO_BATCH),
        fixed: micro_batch.is_some(),
        optimizer_bytes: settings.recipe.optimizer.bytes_per_parameter(),
        program: memory::program(),
    }
}

/// The engine, and the plan by which it stays within the run's memory.
fn engine(
    settings: &Settings,
    model: &ModelFile,
    adapter: Adapter,
    demand: Demand,
    console: Console,
) -> Result<(Engine, Plan)> {
    let EngineSettings { ref device, threads, precision, memory, .. } = settings.engine;
    let device = model::device(device, threads, console)?;
    let mut engine = model.engine(adapter, device, threads, precision)?;
    let plan = budget::plan(&mut engine, demand, memory)?;
    console.note(PlanFigures::new(&plan, &engine).line());
    Ok((engine, plan))
}
