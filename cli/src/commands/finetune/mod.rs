//! `cutq finetune`: from flags to a run, and what is said at its end.

mod paths;
mod piped;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result};

use self::piped::Piped;
use crate::console::Console;
use crate::failure;
use crate::flags::{FinetuneArgs, Preset, SelectArgs};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::run::{DataSettings, InputFile, RunFolder, Settings};
use crate::session::model::ModelFile;
use crate::training::{self, Outcome, Output, Run};

/// Positives per negative in the paper.
const PAPER_POSITIVE_RATIO: f64 = 0.25;

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
    let path = args.model.as_deref().expect("required without --resume");
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| paths::default_out(path)))?;
    paths::refuse_overwriting(args, path, &out)?;
    let save_peft = args.save_peft.as_ref().map(std::path::absolute).transpose()?;
    let (data, output) = (data_settings(args, &data)?, Output { out, save_peft });
    let (settings, model) = training::settings(&args.training, path, data, output, console)?;
    paths::check_writable(&settings)?;
    let mut run = Run::plan(settings, &model, console)?;
    let run_dir = match &args.run_dir {
        Some(path) => path.clone(),
        None => paths::default_run_dir(&run.settings),
    };
    let folder = RunFolder::create(&run_dir)?;
    piped.keep(&folder, &mut run.settings)?;
    folder.begin(&run.settings)?;
    train(run, &folder, console)
}

fn resume(path: &Path, console: Console) -> Result<ExitCode> {
    let (folder, settings) = RunFolder::open::<Settings>(path)?;
    settings.verify_inputs().context("the run cannot be resumed")?;
    let model = ModelFile::open(&settings.model.path)?;
    let run = Run::resume(settings, &model, &folder, console)?;
    train(run, &folder, console)
}

fn data_settings(args: &FinetuneArgs, files: &[PathBuf]) -> Result<DataSettings> {
    let paper = args.training.objective.preset == Some(Preset::Paper);
    let ratio = args.select.positive_ratio.or(paper.then_some(PAPER_POSITIVE_RATIO));
    Ok(DataSettings {
        files: files.iter().map(|path| InputFile::whole(path)).collect::<Result<_>>()?,
        read: args.read.clone(),
        screen: args.screen.clone(),
        select: SelectArgs { positive_ratio: ratio, ..args.select },
        task: args.task,
    })
}

fn train(run: Run, folder: &RunFolder, console: Console) -> Result<ExitCode> {
    let lost = how_to_resume("error: the computation cannot go on", folder);
    cutq_ffi::exit_on_abort(format!("{lost}\n"));
    let interrupt = Interrupt::listen(console, "finishing the step and saving a checkpoint")?;
    let (model, out) = (run.settings.model.path.clone(), run.settings.out.clone());
    let outcome = run.train(folder, &interrupt, console);
    match outcome.map_err(|error| stopped(error, folder))? {
        Outcome::Interrupted => {
            console.warn(how_to_resume("interrupted", folder));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Outcome::Done(summary) => {
            console.note(summary);
            let (model, out) = (model.display(), out.display());
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
