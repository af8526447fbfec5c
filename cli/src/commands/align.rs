//! `cutq align`: rounds of answering, judging and training.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::judge;
use crate::align::{self, AlignFolder, Interrupted, Rounds, RunJudge, Settings, Stages};
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
    let judge = judge::open(&args.judge, &args.training.engine.device, console)?;
    let price = args.judge.price;
    let spent = price.map_or(Ok(0.0), |price| align::cost(&folder, args.rounds.rounds, price))?;
    let judge = RunJudge {
        judge: RefCell::new(judge::limited(judge, &args.judge, spent)),
        price,
        max_cost: args.judge.max_cost,
        prompt: judge::prompt(&args.judge)?,
        again: args.judge.again,
        seed: args.judge.judge_seed,
        max_failed: args.judge.max_failed,
    };
    let name = judge.judge.borrow().name().to_owned();
    let (settings, model) = Settings::resolve(args, &name, begun.as_ref(), console)?;
    let instructions = prompts(&args.instructions)?;
    let eval = prompts(&args.eval_instructions)?;
    let test = args.test_instructions.as_deref().map(prompts).transpose()?.unwrap_or_default();
    if begun.is_none() {
        folder.begin(&settings)?;
    }
    cutq_ffi::exit_on_abort(format!("error: the computation cannot go on\n{GO_ON}\n"));
    let interrupt = Interrupt::listen(console, "saving what is finished")?;
    let stages = Stages {
        settings: &settings,
        model: &model,
        judge: &judge,
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
