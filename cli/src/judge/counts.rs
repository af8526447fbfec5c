//! What became of the answers, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::judgment::{Judgment, Verdict};
use super::reply::Outcome;

/// Answers by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// With a judgment.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// Without one, by the reason.
    pub failed: BTreeMap<Outcome, usize>,
    /// Empty answers, of which nobody was asked.
    pub empty: usize,
    /// Answers of which nobody was asked yet.
    pub unasked: usize,
    /// Faults in which something is quoted.
    pub quoting: usize,
    /// Quotes that the answer does not hold.
    pub missing_quotes: usize,
}

impl Counts {
    /// Counts a judgment.
    pub fn add(&mut self, judgment: &Judgment) {
        *self.verdicts.entry(judgment.verdict).or_default() += 1;
        self.missing_quotes += judgment.missing_quotes;
        self.quoting += usize::from(!judgment.quotes.is_empty());
    }

    /// Answers with a judgment.
    pub fn judged(&self) -> usize {
        self.verdicts.values().sum()
    }

    /// Answers with a verdict.
    pub fn of(&self, verdict: Verdict) -> usize {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// Calls without a judgment.
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    /// The share of calls that failed; none if there were none.
    pub fn failed_share(&self) -> Option<f64> {
        let calls = self.judged() + self.failures();
        (calls > 0).then(|| self.failures() as f64 / calls as f64)
    }
}

/// Too many calls failed for their judgments to be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{failures} calls{of} failed ({percent:.0} %), so no judgments are written\nhint: what was received \
     is kept, and the same command asks again for the rest; --max-failed allows more"
)]
pub struct TooManyFailed {
    failures: usize,
    percent: f64,
    /// ` of JUDGE`, where there is more to say than whom the command line asks.
    of: String,
}

impl Counts {
    /// Refuses judgments of which more than the share `max_failed` is missing; `judge` is named, if
    /// given.
    ///
    /// # Errors
    /// If there are more.
    pub fn check(&self, max_failed: f64, judge: Option<&str>) -> Result<(), TooManyFailed> {
        match self.failed_share().filter(|failed| *failed > max_failed) {
            None => Ok(()),
            Some(failed) => Err(TooManyFailed {
                failures: self.failures(),
                percent: 100.0 * failed,
                of: judge.map(|name| format!(" of {name}")).unwrap_or_default(),
            }),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let good = self.of(Verdict::Perfect) + self.of(Verdict::Praise);
        let (fault, unsure) = (self.of(Verdict::Fault), self.of(Verdict::Unsure));
        write!(f, "{} judged: {good} good, {fault} with faults", self.judged())?;
        if self.quoting > 0 {
            write!(f, " ({} quote what is wrong)", self.quoting)?;
        }
        let mut count = |n: usize, what: &str| match n {
            0 => Ok(()),
            n => write!(f, "\n  {n:5} {what}"),
        };
        count(unsure, "of which the judge contradicts itself: left out of training")?;
        count(self.missing_quotes, "quotes that the answer does not hold")?;
        count(self.empty, "empty answers, of which nobody was asked")?;
        for (outcome, n) in &self.failed {
            count(*n, outcome.reason())?;
        }
        count(self.unasked, "not asked yet")
    }
}
