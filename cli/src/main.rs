//! `cutq`: fine-tunes quantized language models (GGUF) on written judgments.
//!
//! | folder      | what it does                                                     |
//! |-------------|------------------------------------------------------------------|
//! | `args`      | the command line                                                 |
//! | `commands`  | one module per command                                           |
//! | `settings`  | what decides a run, in the form that is saved                    |
//! | `template`, `encoder` | how text becomes tokens                                |
//! | `memory`    | what the system tells about memory                               |
//! | `failure`, `usage`    | what goes to stderr when a command fails               |
//!
//! Reading data and keeping a run's folder are in the library beside this program.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod encoder;
mod failure;
mod memory;
mod settings;
mod template;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Args, Command};

fn main() -> ExitCode {
    let matches = Args::command().get_matches();
    cutq_ffi::exit_on_abort("error: the computation cannot go on\n".to_owned());
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match &args.command {
        Command::Finetune(args) => {
            args.refuse_beside_resume(&matches).and_then(|()| commands::finetune(args))
        }
        Command::Generate(args) => commands::generate(args),
        Command::Inspect(args) => commands::inspect(args),
        Command::Plan(args) => commands::plan(args),
        Command::Bench(args) => commands::bench(args),
        Command::Devices(args) => commands::devices(args),
    };
    done.unwrap_or_else(|error| failure::report(&error))
}
