//! How many calls are open at once: as many as the server bears.
//!
//! Additive increase, multiplicative decrease, as TCP does with its window:
//!
//! ```text
//! at the start                    w = min(2, cap)
//! a reply, before any overload    w ← min(w + 1,     cap)     doubles with every round of calls
//! a reply, afterwards             w ← min(w + 1 / w, cap)     one more with every round of calls
//! an overload                     w ← max(w / 2, 1)
//! ```
//!
//! An overload is status 429 or 503, or no reply in time. Calls that were asked before `w` was halved
//! belong to the same overload, and halve it no further.

/// The number `w`.
pub struct Concurrency {
    window: f64,
    cap: f64,
    /// Overloads so far.
    overloads: u64,
}

/// When a call was asked, in overloads.
#[derive(Clone, Copy)]
pub struct Epoch(u64);

impl Concurrency {
    /// Never more than `cap` calls, of which there must be at least one.
    pub fn new(cap: usize) -> Self {
        let cap = cap as f64;
        Self { window: cap.min(2.0), cap, overloads: 0 }
    }

    /// Calls that may be open now.
    pub fn now(&self) -> usize {
        self.window as usize
    }

    /// The time of a call that is asked now.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.overloads)
    }

    /// The server has replied.
    pub fn replied(&mut self) {
        let more = if self.overloads == 0 { 1.0 } else { 1.0 / self.window };
        self.window = (self.window + more).min(self.cap);
    }

    /// The server has too much to do, as a call shows that was asked at `epoch`.
    pub fn overloaded(&mut self, epoch: Epoch) {
        if epoch.0 == self.overloads {
            self.window = (self.window / 2.0).max(1.0);
            self.overloads += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_with_replies_and_halves_with_an_overload() {
        let mut concurrency = Concurrency::new(16);
        assert_eq!(concurrency.now(), 2);
        (0..30).for_each(|_| concurrency.replied());
        assert_eq!(concurrency.now(), 16);
        let epoch = concurrency.epoch();
        (0..16).for_each(|_| concurrency.overloaded(epoch));
        assert_eq!(concurrency.now(), 8, "sixteen calls of one overload");
        (0..9).for_each(|_| concurrency.replied());
        assert_eq!(concurrency.now(), 9, "one more with a round");
        for _ in 0..9 {
            concurrency.overloaded(concurrency.epoch());
        }
        assert_eq!(concurrency.now(), 1);
        assert_eq!(Concurrency::new(1).now(), 1);
    }
}
