//! `cutq finetune`: settings → data → engine → steps → adapter and summary.

mod examples;
mod interrupt;
mod plan;
mod progress;
mod train;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cutq::run::{Checkpoint, RunFolder};
use cutq_ffi::Adapter;

use self::examples::Examples;
use self::train::{Outcome, Training};
use crate::args::FinetuneArgs;
use crate::commands::model::ModelFile;
use crate::settings::Settings;

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
    let (settings, model, adapter) = plan::settings(args)?;
    plan::check_writable(&settings.out)?;
    let examples = Examples::read(&settings, &model, args.quiet)?;
    let run_dir = match &args.run_dir {
        Some(path) => path.clone(),
        None => plan::default_run_dir(&settings),
    };
    let folder = RunFolder::create(&run_dir, &settings)?;
    run(&settings, &model, &examples, &folder, adapter, None, args.quiet)
}

fn resume(path: &Path, quiet: bool) -> Result<ExitCode> {
    let (folder, settings) = RunFolder::open::<Settings>(path)?;
    settings.verify_inputs().context("the run cannot be resumed")?;
    let model = ModelFile::open(&settings.model.path)?;
    let examples = Examples::read(&settings, &model, quiet)?;
    let checkpoint = Checkpoint::load(&folder)?;
    let adapter = match &checkpoint {
        // Nothing was saved yet: the same seed begins the same run.
        None => plan::first_adapter(&settings, &model)?,
        Some(checkpoint) => {
            Adapter { config: settings.lora.config()?, ..model.adapter(&checkpoint.adapter)? }
        }
    };
    run(&settings, &model, &examples, &folder, adapter, checkpoint, quiet)
}

fn run(
    settings: &Settings,
    model: &ModelFile,
    examples: &Examples,
    folder: &RunFolder,
    adapter: Adapter,
    checkpoint: Option<Checkpoint>,
    quiet: bool,
) -> Result<ExitCode> {
    let engine = model.engine(adapter, settings.engine.threads, settings.engine.precision)?;
    let mut training = Training::new(settings, examples, folder, engine, checkpoint, quiet)?;
    match training.run().with_context(|| how_to_resume("the run stopped", folder))? {
        Outcome::Interrupted => {
            eprintln!("{}", how_to_resume("interrupted", folder).replace("\nhint: ", ": "));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Outcome::Done(summary) => {
            if !quiet {
                eprintln!("{summary}");
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
