//! `cutq finetune`: settings → data → engine → steps → adapter and summary.

mod examples;
mod interrupt;
mod progress;
mod resolve;
mod train;

use std::path::Path;
use std::process::ExitCode;

use crate::run::{Checkpoint, RunFolder};
use anyhow::{Context, Result};
use cutq_ffi::{Adapter, Engine, Plan};

use self::examples::Examples;
use self::train::{Outcome, Training};
use crate::flags::FinetuneArgs;
use crate::run::{EngineSettings, Settings};
use crate::session::budget::{self, MICRO_BATCH, PlanFigures, Wish};
use crate::session::model::{self, ModelFile};

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs the command.
pub fn finetune(args: &FinetuneArgs) -> Result<ExitCode> {
    match &args.resume {
        Some(path) => resume(path, args.quiet),
        None => begin(args),
    }
}

fn begin(args: &FinetuneArgs) -> Result<ExitCode> {
    let (mut settings, model, adapter) = resolve::settings(args)?;
    resolve::check_writable(&settings.out)?;
    let examples = Examples::read(&settings, &model, args.quiet)?;
    let (engine, plan) = engine(&settings, &model, &examples, adapter, false, args.quiet)?;
    settings.engine.micro_batch = Some(plan.micro_batch);
    let run_dir = match &args.run_dir {
        Some(path) => path.clone(),
        None => resolve::default_run_dir(&settings),
    };
    let folder = RunFolder::create(&run_dir, &settings)?;
    run(&settings, &examples, &folder, (engine, plan), None, args.quiet)
}

fn resume(path: &Path, quiet: bool) -> Result<ExitCode> {
    let (folder, settings) = RunFolder::open::<Settings>(path)?;
    settings.verify_inputs().context("the run cannot be resumed")?;
    let model = ModelFile::open(&settings.model.path)?;
    let examples = Examples::read(&settings, &model, quiet)?;
    let checkpoint = Checkpoint::load(&folder)?;
    let adapter = match &checkpoint {
        // Nothing was saved yet: the same seed begins the same run.
        None => resolve::first_adapter(&settings, &model)?,
        Some(checkpoint) => {
            Adapter { config: settings.lora.config()?, ..model.adapter(&checkpoint.adapter)? }
        }
    };
    let planned = engine(&settings, &model, &examples, adapter, checkpoint.is_some(), quiet)?;
    run(&settings, &examples, &folder, planned, checkpoint, quiet)
}

/// The engine, set up to stay within the memory of the run, and how.
fn engine(
    settings: &Settings,
    model: &ModelFile,
    examples: &Examples,
    adapter: Adapter,
    optimizer_loaded: bool,
    quiet: bool,
) -> Result<(Engine, Plan)> {
    let EngineSettings { ref device, threads, precision, micro_batch, memory } = settings.engine;
    let device = model::device(device, threads)?;
    let mut engine = model.engine(adapter, device, threads, precision)?;
    let (largest, longest) = examples.sizes();
    let optimizer_bytes = settings.recipe.optimizer.bytes_per_parameter();
    let wish = Wish {
        largest,
        longest,
        micro_batch,
        usual: MICRO_BATCH,
        optimizer_bytes,
        optimizer_loaded,
    };
    let plan = budget::plan(&mut engine, wish, memory)?;
    if !quiet {
        eprintln!("{}", PlanFigures::new(&plan, &engine).line());
    }
    Ok((engine, plan))
}

fn run(
    settings: &Settings,
    examples: &Examples,
    folder: &RunFolder,
    (engine, plan): (Engine, Plan),
    checkpoint: Option<Checkpoint>,
    quiet: bool,
) -> Result<ExitCode> {
    let lost = how_to_resume("error: the computation cannot go on", folder);
    cutq_ffi::exit_on_abort(format!("{lost}\n"));
    let mut training = Training::new(settings, examples, folder, engine, checkpoint, quiet)?;
    match training.run().with_context(|| how_to_resume("the run stopped", folder))? {
        Outcome::Interrupted => {
            eprintln!("{}", how_to_resume("interrupted", folder).replace("\nhint: ", ": "));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Outcome::Done(summary) => {
            if !quiet {
                eprintln!("{summary}");
                let peak = budget::device_peak(training.engine(), &plan)?;
                if let Some(peak) = peak {
                    let (peak, planned) = (budget::size(peak), budget::size(plan.peak()));
                    eprintln!("device memory: {peak} at the peak, {planned} planned");
                }
                let (model, out) = (settings.model.path.display(), settings.out.display());
                eprintln!("use it: llama-cli -m {model} --lora {out} -p \"…\"");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn how_to_resume(what: &str, folder: &RunFolder) -> String {
    let path = folder.path().display();
    format!("{what}\nhint: go on with `cutq finetune --resume {path}`")
}
