//! How many threads compute a stream of tokens.

use std::time::Instant;

use crate::sys::waiting::Waiting;

/// Tokens between two looks.
const TOKENS: u32 = 4;

/// The share of their time that threads may wait for a core before there are fewer of them.
const TOO_LONG: f64 = 0.15;

/// Looks without waiting before one more thread is tried again; after each failure twice as many.
const PATIENCE: u32 = 16;

/// The most of that.
const MOST_PATIENCE: u32 = 256;

/// The number of threads for the next token: fewer where other programs have the cores.
///
/// ggml's threads meet at a barrier after each operation, thousands of times a second, and wait there
/// for the one that another program keeps from running: beside a busy process, one thread is faster
/// than two. Where the system does not say how long threads wait, there are always as many.
pub(super) struct Pace {
    most: i32,
    now: i32,
    tokens: u32,
    /// Looks without waiting so far.
    calm: u32,
    patience: u32,
    waiting: Waiting,
    started: Instant,
}

impl Pace {
    /// Begins with `most` threads.
    pub fn new(most: i32) -> Self {
        Self {
            most,
            now: most,
            tokens: 0,
            calm: 0,
            patience: PATIENCE,
            waiting: Waiting::start(),
            started: Instant::now(),
        }
    }

    /// After a token: the threads for the next.
    pub fn next(&mut self) -> i32 {
        self.tokens += 1;
        if self.most > 1 && self.tokens.is_multiple_of(TOKENS) {
            let time = std::mem::replace(&mut self.started, Instant::now()).elapsed().as_secs_f64();
            if let Some(waited) = self.waiting.lap() {
                self.now = self.judge(waited.as_secs_f64() / (time * f64::from(self.now)));
            }
        }
        self.now
    }

    /// The number of threads after they have waited for this share of their time.
    fn judge(&mut self, waited: f64) -> i32 {
        if waited > TOO_LONG {
            if self.calm == 0 {
                // One more was too many, or the machine has become busy.
                self.patience = (2 * self.patience).min(MOST_PATIENCE);
            }
            self.calm = 0;
            let fair = f64::from(self.now) * (1.0 - waited);
            return (fair as i32).clamp(1, (self.now - 1).max(1));
        }
        self.calm += 1;
        if self.now < self.most && self.calm >= self.patience {
            self.calm = 0;
            return self.now + 1;
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of threads after looks at a machine where more than `fair` threads wait.
    fn numbers(pace: &mut Pace, fair: i32, looks: usize) -> Vec<i32> {
        let mut look = || {
            let waited = 1.0 - f64::from(fair.min(pace.now)) / f64::from(pace.now);
            pace.now = pace.judge(waited);
            pace.now
        };
        (0..looks).map(|_| look()).collect()
    }

    #[test]
    fn threads_give_way_and_come_back() {
        let mut pace = Pace::new(8);
        assert!(numbers(&mut pace, 8, 100).iter().all(|&n| n == 8));
        assert_eq!(numbers(&mut pace, 3, 1), [3]);
        // One more is tried now and then, more and more seldom.
        let tries = |found: &[i32]| found.iter().filter(|&&n| n > 3).count();
        let found = numbers(&mut pace, 3, 1000);
        assert!((2..8).contains(&tries(&found)), "{} tries", tries(&found));
        let found = numbers(&mut pace, 8, 2000);
        assert_eq!(found.last(), Some(&8));
    }

    #[test]
    fn one_thread_is_the_least() {
        let mut pace = Pace::new(2);
        assert_eq!(pace.judge(0.9), 1);
        assert_eq!(pace.judge(0.9), 1);
    }
}
