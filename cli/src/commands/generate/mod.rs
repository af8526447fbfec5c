//! `cutq generate`: an answer to one prompt, or to each prompt of a file.

mod many;
mod one;

use std::process::ExitCode;

use anyhow::Result;

use crate::flags::GenerateArgs;

/// Runs the command.
pub fn generate(args: &GenerateArgs) -> Result<ExitCode> {
    match (&args.prompt, &args.batch.data, &args.batch.out) {
        (_, Some(data), Some(out)) => many::generate(args, data, out),
        (prompt, ..) => one::generate(args, prompt.as_deref().expect("required without --data")),
    }
}
