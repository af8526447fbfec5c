//! A line of `rounds.jsonl`.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::data::Counts;
use super::drift::Drift;
use super::interval::Interval;
use super::measures::Measures;
use crate::run::{Log, inappropriate_share, quotes};

/// What a round has brought; `None` where it cannot be known, as for what round 0 does not do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundLine {
    /// 0 is before training.
    pub round: usize,
    /// Share of the evaluation's answers that pass, of those of which it is known.
    pub pass_rate: Option<f64>,
    /// Its 95 % interval.
    pub ci95: Option<Interval>,
    /// 95 % interval of what it is above the best round before this one, prompt by prompt.
    pub delta_best_ci95: Option<Interval>,
    /// Answers to train on that were judged.
    pub judged: Option<usize>,
    /// Of them those that were criticised and trained on.
    pub negatives: Option<usize>,
    /// Calls about them that failed.
    pub failed: Option<usize>,
    /// Those of which the judge was unsure.
    pub unsure: Option<usize>,
    /// Answers of the evaluation that were cut.
    pub truncated: usize,
    /// Mean tokens of the evaluation's answers.
    pub mean_response_tokens: f64,
    /// See [`Measures::distinct2`].
    pub distinct2: Option<f64>,
    /// See [`Drift::kl_base`].
    pub kl_base: Option<f64>,
    /// See [`Drift::ppl_ratio`].
    pub ppl_ratio: Option<f64>,
    /// Share of the criticised answers' tokens that were in U.
    pub u_share: Option<f64>,
    /// How much of what the contrast finds the judge had quoted.
    pub u_quote_precision: Option<f64>,
    /// How much of what the judge had quoted the contrast finds.
    pub u_quote_recall: Option<f64>,
    /// Time of its stages, each by the process that completed it.
    pub seconds: f64,
    /// Attempts to ask the judge; the dry round's are the first of round 1.
    pub calls: usize,
    /// What they cost; none without a price.
    pub cost: Option<f64>,
}

/// What a round's training says of U.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unlearned {
    pub share: Option<f64>,
    pub quote_precision: Option<f64>,
    pub quote_recall: Option<f64>,
}

impl RoundLine {
    /// The line of a round that was measured so, before what only some rounds have.
    pub(super) fn new(round: usize, measures: &Measures) -> Self {
        Self {
            round,
            pass_rate: measures.pass_rate(),
            ci95: measures.ci95(),
            delta_best_ci95: None,
            judged: None,
            negatives: None,
            failed: None,
            unsure: None,
            truncated: measures.truncated,
            mean_response_tokens: measures.mean_tokens,
            distinct2: measures.distinct2,
            kl_base: None,
            ppl_ratio: None,
            u_share: None,
            u_quote_precision: None,
            u_quote_recall: None,
            seconds: 0.0,
            calls: 0,
            cost: None,
        }
    }

    /// With what became of the answers to train on.
    pub(super) fn with_data(self, counts: &Counts) -> Self {
        Self {
            judged: Some(counts.judged),
            negatives: Some(counts.negatives),
            failed: Some(counts.failed),
            unsure: Some(counts.unsure),
            ..self
        }
    }

    pub(super) fn with_drift(self, drift: Drift) -> Self {
        Self { kl_base: Some(drift.kl_base), ppl_ratio: Some(drift.ppl_ratio), ..self }
    }

    pub(super) fn with_unlearned(self, unlearned: Unlearned) -> Self {
        Self {
            u_share: unlearned.share,
            u_quote_precision: unlearned.quote_precision,
            u_quote_recall: unlearned.quote_recall,
            ..self
        }
    }
}

impl Unlearned {
    /// From the log of a round's training.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub(super) fn read(log: &Path) -> Result<Self> {
        let steps = Log::read(log)?;
        let quotes = quotes(&steps);
        Ok(Self {
            share: inappropriate_share(&steps),
            quote_precision: quotes.and_then(|quotes| quotes.precision()),
            quote_recall: quotes.map(|quotes| quotes.recall()),
        })
    }
}
