//! `summary.json` and the last words of a run.

use std::fmt;

use cutq_core::trainer::{Evaluation, QuoteCounts};
use serde::{Deserialize, Serialize};

use super::log::StepLine;
use super::reading::Reading;

/// What a run changed. First and last mean the first and the last tenth of its steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Steps done.
    pub steps: u64,
    /// Time spent in steps.
    pub seconds: f64,
    /// Tokens run forward per second of step time.
    pub tokens_per_second: f64,
    /// Mean training loss of the first steps.
    pub loss_first: f64,
    /// Mean training loss of the last steps.
    pub loss_last: f64,
    /// Share of inappropriate tokens in the first steps; none without judged tokens.
    pub inappropriate_first: Option<f64>,
    /// Share of inappropriate tokens in the last steps.
    pub inappropriate_last: Option<f64>,
    /// What the contrast finds, over all steps, of what judges quoted; none if they quoted nothing.
    pub quotes: Option<QuoteCounts>,
    /// Held-out examples before the first step.
    pub eval_before: Option<Evaluation>,
    /// Held-out examples after the last step.
    pub eval_after: Option<Evaluation>,
    /// The adapter written.
    pub adapter: String,
}

impl Summary {
    /// Sums up a log; `None` if it has no steps.
    pub fn new(
        log: &[StepLine],
        eval_before: Option<Evaluation>,
        eval_after: Option<Evaluation>,
        adapter: String,
    ) -> Option<Self> {
        let last_step = log.last()?;
        let tenth = log.len().div_ceil(10);
        let (first, last) = (&log[..tenth], &log[log.len() - tenth..]);
        let seconds: f64 = log.iter().map(|line| line.seconds).sum();
        let tokens: usize = log.iter().map(|line| line.report.tokens).sum();
        Some(Self {
            steps: last_step.report.step,
            seconds,
            tokens_per_second: tokens as f64 / seconds.max(1e-9),
            loss_first: mean_loss(first),
            loss_last: mean_loss(last),
            inappropriate_first: inappropriate_share(first),
            inappropriate_last: inappropriate_share(last),
            quotes: quotes(log),
            eval_before,
            eval_after,
            adapter,
        })
    }
}

/// What the contrast finds of what judges quoted, over all these steps; none if they quoted nothing.
pub fn quotes(log: &[StepLine]) -> Option<QuoteCounts> {
    let quotes = log.iter().filter_map(|line| line.report.quotes);
    quotes.reduce(|a, b| QuoteCounts {
        tokens: a.tokens + b.tokens,
        quoted: a.quoted + b.quoted,
        raised: a.raised + b.raised,
        hits: a.hits + b.hits,
    })
}

fn mean_loss(lines: &[StepLine]) -> f64 {
    lines.iter().map(|line| line.report.loss).sum::<f64>() / lines.len() as f64
}

/// The share of judged tokens that are in U, of all these steps together: a batch with few of them does
/// not count as much as one with many.
pub fn inappropriate_share(lines: &[StepLine]) -> Option<f64> {
    let judged: usize = lines.iter().map(|line| line.report.judged_tokens).sum();
    let inappropriate: usize = lines.iter().map(|line| line.report.inappropriate).sum();
    (judged > 0).then(|| inappropriate as f64 / judged as f64)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            humantime::format_duration(std::time::Duration::from_secs(self.seconds.round() as u64));
        let (steps, speed) = (self.steps, self.tokens_per_second);
        writeln!(f, "{steps} steps in {time}, {speed:.0} tok/s")?;
        let (first, last) = (self.loss_first, self.loss_last);
        writeln!(f, "  loss                  {first:.4} → {last:.4}")?;
        if let (Some(first), Some(last)) = (self.inappropriate_first, self.inappropriate_last) {
            let (first, last) = (100.0 * first, 100.0 * last);
            writeln!(f, "  inappropriate tokens  {first:.1} % → {last:.1} %")?;
        }
        if let Some(quotes) = self.quotes {
            writeln!(f, "  {}", Reading(quotes))?;
        }
        if let (Some(before), Some(after)) = (&self.eval_before, &self.eval_after) {
            let (n, first, last) = (before.examples, before.loss, after.loss);
            writeln!(f, "  held out ({n} examples)")?;
            writeln!(f, "    loss                  {first:.4} → {last:.4}")?;
            if let (Some(first), Some(last)) =
                (before.inappropriate_share(), after.inappropriate_share())
            {
                let (first, last) = (100.0 * first, 100.0 * last);
                writeln!(f, "    inappropriate tokens  {first:.1} % → {last:.1} %")?;
            }
        }
        write!(f, "adapter: {}", self.adapter)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::line;
    use super::*;

    #[test]
    fn first_and_last_are_means_over_a_tenth() {
        let log: Vec<_> =
            (1..=20).map(|step| line(step, 21.0 - step as f64, 20 - step as usize)).collect();
        let summary = Summary::new(&log, None, None, "a.gguf".into()).expect("20 steps");
        assert_eq!((summary.loss_first, summary.loss_last), (19.5, 1.5));
        let (first, last) = (summary.inappropriate_first, summary.inappropriate_last);
        assert_eq!((first, last), (Some(0.185), Some(0.005)));
        assert_eq!(summary.tokens_per_second, 200.0);
        let text = summary.to_string();
        assert!(text.starts_with("20 steps in 40s, 200 tok/s\n"), "{text}");
        assert!(text.contains("18.5 % → 0.5 %"), "{text}");
        assert_eq!(Summary::new(&[], None, None, String::new()), None);
    }
}
