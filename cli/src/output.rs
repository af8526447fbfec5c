//! Everything that goes to stdout: what a command was asked for. The rest goes to stderr, see
//! `console`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write, stdout};

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes `text` as it is.
///
/// # Errors
/// If it cannot be written; see `failure` for a reader that has gone.
pub fn print(text: impl Display) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut stdout = stdout().lock();
        write!(stdout, "{text}")?;
        stdout.flush()
    };
    write().context("cannot write to standard output")
}

/// Writes `value` as one line of JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(format_args!("{}\n", serde_json::to_string(value)?))
}

/// Writes `value` as JSON if `json`, else the text that `table` makes.
///
/// # Errors
/// As [`print`].
pub fn print_as(json: bool, value: &impl Serialize, table: impl FnOnce() -> String) -> Result<()> {
    match json {
        true => print_json(value),
        false => print(table()),
    }
}

/// Whether text may be coloured: at a terminal, unless `NO_COLOR` is set.
pub fn has_color() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stdout().is_terminal() && !no_color
}
