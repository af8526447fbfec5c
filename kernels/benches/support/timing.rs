//! Which levels are measured, and how long each of them takes.

use std::time::Instant;

use cutq_kernels::{Kernels, Level};

/// Seconds that one measurement takes at least.
const DURATION: f64 = 0.3;

/// The levels of this CPU that the command line names, from the highest; all but the plain one if
/// it names none.
pub fn kernels() -> impl Iterator<Item = Kernels> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = move |level: &Level| match asked.is_empty() {
        true => *level != Level::Plain,
        false => asked.iter().any(|name| name == level.name()),
    };
    Level::ALL.into_iter().rev().filter(wanted).filter_map(Kernels::with)
}

/// Seconds of one call, the least of several.
pub fn seconds(mut run: impl FnMut()) -> f64 {
    run();
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < DURATION {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
