//! How fast a run will train, before its first step.

use anyhow::Result;
use cutq_core::objective::Objective;

use super::Run;
use crate::session::budget::MICRO_BATCH;

/// What the steps of a run are made of, and how fast they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Training examples.
    pub examples: usize,
    /// Tokens of one, in all its contexts: the mean.
    pub tokens_per_example: f64,
    /// Measured on two layers and the head, without the optimizer.
    pub tok_per_s: f64,
}

impl Run {
    /// Measures the pace, in passes of about as many tokens as those of the run.
    ///
    /// # Errors
    /// If the model cannot be computed.
    pub fn pace(&mut self) -> Result<Pace> {
        let Self { settings, examples, engine, plan, .. } = self;
        let contexts = |is_judged| examples.objective.contexts(is_judged);
        let tokens = examples.train.iter().map(|group| group.n_tokens(contexts(group.is_judged())));
        let (tokens, n) = (tokens.sum::<usize>(), examples.train.len());
        let (_, longest) = examples.sizes();
        let step = tokens * settings.recipe.batch_size / n;
        let pass = step.min(plan.micro_batch).max(longest).min(MICRO_BATCH);
        let rates = engine.probe(pass, longest)?;
        Ok(Pace {
            examples: n,
            tokens_per_example: tokens as f64 / n as f64,
            tok_per_s: plan.tok_per_s(&rates),
        })
    }
}
