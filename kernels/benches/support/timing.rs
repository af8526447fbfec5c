//! Which levels are measured, and how long each of them takes; or a test of all that once.
//!
//! `cargo bench` passes `--bench`. Without it this is `cargo test`: every level runs once with tiny
//! sizes, results are checked as usual, and nothing is printed, as one short run says nothing of
//! speed.

use std::time::Instant;

use cutq_kernels::{Kernels, Level};

/// Seconds that one measurement takes at least.
const DURATION: f64 = 0.3;

/// Whether this is a measurement, not a test.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The sizes to measure, or those of a test.
pub fn sizes<T>(measured: T, tested: T) -> T {
    if measuring() { measured } else { tested }
}

/// The levels of this CPU that the command line names, from the highest; all but the plain one if
/// it names none. A test runs every level, and under Miri, which has tests enough, none.
pub fn kernels() -> impl Iterator<Item = Kernels> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = move |level: &Level| match (measuring(), asked.is_empty()) {
        (false, _) => !cfg!(miri),
        (true, true) => *level != Level::Plain,
        (true, false) => asked.iter().any(|name| name == level.name()),
    };
    Level::ALL.into_iter().rev().filter(wanted).filter_map(Kernels::with)
}

/// Seconds of one call, the least of several; a test makes one call.
pub fn seconds(mut run: impl FnMut()) -> f64 {
    if !measuring() {
        run();
        return f64::NAN;
    }
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

/// Prints a line of a measurement.
macro_rules! report {
    ($($argument:tt)*) => {
        if $crate::support::timing::measuring() {
            println!($($argument)*);
        }
    };
}
pub(crate) use report;
