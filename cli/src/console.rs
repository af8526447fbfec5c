//! Everything that goes to stderr. What a command was asked for goes to stdout, see `output`.
//!
//! | what                                                                   | with `--quiet` |
//! |------------------------------------------------------------------------|----------------|
//! | errors                                                                 | shown          |
//! | answers to a flag or to Ctrl-C: lines left out, how to resume          | shown          |
//! | notes: the device chosen, the data's counts, the plan, the summary     | not shown      |
//! | progress                                                               | not shown      |
//!
//! A closed stderr is no failure: nobody is there to be told.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle as Template};

/// What a command says while it works.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console {
    quiet: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStyle {
    /// Not at all.
    Hidden,
    /// A line now and then, for a file or a pipe.
    Lines,
    /// A bar that redraws itself, for a terminal.
    Bar,
}

impl Console {
    /// A console that leaves out notes and progress if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// Says what helps but is not needed.
    pub fn note(self, text: impl Display) {
        if !self.quiet {
            print(text);
        }
    }

    /// Says what has to be known, whether quiet or not.
    pub fn warn(self, text: impl Display) {
        print(text);
    }

    /// A bar for work on data, shown at a terminal only; without `total` it counts.
    pub fn bar(self, what: &'static str, total: Option<usize>) -> ProgressBar {
        if self.progress_style() != ProgressStyle::Bar {
            return ProgressBar::hidden();
        }
        let template = match total {
            Some(_) => "{wide_bar} {human_pos}/{human_len}  {msg}  {eta} left",
            None => "{spinner} {human_pos}  {msg}",
        };
        let total = total.map(|total| total as u64);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        bar.set_style(Template::with_template(template).expect("the template is a constant"));
        bar.with_message(what).with_finish(ProgressFinish::AndClear)
    }

    /// How to show progress here.
    pub fn progress_style(self) -> ProgressStyle {
        match (self.quiet, io::stderr().is_terminal()) {
            (true, _) => ProgressStyle::Hidden,
            (false, true) => ProgressStyle::Bar,
            (false, false) => ProgressStyle::Lines,
        }
    }
}

/// Writes the lines of `text`.
pub fn print(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
