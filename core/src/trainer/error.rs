//! Why a step was not taken.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::context::ContextKind;
use crate::example_loss::LossError;
use crate::group::GroupError;
use crate::optimizer::StateError;

/// What was not a number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// The log-probability of one response token.
    LogProb {
        /// In which context.
        context: ContextKind,
        /// Position in the response.
        token: usize,
    },
    /// The example's loss or one of its weights.
    Loss,
    /// A parameter's gradient.
    Gradient {
        /// The parameter.
        name: String,
    },
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogProb { context, token } => {
                write!(f, "the log-probability of response token {token} in the {context} context")
            }
            Self::Loss => f.write_str("the loss"),
            Self::Gradient { name } => write!(f, "the gradient of `{name}`"),
        }
    }
}

/// A failed step or evaluation. No parameter and no optimizer state has changed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TrainError<E> {
    /// Nothing to train on.
    #[error("the batch has no examples")]
    EmptyBatch,
    /// An example that the objective cannot use.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// An example whose log-probabilities the objective cannot use.
    #[error("example {example}: {error}")]
    Loss {
        /// Index in the data.
        example: usize,
        /// What is wrong.
        error: LossError,
    },
    /// A value became infinite or not a number.
    #[error("{quantity} is {value}, in example {example}")]
    NonFinite {
        /// Index in the data of the example that caused it.
        example: usize,
        /// What.
        quantity: Quantity,
        /// `inf`, `-inf` or `NaN`.
        value: f64,
    },
    /// A gradient overflowed although that of each example alone is finite.
    #[error("the gradient of `{name}` is {value}, summed over examples {examples:?}")]
    NonFiniteSum {
        /// The parameter.
        name: String,
        /// `inf`, `-inf` or `NaN`.
        value: f64,
        /// Indices in the data of the examples that were added up.
        examples: Vec<usize>,
    },
    /// A parameter that ought to learn got a gradient of zeros.
    #[error("`{name}` got a zero gradient at step {step}: nothing trains it")]
    DeadGradient {
        /// The parameter.
        name: String,
        /// The step that failed, counted from 1 as in [`StepReport`](crate::trainer::StepReport).
        step: u64,
    },
    /// The model returned another number of log-probabilities than it was given targets.
    #[error("the model returned {found} log-probabilities for {expected} response tokens")]
    LogProbCount {
        /// Response tokens.
        expected: usize,
        /// Log-probabilities.
        found: usize,
    },
    /// The optimizer's state belongs to another model.
    #[error(transparent)]
    State(#[from] StateError),
    /// The engine failed.
    #[error("the model failed: {0}")]
    Model(#[source] E),
}
