//! Time that threads wait for a core which other programs have.

use std::fs;
use std::time::Duration;

/// A stopwatch of the time that threads of this process, all together, wait for a core which other
/// programs have.
#[derive(Debug)]
pub struct Waiting {
    so_far: Option<Duration>,
}

impl Waiting {
    /// Starts it.
    pub fn start() -> Self {
        Self { so_far: waited() }
    }

    /// The time since the start or the last call; none where the system does not say.
    pub fn lap(&mut self) -> Option<Duration> {
        let before = std::mem::replace(&mut self.so_far, waited());
        Some(self.so_far?.saturating_sub(before?))
    }
}

/// What the threads that are alive have waited: Linux counts it, in the second number of `schedstat`,
/// in nanoseconds.
fn waited() -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        sum += Duration::from_nanos(text.split_whitespace().nth(1)?.parse().ok()?);
    }
    Some(sum)
}
