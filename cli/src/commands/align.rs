//! `cutq align`: rounds of answering, judging and training.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::align::{AlignFolder, Interrupted, Rounds, Settings, Stages};
use crate::console::Console;
use crate::data::{Prompt, Prompts};
use crate::flags::AlignArgs;
use crate::interrupt::{INTERRUPTED, Interrupt};

/// What to do after an interrupt or an error.
const GO_ON: &str = "hint: the same command goes on where it stopped";

/// Runs the command.
pub fn align(args: &AlignArgs) -> Result<ExitCode> {
    let console = Console::new(args.quiet);
    let folder = AlignFolder::open(&args.run_dir)?;
    let begun = folder.settings()?;
    let (settings, model) = Settings::resolve(args, begun.as_ref(), console)?;
    let instructions = prompts(&args.instructions)?;
    let eval = prompts(&args.eval_instructions)?;
    let test = args.test_instructions.as_deref().map(prompts).transpose()?.unwrap_or_default();
    if begun.is_none() {
        folder.begin(&settings)?;
    }
    cutq_ffi::exit_on_abort(format!("error: the computation cannot go on\n{GO_ON}\n"));
    let interrupt = Interrupt::listen(console, "finishing what is begun")?;
    let stages = Stages {
        settings: &settings,
        model: &model,
        folder: &folder,
        interrupt: &interrupt,
        console,
    };
    let rounds = Rounds { stages: &stages, instructions, eval, test };
    match rounds.run() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<Interrupted>() => {
            console.warn(format_args!("interrupted\n{GO_ON}"));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => Err(error),
    }
}

fn prompts(path: &Path) -> Result<Vec<Prompt>> {
    Ok(Prompts::read(path)?.prompts)
}
