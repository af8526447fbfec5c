//! `cutq finetune`: settings → data → engine → steps → adapter and summary.

mod examples;
mod interrupt;
mod paths;
mod piped;
mod progress;
mod resolve;
mod train;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use cutq_ffi::{Adapter, Demand, Engine, Plan};

use self::examples::Examples;
use self::interrupt::INTERRUPTED;
use self::piped::Piped;
use self::train::{Outcome, Training};
use crate::console::Console;
use crate::failure;
use crate::flags::FinetuneArgs;
use crate::run::{Checkpoint, RunFolder};
use crate::run::{EngineSettings, Settings};
use crate::session::PlanFigures;
use crate::session::budget::{self, MICRO_BATCH};
use crate::session::memory::{self, size};
use crate::session::model::{self, ModelFile};

/// Runs the command.
pub fn finetune(args: &FinetuneArgs) -> Result<ExitCode> {
    let console = Console::new(args.quiet);
    match &args.resume {
        Some(path) => resume(path, console),
        None => begin(args, console),
    }
}

fn begin(args: &FinetuneArgs, console: Console) -> Result<ExitCode> {
    let (data, piped) = Piped::collect(&args.data)?;
    let (mut settings, model) = resolve::settings(args, &data, console)?;
    paths::check_writable(&settings)?;
    let examples = Examples::read(&settings, &model, console)?;
    let demand = demand(&settings, &examples);
    let adapter = resolve::first_adapter(&settings, &model)?;
    let (engine, plan) = engine(&settings, &model, adapter, demand, console)?;
    settings.engine.micro_batch = Some(plan.micro_batch);
    let run_dir = match &args.run_dir {
        Some(path) => path.clone(),
        None => paths::default_run_dir(&settings),
    };
    let folder = RunFolder::create(&run_dir)?;
    piped.keep(&folder, &mut settings)?;
    folder.begin(&settings)?;
    run(&settings, &examples, &folder, (engine, plan), None, console)
}

fn resume(path: &Path, console: Console) -> Result<ExitCode> {
    let (folder, settings) = RunFolder::open::<Settings>(path)?;
    settings.verify_inputs().context("the run cannot be resumed")?;
    let model = ModelFile::open(&settings.model.path)?;
    let examples = Examples::read(&settings, &model, console)?;
    let demand = demand(&settings, &examples);
    let checkpoint = Checkpoint::load(&folder)?;
    let adapter = match &checkpoint {
        // Nothing was saved yet: the same seed begins the same run.
        None => resolve::first_adapter(&settings, &model)?,
        Some(checkpoint) => {
            Adapter { config: settings.lora.config()?, ..model.adapter(&checkpoint.adapter)? }
        }
    };
    let planned = engine(&settings, &model, adapter, demand, console)?;
    run(&settings, &examples, &folder, planned, checkpoint, console)
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

fn run(
    settings: &Settings,
    examples: &Examples,
    folder: &RunFolder,
    (engine, plan): (Engine, Plan),
    checkpoint: Option<Checkpoint>,
    console: Console,
) -> Result<ExitCode> {
    let lost = how_to_resume("error: the computation cannot go on", folder);
    cutq_ffi::exit_on_abort(format!("{lost}\n"));
    let mut training = Training::new(settings, examples, folder, engine, checkpoint, console)?;
    match training.run().map_err(|error| stopped(error, folder))? {
        Outcome::Interrupted => {
            console.warn(how_to_resume("interrupted", folder));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Outcome::Done(summary) => {
            console.note(summary);
            if let Some(peak) = budget::device_peak(training.engine(), &plan)? {
                let (peak, planned) = (size(peak), size(plan.peak()));
                console.note(format_args!("device memory: {peak} at the peak, {planned} planned"));
            }
            let (model, out) = (settings.model.path.display(), settings.out.display());
            console.note(format_args!("use it: llama-cli -m {model} --lora {out} -p \"…\""));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says how to resume, unless the run would stop at the same place again.
fn stopped(error: Error, folder: &RunFolder) -> Error {
    match failure::is_divergence(&error) {
        true => error.context("the run stopped; resumed, it would stop at the same step"),
        false => error.context(how_to_resume("the run stopped", folder)),
    }
}

fn how_to_resume(what: &str, folder: &RunFolder) -> String {
    let path = folder.path().display();
    format!("{what}\nhint: resume with `cutq finetune --resume {path}`")
}
