//! Training objectives, each written once over [`Tensor`].
//!
//! An objective turns the log-probabilities of a response's tokens, read in one to three contexts,
//! into loss terms, one value per token. The loss of an example is their mean over its `N` response
//! tokens (the closing EOS included), the loss of a batch the mean over its examples.

mod any;
mod cut;
mod hindsight;
mod mle;
mod token;
mod unlikelihood;

pub use any::AnyObjective;
pub use cut::{Contrast, Cut, CutOptions, Spans};
pub use hindsight::Hindsight;
pub use mle::Mle;
pub use token::{TokenLoss, token_loss};
pub use unlikelihood::Unlikelihood;

use thiserror::Error;

use crate::context::{ContextKind, Contexts, PerContext};
use crate::tensor::Tensor;

/// A response's log-probabilities in the contexts that [`Objective::contexts`] asked for.
#[derive(Clone, Copy, Debug)]
pub struct TokenInputs<'a, T> {
    /// Whether the example has a judgment, that is, whether its response is a poor one.
    pub is_judged: bool,
    /// `ln p(y_t | y_<t, x)`, `ln p(y_t | y_<t, x, j)` and, with a praising `j'`,
    /// `ln p(y_t | y_<t, x, j')`; those of the contrast are constants.
    pub log_probs: PerContext<Option<&'a T>>,
    /// 1 at the token that ends the response, else 0; `None` if no token does.
    pub is_eos: Option<&'a T>,
    /// 1 at the tokens that the judge quoted as wrong, else 0; `None` if it quoted none.
    pub quoted: Option<&'a T>,
}

impl<'a, T: Tensor> TokenInputs<'a, T> {
    /// The log-probabilities in a context that the objective asked for.
    fn log_probs_in(&self, kind: ContextKind) -> Result<&'a T, ObjectiveError<T::Error>> {
        self.log_probs.get(kind).ok_or(ObjectiveError::MissingContext(kind))
    }
}

/// Loss terms, one value per response token, not yet divided by their number.
#[derive(Clone, Debug)]
pub struct TokenTerms<T> {
    /// The terms that learn from what was wrong; 0 for a positive example.
    pub l1: T,
    /// The likelihood terms.
    pub l2: T,
    /// 1 where the token is made less likely (the set U), else 0. No gradient.
    pub inappropriate: T,
    /// 1 where the judgment raises the token's probability far enough for U by the contrast, whether
    /// or not U is chosen that way, else 0. No gradient.
    pub raised: T,
}

impl<T: Tensor> TokenTerms<T> {
    /// Likelihood terms only: `l2 = −log_probs`, `l1 = 0`, `U = ∅`.
    fn likelihood(log_probs: &T) -> Result<Self, T::Error> {
        let zeros = zeros_like(log_probs)?;
        let (l1, l2) = (zeros.clone(), log_probs.affine(-1.0, 0.0)?);
        Ok(Self { l1, l2, inappropriate: zeros.clone(), raised: zeros })
    }
}

/// Zeros in the shape of `x`: nothing exceeds itself, and masks carry no gradient.
fn zeros_like<T: Tensor>(x: &T) -> Result<T, T::Error> {
    x.greater(x)
}

/// Why an objective has no value.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ObjectiveError<E> {
    /// A context that [`Objective::contexts`] asks for was not given.
    #[error("the objective needs the log-probabilities in the {0} context, they were not given")]
    MissingContext(ContextKind),
    /// The engine failed.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] E),
}

/// An option of an objective that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("{name} is {value}, it must be {range}")]
pub struct OptionError {
    /// The option.
    pub name: &'static str,
    /// What it was set to.
    pub value: f64,
    /// What it may be.
    pub range: &'static str,
}

/// `value` if it is a finite number of at least 0.
fn non_negative(name: &'static str, value: f64) -> Result<f64, OptionError> {
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(OptionError { name, value, range: "finite and at least 0" })
    }
}

/// A loss over the log-probabilities of a response's tokens.
///
/// ```
/// use cutq_core::context::PerContext;
/// use cutq_core::objective::{Cut, TokenInputs, token_loss};
///
/// // p = 0.5 becomes 0.8 once the judgment is read: the token is inappropriate.
/// let (plain, judged) = (f64::ln(0.5), f64::ln(0.8));
/// let log_probs = PerContext { plain: Some(&plain), judged: Some(&judged), contrast: None };
/// let inputs = TokenInputs { is_judged: true, log_probs, is_eos: None, quoted: None };
/// let token = token_loss(&Cut::paper(), &inputs).expect("both contexts are given");
/// assert!(token.inappropriate && token.weights.plain > 0.0);
/// ```
pub trait Objective {
    /// The contexts an example must be read in, given whether it has a judgment.
    fn contexts(&self, is_judged: bool) -> Contexts;

    /// The loss terms of every token.
    ///
    /// # Errors
    /// If a context of [`Objective::contexts`] is missing, or the engine fails.
    fn terms<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<TokenTerms<T>, ObjectiveError<T::Error>>;

    /// The factor of an example's loss: `loss = scale · mean_t(l1 + l2)`.
    fn scale(&self, _is_judged: bool) -> f64 {
        1.0
    }

    /// `scale · (l1 + l2)` of every token: its mean over tokens is the example's loss, ready for an
    /// engine's own backward pass.
    ///
    /// # Errors
    /// As [`Objective::terms`].
    fn token_losses<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<T, ObjectiveError<T::Error>> {
        let terms = self.terms(inputs)?;
        Ok(terms.l1.add(&terms.l2)?.affine(self.scale(inputs.is_judged), 0.0)?)
    }
}
