//! `cutq bench`: how fast models are read, trained and sampled from here, and in how much memory.

mod figures;
mod generation;
mod measure;
mod memory;
mod operations;
mod sample;
mod sampling;
mod table;

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::flags::BenchArgs;
use crate::output;
use figures::Figures;

/// Runs the command.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let mut all = Vec::new();
    for model in &args.models {
        let figures = match args.models.len() {
            1 => measure::measure(args, model)?,
            _ => match in_own_process(args, model.as_os_str())? {
                Ok(figures) => figures,
                Err(status) => return Ok(status),
            },
        };
        if args.json {
            output::print_json(&figures)?;
        }
        all.push(figures);
    }
    if !args.json {
        output::print(table::markdown(&all))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The figures of one of several models, or the status with which its process failed. In a process
/// of its own, since freed memory does not all go back to the system and a peak never falls.
fn in_own_process(args: &BenchArgs, model: &OsStr) -> Result<Result<Figures, ExitCode>> {
    let is_model = |arg: &OsString| args.models.iter().any(|model| model.as_os_str() == arg);
    // The first is this program, the second `bench`.
    let flags = env::args_os().skip(2).filter(|arg| !is_model(arg) && arg != "--json");
    let program = env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(["bench", "--json"]).args(flags).arg(model);
    let output = command.stderr(Stdio::inherit()).output().context("cannot start a process")?;
    if !output.status.success() {
        let status = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        return Ok(Err(ExitCode::from(status)));
    }
    Ok(Ok(serde_json::from_slice(&output.stdout).context("cannot read a process's figures")?))
}
