//! How far the run is, on stderr: a bar at a terminal, a line now and then elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as Template};

use crate::console::{Console, ProgressStyle};
use crate::run::StepLine;

/// Without a terminal, a line per this many steps.
const LINE_EVERY: u64 = 10;

/// Shows the steps of a run.
pub enum Progress {
    /// Nothing.
    Hidden,
    /// A line now and then.
    Lines {
        /// Where they go.
        console: Console,
        /// Steps of the run.
        total: u64,
        /// Step time and steps so far in this process, for the time left.
        seconds: f64,
        /// See `seconds`.
        steps: u64,
    },
    /// A bar that redraws itself.
    Bar(ProgressBar),
}

impl Progress {
    /// Begins after `done` of `total` steps.
    pub fn new(console: Console, done: u64, total: u64) -> Self {
        match console.progress_style() {
            ProgressStyle::Hidden => Self::Hidden,
            ProgressStyle::Lines => Self::Lines { console, total, seconds: 0.0, steps: 0 },
            ProgressStyle::Bar => Self::Bar(bar(done, total)),
        }
    }

    /// Shows one step, `lost` seconds of which threads waited for a core.
    pub fn step(&mut self, line: &StepLine, lost: f64) {
        match self {
            Self::Hidden => {}
            Self::Lines { console, total, seconds, steps } => {
                *seconds += line.seconds;
                *steps += 1;
                let step = line.report.step;
                if step.is_multiple_of(LINE_EVERY) || step == 1 || step == *total {
                    let left = (*total - step) as f64 * *seconds / *steps as f64;
                    let left = Duration::from_secs(left.round() as u64);
                    let left = humantime::format_duration(left);
                    let figures = figures(line, lost);
                    console.note(format_args!("step {step}/{total}  {figures}  {left} left"));
                }
            }
            Self::Bar(bar) => {
                bar.set_message(figures(line, lost));
                bar.set_position(line.report.step);
            }
        }
    }

    /// Clears the line for what is printed next.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn figures(line: &StepLine, lost: f64) -> String {
    let share = match line.report.inappropriate_share() {
        Some(share) => format!("{:.1} %", 100.0 * share),
        None => "-".to_owned(),
    };
    let speed = speed(line.tokens_per_second(), lost / line.seconds);
    format!("loss {:.4}  U {share}  {speed}", line.report.loss)
}

/// The speed, and where other programs take more than half of it, what it would be without them;
/// `lost` is a share of the time.
fn speed(tok_per_s: f64, lost: f64) -> String {
    match lost > 0.5 && lost < 1.0 {
        true => format!("machine busy: {tok_per_s:.0} of {:.0} tok/s", tok_per_s / (1.0 - lost)),
        false => format!("{tok_per_s:.0} tok/s"),
    }
}

fn bar(done: u64, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = "{wide_bar} {pos}/{len}  {msg}  {eta} left";
    bar.set_style(Template::with_template(template).expect("the template is a constant"));
    bar.set_position(done);
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_named_from_half_of_the_speed_on() {
        assert_eq!(speed(47.0, 0.77), "machine busy: 47 of 204 tok/s");
        assert_eq!(speed(120.0, 0.45), "120 tok/s");
        assert_eq!(speed(120.0, 0.0), "120 tok/s");
        // Threads that do not compute wait, too.
        assert_eq!(speed(120.0, 1.0), "120 tok/s");
    }
}
