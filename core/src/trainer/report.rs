//! What a step or an evaluation found.

use crate::context::Contexts;
use crate::example_loss::ExampleLoss;
use crate::group::Group;
use crate::trainer::quotes::QuoteCounts;

/// One training step. Losses are means over the batch's examples, before the step's update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StepReport {
    /// Steps done, this one included: the first step is 1.
    pub step: u64,
    /// What was minimized.
    pub loss: f64,
    /// Its part learned from judgments.
    pub l1: f64,
    /// Its likelihood part.
    pub l2: f64,
    /// Mean of `l2` over the judged examples; `None` if there are none.
    pub judged_nll: Option<f64>,
    /// Tokens in U.
    pub inappropriate: usize,
    /// Response tokens of judged examples, the tokens that U is chosen from.
    pub judged_tokens: usize,
    /// What the contrast finds of what judges quoted; `None` if they quoted nothing.
    pub quotes: Option<QuoteCounts>,
    /// Tokens run forward, prompts and all contexts included.
    pub tokens: usize,
    /// Response tokens, each counted once.
    pub target_tokens: usize,
    /// The learning rate of this step.
    pub lr: f64,
    /// The gradient's norm over all parameters, before clipping.
    pub grad_norm: f64,
}

/// The losses of a set of examples, without training on them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Evaluation {
    /// Mean over examples of what training minimizes.
    pub loss: f64,
    /// Its part learned from judgments.
    pub l1: f64,
    /// Its likelihood part.
    pub l2: f64,
    /// Mean of `l2` over the judged examples; `None` if there are none.
    pub judged_nll: Option<f64>,
    /// Tokens in U.
    pub inappropriate: usize,
    /// Response tokens of judged examples.
    pub judged_tokens: usize,
    /// What the contrast finds of what judges quoted; `None` if they quoted nothing.
    pub quotes: Option<QuoteCounts>,
    /// Tokens run forward.
    pub tokens: usize,
    /// Response tokens, each counted once.
    pub target_tokens: usize,
    /// How many examples there were.
    pub examples: usize,
}

impl StepReport {
    /// The share of judged response tokens that are in U; `None` without such tokens.
    pub fn inappropriate_share(&self) -> Option<f64> {
        share(self.inappropriate, self.judged_tokens)
    }
}

impl Evaluation {
    /// The share of judged response tokens that are in U; `None` without such tokens.
    pub fn inappropriate_share(&self) -> Option<f64> {
        share(self.inappropriate, self.judged_tokens)
    }
}

fn share(inappropriate: usize, judged_tokens: usize) -> Option<f64> {
    (judged_tokens > 0).then(|| inappropriate as f64 / judged_tokens as f64)
}

/// Sums over examples.
#[derive(Default)]
pub(super) struct Totals {
    loss: f64,
    l1: f64,
    l2: f64,
    judged_l2: f64,
    judged_examples: usize,
    inappropriate: usize,
    judged_tokens: usize,
    quotes: QuoteCounts,
    tokens: usize,
    target_tokens: usize,
    examples: usize,
}

impl Totals {
    /// Adds one example, read in `contexts`.
    pub(super) fn add(&mut self, group: &Group, contexts: Contexts, example: &ExampleLoss) {
        self.loss += example.loss;
        self.l1 += example.l1;
        self.l2 += example.l2;
        if group.is_judged() {
            self.judged_l2 += example.l2;
            self.judged_examples += 1;
            self.judged_tokens += group.response.len();
        }
        self.inappropriate += example.inappropriate.len();
        self.quotes.add(group, contexts, example);
        self.tokens += group.n_tokens(contexts);
        self.target_tokens += group.response.len();
        self.examples += 1;
    }

    /// The means of the examples added, of which there must be one at least.
    pub(super) fn evaluation(&self) -> Evaluation {
        let n = self.examples as f64;
        let judged = self.judged_examples;
        Evaluation {
            loss: self.loss / n,
            l1: self.l1 / n,
            l2: self.l2 / n,
            judged_nll: (judged > 0).then(|| self.judged_l2 / judged as f64),
            inappropriate: self.inappropriate,
            judged_tokens: self.judged_tokens,
            quotes: Some(self.quotes).filter(|quotes| quotes.quoted > 0),
            tokens: self.tokens,
            target_tokens: self.target_tokens,
            examples: self.examples,
        }
    }

    /// The means, with where the step stands.
    pub(super) fn step(&self, step: u64, lr: f64, grad_norm: f64) -> StepReport {
        let mean = self.evaluation();
        StepReport {
            step,
            loss: mean.loss,
            l1: mean.l1,
            l2: mean.l2,
            judged_nll: mean.judged_nll,
            inappropriate: mean.inappropriate,
            judged_tokens: mean.judged_tokens,
            quotes: mean.quotes,
            tokens: mean.tokens,
            target_tokens: mean.target_tokens,
            lr,
            grad_norm,
        }
    }
}
