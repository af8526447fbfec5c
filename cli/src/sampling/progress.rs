//! How far the answers are, on stderr: a bar at a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::console::{Console, ProgressStyle};

/// Without a terminal, a line per this time.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows answers as they come.
pub struct Progress {
    console: Console,
    bar: ProgressBar,
    total: usize,
    done: usize,
    /// Of this process.
    drawn: usize,
    tokens: usize,
    started: Instant,
    said: Instant,
}

impl Progress {
    /// Begins after `done` of `total` answers.
    pub fn new(console: Console, done: usize, total: usize) -> Self {
        let bar = console.bar("answers", Some(total));
        bar.set_position(done as u64);
        bar.reset_eta();
        let now = Instant::now();
        Self { console, bar, total, done, drawn: 0, tokens: 0, started: now, said: now }
    }

    /// Shows one more answer.
    pub fn add(&mut self, tokens: usize) {
        self.done += 1;
        self.drawn += 1;
        self.tokens += tokens;
        self.bar.inc(1);
        self.bar.set_message(format!("answers, {:.0} tok/s", self.speed()));
        let is_due = self.said.elapsed() >= LINE_EVERY || self.done == self.total;
        if is_due && self.console.progress_style() == ProgressStyle::Lines {
            self.said = Instant::now();
            let left = (self.total - self.done) as f64 / self.drawn as f64;
            let left = Duration::from_secs((left * self.seconds()).round() as u64);
            let (done, total, speed) = (self.done, self.total, self.speed());
            let left = humantime::format_duration(left);
            self.console
                .note(format_args!("answers {done}/{total}  {speed:.0} tok/s  {left} left"));
        }
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64().max(1e-9)
    }

    fn speed(&self) -> f64 {
        self.tokens as f64 / self.seconds()
    }
}
