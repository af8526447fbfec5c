//! The time that a person needs.

use std::time::Duration;

/// How long each judgment took.
#[derive(Clone, Debug, Default)]
pub struct Pace(Vec<Duration>);

impl Pace {
    /// Counts a judgment.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// What `n` judgments will take; nothing before the first. The median: a call or a cup of tea is
    /// no measure.
    pub fn of(&self, n: usize) -> Option<Duration> {
        let mut all = self.0.clone();
        all.sort_unstable();
        let middle = *all.get(all.len() / 2)?;
        Some(middle * u32::try_from(n).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_rest_is_no_measure() {
        let mut pace = Pace::default();
        assert_eq!(pace.of(3), None);
        for seconds in [4, 3600, 5] {
            pace.add(Duration::from_secs(seconds));
        }
        assert_eq!(pace.of(3), Some(Duration::from_secs(15)));
    }
}
