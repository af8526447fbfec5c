//! Maximum likelihood: supervised fine-tuning on every response, good or poor.

use crate::context::{ContextKind, Contexts};
use crate::objective::{Objective, ObjectiveError, TokenInputs, TokenTerms};
use crate::tensor::Tensor;

/// `L = −(1/N) Σ_t ln p(y_t | y_<t, x)`; judgments are not read.
///
/// A judged example is imitated like any other: leave such examples out to learn from good ones
/// only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mle;

impl Objective for Mle {
    fn contexts(&self, _is_judged: bool) -> Contexts {
        Contexts::PLAIN
    }

    fn terms<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<TokenTerms<T>, ObjectiveError<T::Error>> {
        Ok(TokenTerms::likelihood(inputs.log_probs_in(ContextKind::Plain)?)?)
    }
}
