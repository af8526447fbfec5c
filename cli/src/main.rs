//! `cutq`: fine-tunes quantized language models (GGUF) on written judgments.
//!
//! | module             | what it does                                                  |
//! |--------------------|---------------------------------------------------------------|
//! | `flags`            | the command line                                              |
//! | `commands`         | one module per command                                        |
//! | `run`              | the folder of a training run: settings, log, checkpoints      |
//! | `align`            | rounds of answering, judging and training                     |
//! | `training`         | from settings to a trained adapter                            |
//! | `sampling`         | answers to many prompts                                       |
//! | `session`          | the open model, memory, the plan of a run                     |
//! | `text`             | templates and the tokenizer                                   |
//! | `data`             | judgments: reading, screening, tokenizing                     |
//! | `judge`            | judges: who says what is wrong with an answer                 |
//! | `output`           | everything that goes to stdout                                |
//! | `console`          | everything that goes to stderr; what `--quiet` leaves out     |
//! | `interrupt`        | Ctrl-C                                                        |
//! | `failure`, `usage` | errors, their hints and the exit status                       |
#![forbid(unsafe_code)]

mod align;
mod commands;
mod console;
mod data;
mod failure;
mod flags;
mod interrupt;
mod judge;
mod output;
mod run;
mod sampling;
mod session;
mod text;
mod training;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use flags::{Args, Command};

fn main() -> ExitCode {
    let matches = Args::command().get_matches();
    cutq_ffi::exit_on_abort("error: the computation cannot go on\n".to_owned());
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match &args.command {
        Command::Finetune(args) => {
            args.refuse_beside_resume(&matches).and_then(|()| commands::finetune(args))
        }
        Command::Align(args) => commands::align(args),
        Command::Data(args) => commands::data(args),
        Command::Generate(args) => commands::generate(args),
        Command::Judge(args) => commands::judge(args),
        Command::Inspect(args) => commands::inspect(args),
        Command::Plan(args) => commands::plan(args),
        Command::Bench(args) => commands::bench(args),
        Command::Models(args) => commands::models(args),
        Command::Devices(args) => commands::devices(args),
    };
    done.unwrap_or_else(|error| failure::report(&error))
}
